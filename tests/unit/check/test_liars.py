# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that lie to mandos-check, or answer slowly: anybody on the link can be one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from mandos.check import asking, rehearsal, server_view
from mandos.check.asking import ALL_TIME, Asker, Image
from mandos.check.chain import Chain, Wanted
from mandos.check.findings import Verdict, shown
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


def test_many_slow_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are left when the time is over are not asked, and are no reason to fail."""
    now = 0.0

    def ask(*_: object) -> dict[str, Any]:
        nonlocal now
        now += ALL_TIME / 2
        raise server_view.UnreachedError("no answer in time")

    monkeypatch.setattr(server_view, "ask", ask)
    asker = Asker(IMAGE, (), count_as_boot=False, clock=lambda: now)
    found = list(asker.ask_all(SERVERS))
    assert [finding.verdict for finding in found] == [Verdict.BROKEN] * 2 + [Verdict.NOT_SURE] * 2
    assert "was not asked" in found[-1].text
    assert asker.skipped == ["server 2", "server 3"]


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
