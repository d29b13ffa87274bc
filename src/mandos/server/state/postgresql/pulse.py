# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's second connection: its signs of life, those of the others, and news of changes.

One thread calls.  The time of the clients' lives is the database's, made continuous: a jump of the
database's clock, or a takeover by a standby whose clock differs, changes the correction in
``mandos.clock`` instead, as soon as most living servers have seen it by their own clocks.
"""

from __future__ import annotations

import select
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from mandos.errors import AdministratorError, MachineError
from mandos.server.state.postgresql import schema
from mandos.server.state.postgresql.connection import connect, explained
from mandos.server.state.postgresql.replication import Replication
from mandos.server.state.postgresql.time_limit import time_limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from psycopg import Connection

#: The class of the advisory lock on a server's name: ASCII "mand".
_NAMES = 0x6D616E64
_LOCK = "SELECT pg_try_advisory_lock(%s, hashtext(%s))"
_BEAT = """
INSERT INTO mandos.server AS old
    (name, boot, run, started, beat, checks, jump, version, schema)
SELECT %(name)s, %(boot)s, %(run)s, mandos.now(), mandos.now(), %(checks)s, %(jump)s, %(version)s,
    %(schema)s
ON CONFLICT (name) DO UPDATE SET (boot, run, beat, checks, jump, version, schema)
    = ROW(excluded.boot, excluded.run, excluded.beat, excluded.checks, excluded.jump,
        excluded.version, excluded.schema),
    started = CASE WHEN old.run = excluded.run THEN old.started ELSE excluded.started END
"""
_SIGNS = "SELECT name, beat, checks, started, version FROM mandos.server"
#: A sign of life needs no disk, and must not wait for a standby that is missing.
_IN_HASTE = "SET synchronous_commit = off"
_TIME = """
SELECT clock_timestamp(), correction, (SELECT value FROM mandos.property WHERE name = 'least')
FROM mandos.clock
"""
_CORRECT = """
UPDATE mandos.clock SET correction = correction - make_interval(secs => %(jump)s)
WHERE correction = %(seen)s AND (
    SELECT 2 * count(*) FILTER (WHERE abs(jump - %(jump)s) < 1) > count(*)
    FROM mandos.server
    WHERE extract(epoch FROM mandos.now() - beat) BETWEEN -1 AND 4
        OR extract(epoch FROM mandos.now() - beat) - %(jump)s BETWEEN -1 AND 4
)
"""
_LEAVE = "DELETE FROM mandos.server WHERE name = %s AND run = %s"
#: A jump of the database's clock by fewer seconds is followed.
_TOLERANCE = 2.0
#: Signs of life in which a jump is a proposal; then this server takes it for its own fault.
_PROPOSALS = 6
#: Tries to take a server's name, and seconds between two.
_TRIES, _TRY = 10, 0.2
#: Seconds until a database that does not answer is given up.
_LONGEST = 5.0
#: Seconds for a round trip; the time in a slower answer is not used.
_SLOW = 1.0


class Identity(NamedTuple):
    """A server's name, its machine's boot, a number of this run, and the program's version."""

    name: str
    boot: str
    run: str
    version: str


class Beat(NamedTuple):
    """The answer to a sign of life: the time, when it was right by the own clock, and the rows.

    ``replication`` is the trouble with the database's standbys; empty: there is none.
    """

    moment: datetime
    at: float
    signs: list[tuple[Any, ...]]
    replication: str = ""


@dataclass
class News:
    """What other servers have changed: clients, all clients (None), approvals, the trail."""

    clients: set[str] | None = field(default_factory=set)
    waiting: bool = False
    audit: bool = False

    def __bool__(self) -> bool:
        return self.clients != set() or self.waiting or self.audit


