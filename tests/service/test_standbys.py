# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standbys that are late, or missing, as a server sees them; minutes pass by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.postgresql import Cluster, Database, wait, why_no_postgresql

if TYPE_CHECKING:
    from contextlib import ExitStack
else:
    pytest.importorskip("psycopg", exc_type=ImportError)

from mandos.server.state.postgresql import schema
from mandos.server.state.postgresql.pulse import Identity, Pulse
from mandos.server.state.postgresql.replication import Replication

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(why_no_postgresql() is not None, reason=str(why_no_postgresql())),
]
LATE = "standbys of the database are more than 10 s behind: standby"
MISSING = "changes wait: no synchronous standby of the database is connected"
_SHOWN = "SELECT replay_lsn >= %s::pg_lsn FROM pg_stat_replication"


class Minutes:
    """A look each minute, at times that are turned by hand; as a superuser, or as the owner."""

    def __init__(self, database: Database, *, permitted: bool = True) -> None:
        self._database = database
        if permitted:
            database.sql(f"GRANT pg_read_all_stats TO {database.role}")
        self._connection = database.connect()
        self._replication = Replication()
        self._now = 0.0

    def look(self, seconds: float = 60.0, *, written: bool = True) -> str:
        """Begin a look after these seconds, write, and end the look 10 s later."""
        self._now += seconds
        self._replication.look(self._connection, self._now)
        if written:
            self._connection.execute("CREATE TABLE IF NOT EXISTS note (number bigint)")
            self._connection.execute("INSERT INTO note VALUES (1)")
        self._now += 10.0
        self._replication.look(self._connection, self._now)
        return self._replication.trouble

    def close(self) -> None:
        """Leave the database."""
        self._connection.close()


@pytest.fixture
def primary(stack: ExitStack) -> Cluster:
    """A primary of the test's own."""
    return stack.enter_context(Cluster())


def _replayed(primary: Cluster) -> None:
    """Wait until every standby has replayed all that the primary has written."""
    ((end,),) = primary.sql("SELECT pg_current_wal_lsn()::text")
    wait(
        lambda: all(row == (True,) for row in primary.sql(_SHOWN, end)),
        lambda: primary.report("a standby does not replay"),
    )


def test_a_standby_that_stops_is_late(stack: ExitStack, primary: Cluster) -> None:
    """Not before 10 s; until it has caught up."""
    database = primary.database()
    minutes = Minutes(database)
    stack.callback(minutes.close)
    assert not minutes.look()
    standby = stack.enter_context(primary.standby())
    _replayed(primary)
    assert not minutes.look()
    standby.pause()
    minutes.look(written=True)
    assert minutes.look() == LATE
    standby.resume()
    _replayed(primary)
    assert not minutes.look()


def test_a_standby_that_replays_nothing_is_late(stack: ExitStack, primary: Cluster) -> None:
    """Though it receives everything, and answers."""
    database = primary.database()
    minutes = Minutes(database)
    stack.callback(minutes.close)
    standby = stack.enter_context(primary.standby())
    _replayed(primary)
    standby.sql("SELECT pg_wal_replay_pause()")
    minutes.look()
    assert minutes.look() == LATE
    standby.sql("SELECT pg_wal_replay_resume()")
    _replayed(primary)
    assert not minutes.look()


def test_without_the_right_to_see_standbys(stack: ExitStack, primary: Cluster) -> None:
    """No standby is called late; a missing one is noticed."""
    database = primary.database()
    minutes = Minutes(database, permitted=False)
    stack.callback(minutes.close)
    standby = stack.enter_context(primary.standby(synchronous=True))
    _replayed(primary)
    assert not minutes.look()
    standby.stop()
    _gone(primary)
    assert minutes.look(written=False) == MISSING


def _gone(primary: Cluster) -> None:
    wait(
        lambda: not primary.sql("SELECT 1 FROM pg_stat_replication"),
        lambda: primary.report("has a standby"),
    )


def test_signs_of_life_go_on_without_a_synchronous_standby(
    stack: ExitStack, primary: Cluster
) -> None:
    """So the other servers and the administrator hear why changes wait."""
    database = primary.database()
    with database.connect() as connection:
        schema.prepare(connection)
    standby = stack.enter_context(primary.standby(synchronous=True))
    now = [0.0]
    identity = Identity("first", "boot", "run", "0.2.0")
    pulse = Pulse(database.uri(), identity, lambda: now[0])
    pulse.connect()
    stack.callback(pulse.close)
    assert pulse.beat(checks=True).replication == ""
    standby.stop()
    _gone(primary)
    now[0] = 61.0
    assert pulse.beat(checks=True).replication == MISSING
    standby.start()
    wait(
        lambda: primary.sql("SELECT sync_state FROM pg_stat_replication") == [("quorum",)],
        lambda: primary.report("has no standby"),
    )
    now[0] = 72.0
    assert pulse.beat(checks=True).replication == ""
