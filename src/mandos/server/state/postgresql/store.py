# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state that several servers share in a PostgreSQL database: a ``StateStore``.

A write locks the rows of its clients, merges this server's changes with those of others, and
commits synchronously: what it acknowledges survives as the database promises it.  Dates are in the
database's time.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from mandos.errors import MachineError, MandosError
from mandos.server.audit.records import Kind
from mandos.server.life.saved import Saved
from mandos.server.state.audit_table import AuditTable
from mandos.server.state.postgresql import audit, schema, statements
from mandos.server.state.postgresql.connection import connect, explained
from mandos.server.state.postgresql.writing import ADDED, REMOVED, Writing
from mandos.server.state.settings_text import settings_of
from mandos.server.state.store import Known, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

    from mandos.client_settings import ClientSettings
    from mandos.server.audit.records import Record
    from mandos.server.state.store import Changes, Entry, Outcome

log = logging.getLogger(__name__)


class PostgreSQLStore:
    """The shared state as one server, ``server``, sees it."""

    def __init__(self, conninfo: str, server: str, audit_limit: int = 100_000) -> None:
        """Prepare to connect, which ``open`` does."""
        self._conninfo = conninfo
        self._server = server
        self._audit_limit = audit_limit
        self._damaged: set[str] = set()
        self.trouble: MachineError | None = MachineError("the database is not connected yet")
        self._open_connection: Connection[Any] | None = None
        #: Called with the number of each new connection's process, whose notifications are known.
        self.on_backend: Callable[[int], object] = int

    @property
    def _connection(self) -> Connection[Any]:
        if self._open_connection is None:
            raise self.trouble or MachineError("the database is not connected")
        return self._open_connection

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
            self.trouble = MachineError(str(error), error.hint)
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
            rows = audit.PostgreSQLRows(connection, self._server)
            self._audit = AuditTable(rows, self._audit_limit)
        except BaseException as error:
            connection.close()
            if isinstance(error, psycopg.Error | OSError):
                raise explained(error, self._conninfo) from error
            raise
        self._open_connection, self.trouble = connection, None
        self.on_backend(connection.info.backend_pid)

    def _failed(self, error: Exception) -> MachineError:
        """The error for people; a broken connection is trouble until ``reopen`` has renewed it."""
        said = explained(error, self._conninfo)
        found = said if isinstance(said, MachineError) else MachineError(str(said), said.hint)
        if self._connection.closed or self._connection.broken:
            self.trouble = found
        return found

    def now(self) -> datetime:
        """The time of the clients' lives; raises MachineError."""
        try:
            moments: list[datetime] = [row[0] for row in self._connection.execute(statements.NOW)]
        except psycopg.Error as error:
            raise self._failed(error) from error
        return moments[0]

    # Reading

    def load(self, configured: Sequence[ClientSettings] = ()) -> State:
        """Return all clients; settings equal to ``configured`` share its objects."""
        files = {settings.name: settings for settings in configured}
        try:
            with self._connection.transaction():
                here, elsewhere, absent = self._read_sections(files)
                read = dict(self._read(None, files))
        except psycopg.Error as error:
            raise self._failed(error) from error
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
        removed = {name: here[name] for name in here.keys() - known.keys()}
        return State(saved, removed, shared=True, known=known)

    def _read_sections(
        self, files: Mapping[str, ClientSettings]
    ) -> tuple[dict[str, ClientSettings], set[str], dict[str, datetime]]:
        """The sections of this server's files, names in other files, and those missing here."""
        here: dict[str, ClientSettings] = {}
        elsewhere: set[str] = set()
        absent: dict[str, datetime] = {}
        for name, server, text, secret, since in self._connection.execute(statements.SECTIONS):
            if server != self._server:
                elsewhere |= {name} if since is None else set()
                continue
            try:
                here[name] = settings_of(name, text, secret, files.get(name))
            except Exception as error:  # noqa: BLE001 - damage has exceptions of any kind
                log.error("section %r of server %s is damaged: %s", name, server, error)  # noqa: TRY400
                continue
            if since is not None:
                absent[name] = since
        return here, elsewhere, absent

    def _read(
        self, names: Collection[str] | None, files: Mapping[str, ClientSettings]
    ) -> Iterator[tuple[str, Known | None]]:
        """The clients of these names, or all; None for one that is removed or damaged."""
        query, values = statements.READ, None
        if names is not None:
            query, values = f"{query} WHERE client.name = ANY(%s)", (list(names),)
        for row in self._connection.execute(query, values):
            name, text, secret, origin, version, verdict, until, life_version, *life = row
            if origin == REMOVED or life_version is None:
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
            yield name, Known(past, settings, origin == ADDED, version, life_version, word)

    def _complain(self, name: str, error: Exception) -> None:
        """Log a damaged client, once."""
        if name not in self._damaged:
            self._damaged.add(name)
            log.error(
                "the client %r in the database is damaged (%s): it gets nothing; mend its rows in"
                " mandos.client and mandos.life, or remove it with mandos-ctl",
                *(name, error),
            )

    def changed(self, names: Collection[str]) -> dict[str, Known | None]:
        """Return these clients as they are now; None: there is no such client."""
        try:
            found = dict(self._read(names, {}))
        except psycopg.Error as error:
            raise self._failed(error) from error
        return {name: found.get(name) for name in names}

    def outdated(self, versions: Mapping[str, tuple[int, int]]) -> set[str]:
        """Return the names of clients with other versions, of settings and life, than these."""
        try:
            rows = self._connection.execute(statements.VERSIONS).fetchall()
        except psycopg.Error as error:
            raise self._failed(error) from error
        present = {name: (one, other) for name, one, other in rows if other is not None}
        other = {name for name, pair in present.items() if versions.get(name) != pair}
        return other | (versions.keys() - present.keys())

    def waiting(self) -> set[str]:
        """Return the names of clients with requests that wait at other servers."""
        try:
            rows = self._connection.execute(statements.WAITING, (self._server,)).fetchall()
        except psycopg.Error as error:
            raise self._failed(error) from error
        return {name for (name,) in rows}

    def records(
        self, client: str | None = None, limit: int = 1000, before: int | None = None
    ) -> list[Entry]:
        """The newest records of the audit trail, newest first; raises MachineError."""
        try:
            return list(audit.read(self._connection, client, limit, before))
        except (psycopg.Error, ValueError) as error:
            raise self._failed(error) from error

    def last_record(self) -> int:
        """Return the number of the newest record; 0: there is none.  Raises MachineError."""
        try:
            return audit.last_record(self._connection)
        except psycopg.Error as error:
            raise self._failed(error) from error

    def records_after(self, number: int, missing: Collection[int], limit: int) -> list[Entry]:
        """Return the newest records above ``number``, so many, and the missing ones, in order."""
        try:
            return audit.read_after(self._connection, number, missing, limit)
        except psycopg.Error as error:
            raise self._failed(error) from error

    # Writing

    def write(self, changes: Changes) -> Outcome:
        """Merge and save all of it or nothing, and decide about the wishes; raises MachineError.

        Two servers that lock the same clients in another order are told apart by the database: one
        of them tries again.
        """
        if self.trouble is not None:
            raise self.trouble
        for last in (False, True):
            try:
                return self._written(changes)
            except psycopg.errors.DeadlockDetected as error:
                if last:
                    raise self._failed(error) from error
            except psycopg.Error as error:
                raise self._failed(error) from error
        raise AssertionError

    def _written(self, changes: Changes) -> Outcome:
        writing = Writing(self._connection, self._server, changes)
        try:
            with self._connection.transaction():
                outcome = writing.clients()
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
        return outcome

    def forget(self) -> None:
        """Refuse: the state belongs to all servers.  Raises MachineError."""
        raise MachineError(
            "one server cannot forget the state that it shares with others",
            "remove single clients with mandos-ctl --remove",
        )


def _true(changes: Changes, outcome: Outcome) -> list[Record]:
    """The records, without those of clients that did not expire after all."""
    enabled = {
        name
        for name, life in changes.lives.items()
        if not life.enabled and (one := outcome.clients.get(name)) and one.life.enabled
    }
    return [
        record
        for record in changes.records
        if record.kind is not Kind.DISABLED or record.client not in enabled
    ]