class Pulse:
    """The connection; ``elapsed`` reads the machine's CLOCK_BOOTTIME in seconds."""

    def __init__(self, conninfo: str, identity: Identity, elapsed: Callable[[], float]) -> None:
        self._conninfo = conninfo
        self._identity = identity
        self._elapsed = elapsed
        self._connection: Connection[Any] | None = None
        self._last: tuple[datetime, float] | None = None
        self._correction: timedelta | None = None
        self._proposals = 0
        self._heard: list[str] = []
        self._own = 0
        self._replication = Replication()

    def disregard(self, process: int) -> None:
        """Take changes that come over this connection's process for this server's own."""
        self._own = process

    def connect(self) -> None:
        """Connect, and listen; raises MandosError, also when another server has this one's name."""
        try:
            connection = connect(self._conninfo, f"mandos {self._identity.name} pulse")
        except (psycopg.Error, OSError) as error:
            raise explained(error, self._conninfo) from error
        try:
            with time_limit(connection, _LONGEST):
                self._join(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, psycopg.Error | OSError):
                raise explained(error, self._conninfo) from error
            raise
        self._connection = connection

    def _join(self, connection: Connection[Any]) -> None:
        """Take this server's name, and listen."""
        schema.check(schema.found(connection))
        take_name(connection, self._identity.name)
        self._heard = []
        connection.execute(_IN_HASTE)
        self._replication.renew()
        connection.add_notify_handler(self._hear)
        connection.execute(f"LISTEN {schema.CHANNEL}")

    def beat(self, *, checks: bool) -> Beat:
        """Give a sign of life; raises MandosError, and then the connection is closed."""
        connection = self._connected()
        try:
            with time_limit(connection, _LONGEST):
                moment, at, signs = self._beaten(connection, checks=checks)
        except AdministratorError:
            self.close()
            raise
        except (psycopg.Error, OSError) as error:
            self.close()
            raise explained(error, self._conninfo) from error
        return Beat(moment, at, signs, self._replication.trouble)

    def _beaten(
        self, connection: Connection[Any], *, checks: bool
    ) -> tuple[datetime, float, list[Any]]:
        """The time, its moment by the own clock, and the rows of all servers."""
        self._replication.look(connection, self._elapsed())
        moment, at, jump, seen = self._time(connection)
        values = {**self._identity._asdict(), "checks": checks, "jump": jump}
        values["schema"] = schema.SCHEMA_VERSION
        connection.execute(_BEAT, values)
        if jump:
            connection.execute(_CORRECT, {"jump": jump, "seen": seen})
            moment, at, _jump, _seen = self._time(connection)
        return moment, at, connection.execute(_SIGNS).fetchall()

    def _time(self, connection: Connection[Any]) -> tuple[datetime, float, float, timedelta]:
        """The time, its moment by the own clock, a jump in seconds, the correction in force."""
        before = self._elapsed()
        rows: list[tuple[datetime, timedelta, str]] = connection.execute(_TIME).fetchall()
        after = self._elapsed()
        raw, correction, least = rows[0]
        schema.check_least(int(least))
        moment, at = raw + correction, (before + after) / 2
        if self._last is None:
            self._last, self._correction = (moment, at), correction
            return moment, at, 0.0, correction
        expected = self._last[0] + timedelta(seconds=at - self._last[1])
        if after - before > _SLOW:
            return expected, at, 0.0, correction
        jump = (moment - expected).total_seconds()
        decided = correction != self._correction  # by most of the others, or an administrator
        if abs(jump) < _TOLERANCE or self._proposals >= _PROPOSALS or decided:
            self._last, self._correction, self._proposals = (moment, at), correction, 0
            return moment, at, 0.0, correction
        self._proposals += 1
        return expected, at, jump, correction

    def wait(self, seconds: float, wake: int) -> News:
        """Wait for news, until a byte can be read from ``wake``, or so long.

        Raises MandosError, and then the connection is closed.
        """
        connection = self._connected()
        try:
            found = self._news(connection)
            if not found:
                select.select([connection.fileno(), wake], (), (), seconds)
                found = self._news(connection)
        except (psycopg.Error, OSError) as error:
            self.close()
            raise explained(error, self._conninfo) from error
        return found

    def _news(self, connection: Connection[Any]) -> News:
        news = News()
        connection.pgconn.consume_input()
        while (notice := connection.pgconn.notifies()) is not None:
            self._hear(psycopg.Notify(schema.CHANNEL, notice.extra.decode(), notice.be_pid))
        heard, self._heard = self._heard, []
        for payload in heard:
            kind, *names = payload.split("\n")
            if kind == "client" and names == [""]:
                news.clients = None
            elif kind == "client" and news.clients is not None:
                news.clients.update(names)
            news.waiting |= kind == "waiting"
            news.audit |= kind == "audit"
        return news

    def _hear(self, notice: psycopg.Notify) -> None:
        """Note a notification, which may arrive in the middle of any statement."""
        if notice.pid != self._own:
            self._heard.append(notice.payload)

    def _connected(self) -> Connection[Any]:
        if self._connection is None:
            raise MachineError("the database is not connected")
        return self._connection

    def leave(self) -> None:
        """Take this server out of the list, so that others check its clients at once."""
        if self._connection is not None:
            with suppress(psycopg.Error, OSError), time_limit(self._connection, _LONGEST):
                self._connection.execute(_LEAVE, (self._identity.name, self._identity.run))
        self.close()

    def close(self) -> None:
        """Close the connection; harmless when repeated."""
        if self._connection is not None:
            with suppress(psycopg.Error, OSError):
                self._connection.close()
        self._connection = None


def take_name(connection: Connection[Any], name: str) -> None:
    """Keep a server's name for this connection; raises MachineError when a server uses it.

    The database may need a moment to notice that a server with this name was killed.
    """
    for _try in range(_TRIES):
        (free,) = connection.execute(_LOCK, (_NAMES, name)).fetchone() or (False,)
        if free:
            return
        time.sleep(_TRY)
    raise MachineError(
        f"another server uses the name {name} in the same database",
        "give each server a name of its own: server_name in mandos.conf",
    )
