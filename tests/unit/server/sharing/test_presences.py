# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers as people see them: alive, lost, or gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mandos.server.sharing.members import LOST, Members, Sign

START = datetime(2026, 11, 24, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def _sign(name: str, seconds: int) -> Sign:
    return Sign(name, START + seconds * SECOND, checks=name != "b", started=START, version="7")


def test_a_lost_server_is_shown_with_its_last_sign() -> None:
    """All facts of its row stay, and it is not alive; the others are."""
    members = Members("a")
    members.heard([_sign("b", 0), _sign("a", 0)], 10.0)
    members.heard([_sign("b", 0), _sign("a", 3)], 10.0 + LOST)
    a, b = members.presences(10.0 + LOST)
    assert (a.name, a.alive, a.checks, a.seen) == ("a", True, True, START + 3 * SECOND)
    assert (b.name, b.alive, b.checks, b.seen) == ("b", False, False, START)
    assert (b.started, b.version) == (START, "7")
    assert members.lost(10.0 + LOST) == ["b"]


def test_a_server_that_has_ended_is_gone() -> None:
    """It took its sign away, so the others check its clients at once, and none misses it."""
    members = Members("a")
    members.heard([_sign("a", 0), _sign("b", 0)], 10.0)
    assert members.alive(10.0) == ["a", "b"]
    members.heard([_sign("a", 1)], 11.0)
    assert members.alive(11.0) == ["a"]
    assert members.lost(20.0) == []
    assert [one.name for one in members.presences(11.0)] == ["a"]
