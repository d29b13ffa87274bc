# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state that several servers share in a PostgreSQL database: a ``StateStore``.

A write locks the rows of its clients, merges this server's changes with those of others, and
commits synchronously: what it acknowledges survives as the database promises it.  Dates are in the
database's time.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from mandos.errors import AdministratorError, MachineError, MandosError
from mandos.server.audit.records import Kind
from mandos.server.life.events import Why
from mandos.server.life.saved import Saved
from mandos.server.state.audit_table import AuditTable
from mandos.server.state.postgresql import audit, schema, statements
from mandos.server.state.postgresql.connection import connect, explained
from mandos.server.state.postgresql.time_limit import time_limit
from mandos.server.state.postgresql.writing import ADDED, REMOVED, Writing
from mandos.server.state.settings_text import settings_of
from mandos.server.state.store import Known, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection
    from psycopg.errors import Diagnostic

    from mandos.client_settings import ClientSettings
    from mandos.server.audit.records import Record
    from mandos.server.state.store import Changes, Entry, Outcome

log = logging.getLogger(__name__)

#: The SQLSTATE of a warning.
_WARNING = "01000"
#: Seconds by which another server's sign of life is later than now only if a clock was set back.
_AHEAD = 2.0
#: Looks at that when a server begins, and seconds between two.
_LOOKS, _LOOK = 24, 0.25

#: Seconds until a database that does not answer is given up; reading all clients takes longer.
_LONGEST, _LONGEST_LOAD = 12.0, 60.0


class _Sections(NamedTuple):
    """The sections in the files of the servers, by the names of the clients.

    ``here``: those of this server, ``absent`` since when they are missing there.  ``elsewhere`` are
    in other servers' files; ``same`` are only there, and equal to the section here now.
    """

    here: dict[str, ClientSettings]
    elsewhere: set[str]
    absent: dict[str, datetime]
    same: set[str]


