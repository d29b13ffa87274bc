# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The side of the database when a server's state is moved: see ``state/moving.py``.

Everything is one transaction, with a mark that says which state it was: a repetition finds the mark
and changes nothing.  A server that comes second finds clients of the first: a disabled client stays
or becomes disabled, and settings in force stay.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg

from mandos.client_settings import ClientSettings
from mandos.errors import AdministratorError, MachineError
from mandos.server.life.merge import latest
from mandos.server.life.saved import unknown_life
from mandos.server.state.moving import Whole
from mandos.server.state.postgresql import audit, pulse, schema, statements
from mandos.server.state.postgresql.connection import connect, explained
from mandos.server.state.postgresql.statements import columns, parts
from mandos.server.state.postgresql.store import PostgreSQLStore
from mandos.server.state.postgresql.writing import ADDED, FILE, REMOVED
from mandos.server.state.settings_text import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

    from mandos.server.life.life import Life
    from mandos.server.life.saved import Saved

#: Rows in a statement: each must end within the limits of ``connection.py``.
_BATCH = 1000
_ALL = 1 << 40
_USED = (
    "SELECT server FROM mandos.section UNION SELECT server FROM mandos.audit"
    " UNION SELECT name FROM mandos.server"
)
_ALIVE = "SELECT name FROM mandos.server WHERE beat > mandos.now() - interval '5 s' ORDER BY name"
_MOVED = "SELECT server, fingerprint, away FROM mandos.moved"
_MOVED_IN = (
    "INSERT INTO mandos.moved VALUES (%s, %s, false)"
    " ON CONFLICT (server) DO UPDATE SET (fingerprint, away) = ROW(excluded.fingerprint, false)"
)
_MOVED_OUT = (
    "INSERT INTO mandos.moved VALUES (%s, '', true)"
    " ON CONFLICT (server) DO UPDATE SET (fingerprint, away) = ROW('', true)"
)
_OWN_SECTIONS = "DELETE FROM mandos.section WHERE server = %s"
_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'mandos%'"


class MovingDatabase:
    """The database of ``conninfo`` for the stopped server ``server``."""

    def __init__(self, conninfo: str, server: str) -> None:
        self._conninfo = conninfo
        self._server = server

    @contextmanager
    def _connected(self) -> Iterator[Connection[Any]]:
        """Connect, with this server's name for the connection alone.  Raises MandosError."""
        try:
            with connect(self._conninfo, f"mandos --move-state {self._server}") as connection:
                schema.prepare(connection)
                pulse.take_name(connection, self._server)
                yield connection
        except (psycopg.Error, OSError) as error:
            raise explained(error, self._conninfo) from error

    # In

    def move_in(self, whole: Whole) -> list[str]:
        """Take over the state of this server, whole or not at all; returns remarks.

        Raises MandosError, also when the database has another state of this server.
        """
        mark = whole.fingerprint()
        with self._connected() as connection, connection.transaction():
            connection.execute(statements.LOCK_ADDING)
            if mark in [
                it for name, it, _away in connection.execute(_MOVED) if name == self._server
            ]:
                return ["the database has this state already; nothing was changed"]
            self._make_room(connection)
            remarks = list(_Entering(connection, self._server, whole).enter())
            connection.execute(_MOVED_IN, (self._server, mark))
        return remarks

    def _away(self, connection: Connection[Any]) -> set[str]:
        """The names of servers that have left with their states."""
        return {name for name, _fingerprint, away in connection.execute(_MOVED) if away}

    def _make_room(self, connection: Connection[Any]) -> None:
        """Refuse if this server has a state here, unless it has left with it."""
        used = {name for (name,) in connection.execute(_USED)}
        left = self._away(connection)
        if used and used <= left:
            self._set_aside(connection)
        elif self._server in left:
            connection.execute(_OWN_SECTIONS, (self._server,))
        elif self._server in used:
            raise AdministratorError(
                f"the database has a state of the server {self._server} already, and another one",
                "give this server another server_name; or, to use the state that is there, start"
                " it with another --statedir",
            )

    def _set_aside(self, connection: Connection[Any]) -> None:
        """Keep the tables, which all servers have left, under another name, and begin anew."""
        names = {name for (name,) in connection.execute(_SCHEMAS)}
        free = next(name for it in count(1) if (name := f"mandos_old_{it}") not in names)
        connection.execute(f"ALTER SCHEMA mandos RENAME TO {free}".encode())
        schema.prepare(connection)

    # Out

    def move_out(self) -> Whole:
        """Return the state for this server.  Raises MandosError, also while a server lives."""
        with self._connected() as connection:
            alive = [name for (name,) in connection.execute(_ALIVE)]
        if alive:
            raise AdministratorError(
                f"servers use the database: {', '.join(alive)}",
                "stop all of them first: each would go on with a state of its own",
            )
        store = PostgreSQLStore(self._conninfo, self._server, moving=True)
        store.open()
        try:
            state = store.load()
            if state.damaged:
                raise MachineError(
                    f"clients in the database are damaged: {', '.join(sorted(state.damaged))}",
                    "mend or delete their rows in mandos.client and mandos.life",
                )
            trail = store.records(limit=_ALL)[::-1]
        finally:
            store.close()
        return Whole(state.saved, state.removed, frozenset(), trail)

    def left(self) -> None:
        """Mark that this server is not to use the database any more.  Raises MandosError."""
        with self._connected() as connection:
            connection.execute(_MOVED_OUT, (self._server,))

    def has_left(self) -> bool:
        """Whether this server is marked so.  Raises MandosError."""
        with self._connected() as connection:
            return self._server in self._away(connection)


