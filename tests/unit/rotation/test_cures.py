# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a check in a rotation: their cures help there.

The findings are those of the check's own code, with servers that answer as the test says.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mandos.check import server_view
from mandos.check.asking import Asker, Image
from mandos.check.server_view import UnknownKeyError, UnknownRequestError, UnreachedError
from mandos.check.servers import Server
from mandos.key_source import KeyFolder
from mandos.rotation import cures
from mandos.rotation.machine import _lines

IMAGE = Image("6.1", Path("/nonexistent"), (), "NORMAL", KeyFolder(Path("/nonexistent")))
SERVER = Server("the server", socket.AF_INET, ("192.0.2.1", 1))


def _problems(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[str]:
    """The lines about a server that does not say how it sees the client."""

    def ask(*_: object) -> None:
        raise error

    monkeypatch.setattr(server_view, "ask", ask)
    found = Asker(IMAGE, (), count_as_boot=False).ask_all([SERVER])
    return [line for finding in found for line in _lines(finding)]


@pytest.mark.parametrize("command", [cures.ROTATE, f"{cures.ROTATE} --abandon"])
def test_server_that_knows_no_rehearsals(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """The cure is the run of the rotation with --count-as-boot; nothing is broken for sure."""
    problems = _problems(monkeypatch, UnknownRequestError("unknown request"))
    assert not cures.names_a_broken_link(problems)
    assert cures.of_other_keys(problems) == problems
    first, cure = cures.for_command(problems, command)
    assert first == problems[0]
    assert cure == f"  cure: run {command} --count-as-boot, or bring the server up to date"


def test_server_that_does_not_know_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new section, which has the installed keys, is no cure of other keys."""
    problems = _problems(monkeypatch, UnknownKeyError("it does not know these keys"))
    assert problems[1].startswith("  cure: run mandos-keygen --password")
    assert cures.names_a_broken_link(problems)
    assert cures.of_other_keys(problems) == problems[:1]


def test_other_cures_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a server that does not answer."""
    problems = _problems(monkeypatch, UnreachedError("no answer in time"))
    assert len(problems) == 2
    assert cures.of_other_keys(problems) == problems
    assert cures.for_command(problems, cures.ROTATE) == problems