class PostgreSQLStore:
    """The shared state as one server, ``server``, sees it."""

    def __init__(
        self, conninfo: str, server: str, audit_limit: int = 100_000, *, moving: bool = False
    ) -> None:
        """Prepare to connect, which ``open`` does.

        ``moving``: also when the state of this server was moved out of the database.
        """
        self._conninfo = conninfo
        self._server = server
        self._audit_limit = audit_limit
        self._moving = moving
        self._damaged: set[str] = set()
        self._removed: set[str] = set()
        self._warned = False
        self._has_written = False
        self.trouble: MachineError | None = MachineError("the database is not connected yet")
        self._open_connection: Connection[Any] | None = None
        #: Called with the number of each new connection's process, whose notifications are known.
        self.on_backend: Callable[[int], object] = int

    @property
    def _connection(self) -> Connection[Any]:
        if self._open_connection is None:
            raise self.trouble or MachineError("the database is not connected")
        return self._open_connection

    @property
    def backend(self) -> int:
        """The number of the connection's process, by which its notifications are known."""
        return self._connection.info.backend_pid

    @contextmanager
    def _working(self, seconds: float = _LONGEST) -> Iterator[Connection[Any]]:
        """The connection, for so long at most; an error of the database becomes a MachineError."""
        connection = self._connection
        try:
            with time_limit(connection, seconds):
                yield connection
        except (psycopg.Error, OSError) as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the connection."""
        if self._open_connection is not None:
            with suppress(psycopg.Error):
                self._open_connection.close()

    def reopen(self) -> bool:
        """Connect again after ``trouble``; the caller need not write what it has not changed."""
        if self.trouble is None:
            return False
        self.close()
        try:
            self.open()
        except MandosError as error:
            self.trouble = _of_machine(error)
        return False

    def open(self) -> None:
        """Connect, and make the tables if they are missing.

        Raises MachineError when the database cannot be reached, AdministratorError when it cannot
        be used.
        """
        try:
            connection: Connection[Any] = connect(self._conninfo, f"mandos {self._server}")
        except (psycopg.Error, OSError) as error:
            raise explained(error, self._conninfo) from error
        try:
            schema.prepare(connection)
            if not self._moving:
                self._refuse_left(connection)
            rows = audit.PostgreSQLRows(connection, self._server)
            self._audit = AuditTable(rows, self._audit_limit)
        except BaseException as error:
            connection.close()
            if isinstance(error, psycopg.Error | OSError):
                raise explained(error, self._conninfo) from error
            raise
        connection.add_notice_handler(self._noticed)
        self._open_connection, self.trouble = connection, None
        self.on_backend(connection.info.backend_pid)

    def _noticed(self, notice: Diagnostic) -> None:
        """Note a warning: a wait for a standby that was cancelled ends a commit with one."""
        if notice.sqlstate == _WARNING:
            self._warned = True

    def _refuse_left(self, connection: Connection[Any]) -> None:
        """Raise AdministratorError if this server's state was moved out of the database."""
        if connection.execute(statements.LEFT, (self._server,)).fetchone():
            raise AdministratorError(
                f"the state of the server {self._server} was moved out of the database",
                "remove state from mandos.conf; or move it in again: mandos"
                " --move-state=to-database",
            )

    def _failed(self, error: Exception) -> MachineError:
        """The error for people; a broken connection is trouble until ``reopen`` has renewed it."""
        found = _of_machine(explained(error, self._conninfo))
        if self._connection.closed or self._connection.broken:
            self.trouble = found
        return found

    def _check_least(self, least: str) -> None:
        """Stop using a database that a newer program has changed; raises MachineError."""
        try:
            schema.check_least(int(least))
        except AdministratorError as error:
            self.trouble = _of_machine(error)
            raise self.trouble from error

    def now(self) -> datetime:
        """The time of the clients' lives; raises MachineError."""
        with self._working() as connection:
            moments: list[datetime] = [row[0] for row in connection.execute(statements.NOW)]
        return moments[0]

    def settled(self, pause: Callable[[float], None] = time.sleep) -> datetime:
        """The time of the clients' lives, for a server that begins; raises MachineError.

        When the database's clock has jumped just now, the other servers are about to correct the
        common time: that is waited for, 6 s at most.
        """
        moment, ahead = self._now_and_ahead()
        for _ in range(_LOOKS):
            if not ahead:
                break
            pause(_LOOK)
            moment, ahead = self._now_and_ahead()
        return moment

    def _now_and_ahead(self) -> tuple[datetime, bool]:
        with self._working() as connection:
            values = self._server, _AHEAD
            rows: list[tuple[datetime, bool]]
            rows = connection.execute(statements.NOW_AND_AHEAD, values).fetchall()
        return rows[0]

    # Reading

    def load(self, configured: Sequence[ClientSettings] = ()) -> State:
        """Return all clients; settings equal to ``configured`` share its objects."""
        files = {settings.name: settings for settings in configured}
        with self._working(_LONGEST_LOAD) as connection, connection.transaction():
            sections = self._read_sections(files)
            self._removed = set()
            read = dict(self._read(None, files))
        here, elsewhere, absent = sections.here, sections.elsewhere, sections.absent
        known = {name: one for name, one in read.items() if one is not None}
        saved = {
            name: Saved(
                one.settings,
                here.get(name, files.get(name, one.settings)),
                one.life,
                (name not in here or name in absent) and (one.added or name in elsewhere),
                None if name in elsewhere or one.added else absent.get(name),
            )
            for name, one in known.items()
        }
        removed = {name: here[name] for name in self._removed & here.keys()}
        removed |= {name: files[name] for name in self._removed & sections.same}
        damaged = frozenset(self._damaged)
        removed |= {name: files[name] for name in damaged & files.keys()}
        return State(saved, removed, shared=True, known=known, damaged=damaged)

    def _read_sections(self, files: Mapping[str, ClientSettings]) -> _Sections:
        found = _Sections({}, set(), {}, set())
        for name, server, text, secret, since in self._connection.execute(statements.SECTIONS):
            own = files.get(name)
            try:
                section = settings_of(name, text, secret, own)
            except Exception as error:  # noqa: BLE001 - damage has exceptions of any kind
                log.error("section %r of server %s is damaged: %s", name, server, error)  # noqa: TRY400
                continue
            if server != self._server:
                if since is None:
                    found.elsewhere.add(name)
                if section == own:
                    found.same.add(name)
                continue
            found.here[name] = section
            if since is not None:
                found.absent[name] = since
        found.same.difference_update(found.here)
        return found

    def _read(
        self, names: Collection[str] | None, files: Mapping[str, ClientSettings]
    ) -> Iterator[tuple[str, Known | None]]:
        """The clients of these names, or all; None for one that is removed or damaged."""
        query, values = statements.READ, None
        if names is not None:
            query, values = f"{query} WHERE client.name = ANY(%s)", (list(names),)
        for row in self._connection.execute(query, values):
            least, name, text, secret, origin, present, version, *rest = row
            verdict, until, life_version, *life = rest
            self._check_least(least)
            if origin == REMOVED:
                self._removed.add(name)
                yield name, None
                continue
            try:
                settings = settings_of(name, text, secret, files.get(name))
                past = statements.life_of(life)
            except Exception as error:  # noqa: BLE001 - damage has exceptions of any kind
                self._complain(name, error)
                yield name, None
                continue
            self._damaged.discard(name)
            word = None if verdict is None or until is None else Verdict(verdict, until)
            yield name, Known(past, settings, origin == ADDED, version, life_version, word, present)

    def _complain(self, name: str, error: Exception) -> None:
        """Log a damaged client, once."""
        if name not in self._damaged:
            self._damaged.add(name)
            log.error(
                "the client %r in the database is damaged (%s): it gets nothing; mend its rows in"
                " mandos.client and mandos.life; or delete both and restart the servers: then it"
                " begins anew with its section",
                *(name, error),
            )

    def changed(self, names: Collection[str]) -> dict[str, Known | None]:
        """Return these clients as they are now; None: there is no such client."""
        with self._working():
            found = dict(self._read(names, {}))
        return {name: found.get(name) for name in names}

    def outdated(self, versions: Mapping[str, tuple[int, int]]) -> set[str]:
        """Return the names of clients with other versions, of settings and life, than these."""
        with self._working(_LONGEST_LOAD) as connection:
            rows = connection.execute(statements.VERSIONS).fetchall()
        present = {name: (one, other) for name, one, other in rows if other is not None}
        other = {name for name, pair in present.items() if versions.get(name) != pair}
        return other | (versions.keys() - present.keys())

    def waiting(self, servers: Collection[str]) -> set[str]:
        """Return the names of clients with requests that wait at these servers."""
        with self._working() as connection:
            rows = connection.execute(statements.WAITING, (list(servers),)).fetchall()
        return {name for (name,) in rows}

    def records(
        self, client: str | None = None, limit: int = 1000, before: int | None = None
    ) -> list[Entry]:
        """The newest records of the audit trail, newest first; raises MachineError."""
        try:
            with self._working() as connection:
                return list(audit.read(connection, client, limit, before))
        except ValueError as error:
            raise self._failed(error) from error

    def last_record(self) -> int:
        """Return the number of the newest record; 0: there is none.  Raises MachineError."""
        with self._working() as connection:
            return audit.last_record(connection)

    def records_after(self, number: int, missing: Collection[int], limit: int) -> list[Entry]:
        """Return the newest records above ``number``, so many, and the missing ones, in order."""
        with self._working() as connection:
            return audit.read_after(connection, number, missing, limit)

    # Writing

    def write(self, changes: Changes) -> Outcome:
        """Merge and save all of it or nothing, and decide about the wishes; raises MachineError.

        Two servers that lock the same clients in another order are told apart by the database: one
        of them tries again.
        """
        if self.trouble is not None:
            raise self.trouble
        with self._working():
            try:
                return self._written(changes)
            except psycopg.errors.DeadlockDetected:
                return self._written(changes)

    def _written(self, changes: Changes) -> Outcome:
        writing = Writing(self._connection, self._server, changes)
        self._warned = False
        try:
            with self._connection.transaction():
                ((least, now),) = self._connection.execute(statements.BEGIN).fetchall()
                self._check_least(least)
                outcome = writing.clients(now)
                if not self._has_written:
                    waiting = [name for name, until in changes.waiting.items() if until]
                    self._connection.execute(statements.DROP_OLD_WAITING, (self._server, waiting))
                refused = outcome.refused
                given = (
                    wish.record for place, wish in enumerate(changes.wishes) if place not in refused
                )
                if records := [*_true(changes, outcome), *given]:
                    self._audit.add(records)
        except psycopg.Error:
            with suppress(psycopg.Error):
                self._audit.recount()
            raise
        self._has_written = True
        if self._warned:
            raise MachineError(
                "the database has saved the changes, but may not have told its standby",
                "see its log, and: psql -c 'select * from pg_stat_replication'",
            )
        return outcome

    def forget(self) -> None:
        """Refuse: the state belongs to all servers.  Raises MachineError."""
        raise MachineError(
            "one server cannot forget the state that it shares with others",
            "remove single clients with mandos-ctl --remove",
        )


def settings_in_force(connection: Connection[Any]) -> dict[str, ClientSettings]:
    """Return the settings of all clients but removed and damaged ones; raises psycopg.Error."""
    found: dict[str, ClientSettings] = {}
    for name, text, secret in connection.execute(statements.IN_FORCE):
        with suppress(Exception):  # damage has exceptions of any kind
            found[name] = settings_of(name, text, secret, None)
    return found


def _of_machine(error: MandosError) -> MachineError:
    """The same error, for callers that go on without the database."""
    return error if isinstance(error, MachineError) else MachineError(str(error), error.hint)


def _true(changes: Changes, outcome: Outcome) -> list[Record]:
    """The records, without those of clients that did not expire after all.

    Their expiry may have been undone here, too, before it could be written.
    """
    enabled = {name for name, one in outcome.clients.items() if one and one.life.enabled}
    enabled -= {record.client for record in changes.records if record.kind is Kind.ENABLED}
    return [
        record
        for record in changes.records
        if record.kind is not Kind.DISABLED
        or record.detail != Why.TIMEOUT
        or record.client not in enabled
    ]
