# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words about standbys, by the rows that the database shows."""

from __future__ import annotations

import pytest

pytest.importorskip("psycopg", exc_type=ImportError)

from mandos.server.state.postgresql.replication import Standby, described

MISSING = "changes wait: no synchronous standby of the database is connected"
HIDDEN = Standby("", None, follows=False)


def _standby(name: str, sync_state: str = "async", *, follows: bool = True) -> Standby:
    return Standby(name, sync_state, follows)


def test_nothing_to_say() -> None:
    """Without standbys that are wanted, or with all of them there and near."""
    assert not described([], waits=False)
    assert not described([_standby("one"), _standby("two")], waits=False)
    assert not described([_standby("one", "quorum"), _standby("two")], waits=True)
    assert not described([_standby("one", "sync"), _standby("two", "potential")], waits=True)


def test_a_synchronous_standby_is_missing() -> None:
    """Commits wait for one, and none, or only an asynchronous one, is connected."""
    assert described([], waits=True) == MISSING
    assert described([_standby("one")], waits=True) == MISSING


def test_standbys_that_are_late_are_named() -> None:
    """All of them, of either kind."""
    late = [_standby("one", follows=False), _standby("two", "quorum", follows=False)]
    text = "standbys of the database are more than 10 s behind: one, two"
    assert described([*late, _standby("three", "quorum")], waits=True) == text


def test_without_the_right_to_see_standbys() -> None:
    """Details that are hidden are no trouble; that there is none at all is."""
    assert not described([HIDDEN], waits=True)
    assert not described([HIDDEN], waits=False)
    assert described([], waits=True) == MISSING