class _Entering:
    """Writes a server's state; the tables may have clients of other servers."""

    def __init__(self, connection: Connection[Any], server: str, whole: Whole) -> None:
        self._connection = connection
        self._server = server
        self._whole = whole

    def enter(self) -> Iterator[str]:
        """Write everything; yields remarks.  Raises psycopg.Error."""
        ((now,),) = self._connection.execute(statements.NOW)
        for names in parts(sorted(self._whole.saved), _BATCH):
            yield from self._put({name: self._whole.saved[name] for name in names})
        for names in parts(sorted(self._whole.removed), _BATCH):
            yield from self._put_removed({name: self._whole.removed[name] for name in names})
        for names in parts(sorted(self._whole.listed), _BATCH):
            self._put_listed(names, now)
        audit.append(self._connection, self._server, self._whole.trail)

    def _stored(self, names: list[str]) -> dict[str, list[Any]]:
        rows = self._connection.execute(statements.LOCK_CLIENTS, (names,))
        return {name: rest for name, *rest in rows}

    def _put(self, clients: Mapping[str, Saved]) -> Iterator[str]:
        names = sorted(clients)
        stored = self._stored(names)
        lives = {
            name: statements.life_of(row)
            for name, _version, *row in self._connection.execute(statements.LOCK_LIVES, (names,))
        }
        rows: list[tuple[object, ...]] = []
        for name, one in sorted(clients.items()):
            old = stored.get(name)
            if old is not None and old[2] != REMOVED:
                if old[:2] != [text_of(one.settings), one.settings.secret]:
                    yield f"client {name}: the settings that the database has stay in force"
                continue
            if old is not None:
                yield f"client {name}: removed at another server, and back with this one's state"
            origin = ADDED if one.added else FILE
            values = text_of(one.settings), one.settings.secret, one.settings.key_id
            rows.append((name, *values, origin))
        self._execute(statements.PUT_CLIENTS, rows)
        merged = {name: _life(one.life, lives.get(name)) for name, one in clients.items()}
        changed = [(name, life) for name, life in sorted(merged.items()) if life != lives.get(name)]
        if changed:
            self._connection.execute(statements.PUT_LIVES, statements.life_arrays(changed))
        for name, life in changed:
            if name in lives and lives[name].enabled and not life.enabled:
                yield f"client {name}: disabled, as it was at this server"
        here = [(name, one) for name, one in clients.items() if not one.added]
        self._put_sections([(name, one.configured, one.absent) for name, one in here])

    def _put_sections(
        self, sections: Iterable[tuple[str, ClientSettings, datetime | None]]
    ) -> None:
        rows = [(name, text_of(one), one.secret, absent) for name, one, absent in sections]
        if rows:
            self._connection.execute(statements.PUT_SECTIONS, (self._server, *columns(rows)))

    def _put_removed(self, removed: Mapping[str, ClientSettings]) -> Iterator[str]:
        """Write the marks of removed clients; one that another server has stays."""
        stored = self._stored(sorted(removed))
        rows = []
        for name, one in sorted(removed.items()):
            if name not in stored:
                rows.append((name, text_of(one), one.secret, one.key_id, REMOVED))
            elif stored[name][2] != REMOVED:
                yield f"client {name}: removed at this server, and stays, since another one has it"
        self._execute(statements.PUT_CLIENTS, rows)
        self._put_sections((name, one, None) for name, one in removed.items())

    def _put_listed(self, names: list[str], now: datetime) -> None:
        """Write clients of which only the name is known, and that they are disabled."""
        stored = self._stored(names)
        new = [ClientSettings(name=name, secret=b"") for name in names if name not in stored]
        rows = [(it.name, text_of(it), it.secret, it.key_id, FILE) for it in new]
        self._execute(statements.PUT_CLIENTS, rows)
        lives = [(it.name, unknown_life(now)) for it in new]
        if lives:
            self._connection.execute(statements.PUT_LIVES, statements.life_arrays(lives))
        self._put_sections((it.name, it, now) for it in new)

    def _execute(self, query: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._connection.execute(query, columns(rows))


def _life(ours: Life, theirs: Life | None) -> Life:
    """The life of a client that two servers had by themselves: a disabled one stays disabled."""
    if theirs is None:
        return ours
    if not theirs.enabled or ours.enabled:
        chosen, other = theirs, ours
    else:
        chosen, other = ours, theirs
    expires = chosen.expires
    if chosen.enabled and expires is not None and other.expires is not None:
        expires = max(expires, other.expires)
    return replace(chosen, **latest(ours, theirs), expires=expires)
