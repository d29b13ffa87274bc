# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search of mandos-check for servers, on a link whose time is turned by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mandos.check import servers
from mandos.check.names import Resolver
from mandos.discovery.browse import Endpoint


def _endpoint(name: str) -> Endpoint:
    return Endpoint("192.0.2.1", 4711, 0, name, 1)


class Link:
    """Servers that answer at given times, and a process that does not run for some time."""

    def __init__(self, answers: dict[str, float], stall: tuple[float, float]) -> None:
        self.now = 100.0
        self.sockets = [self]
        self._answers = {name: self.now + after for name, after in answers.items()}
        self._stall, self._wakes = (self.now + moment for moment in stall)

    def select(self, sockets: list[Link], *_others: object) -> list[list[Link]]:
        """Wait for answers; the last argument is the time."""
        *_empty, wait = _others
        assert isinstance(wait, float)
        assert 0 <= wait <= 0.2
        end = self.now + wait
        due = min(self._answers.values(), default=end)
        self.now = max(self.now, min(end, due))
        ready = [one for one in sockets if due <= self.now and self._answers]
        if self.now >= self._stall:
            self.now, self._stall = max(self.now, self._wakes), float("inf")
        return [ready]

    def readable(self, _sock: Link) -> list[Endpoint]:
        """Take the answers that came."""
        came = [name for name, moment in self._answers.items() if moment <= self.now]
        for name in came:
            del self._answers[name]
        return [_endpoint(name) for name in came]

    def tick(self, _now: float) -> None:
        """Ask."""

    def deadline(self, now: float) -> float:
        """Never before ``now``."""
        return now + 0.05

    def close(self) -> None:
        """End."""


NO_STALL = (1000.0, 1000.0)


@pytest.mark.parametrize(
    ("answers", "stall", "found", "seconds"),
    [
        ({}, NO_STALL, "", 3),
        ({"a": 0.5}, NO_STALL, "a", 1.3),
        ({"a": 0.5, "b": 1.2}, NO_STALL, "ab", 2),
        ({"a": 0.5, "b": 1.2, "c": 1.9, "d": 2.6}, NO_STALL, "abcd", 3),
        ({"a": 0.5, "b": 1.4}, NO_STALL, "a", 1.3),
        ({"a": 0.5}, (0.1, 20), "a", 20),
        ({"a": 0.5, "b": 1}, (0.6, 2), "ab", 2.8),
        ({"a": 0.5, "b": 1, "c": 2.5}, (0.6, 2), "abc", 3),
    ],
    ids=[
        "none", "one", "two", "four", "too late", "stall beyond the end", "stall after the first",
        "stall before the last",
    ],
)  # fmt: skip
def test_search(
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, float],
    stall: tuple[float, float],
    found: str,
    seconds: float,
) -> None:
    """It ends 0.8 s after the last server or after 3 s; answers that came during a stall count."""
    link = Link(answers, stall)
    monkeypatch.setattr(servers, "Finder", lambda _indexes: link)
    monkeypatch.setattr(servers, "usable_interfaces", lambda: [1])
    monkeypatch.setattr(servers, "select", link)
    monkeypatch.setattr(servers, "time", SimpleNamespace(monotonic=lambda: link.now))
    names = [server.title.partition(" ")[0] for server in servers.search(())]
    assert "".join(names) == found
    assert link.now - 100 == pytest.approx(seconds, abs=0.21)


@pytest.mark.parametrize(
    ("option", "title"),
    [
        ("[fe80::1%lo]:4712", "[fe80::1%lo]:4712"),
        ("[2001:db8::1]:4712", "[2001:db8::1]:4712"),
        ("192.0.2.1:4712", "192.0.2.1:4712"),
    ],
)
def test_title_of_a_given_server(option: str, title: str) -> None:
    """Its port is told from its address."""
    (address,) = servers.options_of([f"--connect={option}"]).connect
    (server,) = servers.given(address, Resolver(Path("/nonexistent"), (), Path("/")))
    assert server.title == title
