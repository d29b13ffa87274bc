# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state on disk: a SQLite database in the state directory, and the list of disabled clients.

Once ``write`` has returned, its data survives a crash of the server and of the machine
(write-ahead log, ``synchronous=FULL``; https://www.sqlite.org/pragma.html).  Dates are whole
microseconds since 1970, UTC; durations are whole microseconds.

If the state can be read but not written, the server runs from a copy of the database in memory
until ``reopen`` succeeds.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mandos.errors import MachineError
from mandos.server.life.saved import Saved
from mandos.server.state import disabled_list, life_rows, obstacles, schema
from mandos.server.state.audit_table import AuditTable, SQLiteRows, insert_entries, read
from mandos.server.state.rescue import Copy, read_copy, read_names
from mandos.server.state.schema import UnusableError
from mandos.server.state.settings_text import settings_of, text_of
from mandos.server.state.store import Kept, Outcome, State
from mandos.server.state.timestamps import from_number, to_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mandos.client_settings import ClientSettings
    from mandos.server.state.store import Changes, Entry

log = logging.getLogger(__name__)

DATABASE, WITNESS = obstacles.DATABASE, obstacles.WITNESS

#: Origin of a client: the files, or an administrator's order; or an administrator removed it.
_FILE, _ADDED, _REMOVED = "file", "added", "removed"
#: The columns of a life as they are read, and the statement that writes them.
_LIFE = ", ".join(f"life.{column}" for column in life_rows.COLUMNS)
_REPLACE_LIFE = (
    f"REPLACE INTO life (name, {', '.join(life_rows.COLUMNS)})"  # noqa: S608 - our own names
    f" VALUES (?{', ?' * len(life_rows.COLUMNS)})"
)


class SQLiteStore:
    """The state of one server in a directory, which one process has open: a ``StateStore``."""

    def __init__(
        self,
        directory: Path,
        audit_limit: int = 100_000,
        *,
        lock: int | None = None,
        copy: Copy | None = None,
    ) -> None:
        """Open the state, which is made when it is missing.

        ``lock`` is the result of ``claim``; ``copy`` is the part of the state that could be read
        before root was given up.  Raises MachineError when another server uses the directory, and
        when neither the database nor the list of disabled clients can be read: then no client can
        be served safely.
        """
        self._path = directory / DATABASE
        self._witness = directory / WITNESS
        self._reserve = directory / obstacles.RESERVE
        self._lock = claim(directory) if lock is None else lock
        self._lost = ""
        self._copy = copy
        self._blind = False
        self._stale = False
        self._disabled: frozenset[str] | None = None
        self._audit_limit = audit_limit
        self.trouble: MachineError | None = None
        try:
            self._connection = self._opened()
            self._audit = AuditTable(SQLiteRows(self._connection), audit_limit)
        except MachineError:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Free the state directory for another server."""
        self._connection.close()
        os.close(self._lock)

    def reopen(self) -> bool:
        """Try to write again after ``trouble``: true when all that is known must be written anew.

        A database that could never be read is left alone until the next start.
        """
        if self.trouble is None or self._blind:
            return False
        try:
            connection = self._usable()
            audit = AuditTable(SQLiteRows(connection), self._audit_limit)
        except (sqlite3.Error, OSError) as error:
            self.trouble = self._cannot("write", error)
            return False
        self._connection.close()
        self._connection, self._audit, self.trouble = connection, audit, None
        self._stale, self._lost = True, ""
        return True

    def records(
        self, client: str | None = None, limit: int = 1000, before: int | None = None
    ) -> list[Entry]:
        """The newest records of the audit trail, newest first; raises MachineError."""
        try:
            return list(read(self._connection, client, limit, before))
        except (sqlite3.Error, ValueError, ArithmeticError) as error:
            raise self._cannot("read", error) from error

    def load(self, configured: Sequence[ClientSettings] = ()) -> State:
        """Return the state of the last run; settings equal to ``configured`` share its objects."""
        disabled = self._disabled = self._read_witness()
        self._stale = self._stale or disabled is None
        known = {settings.name: settings for settings in configured}
        saved: dict[str, Saved] = {}
        removed: dict[str, ClientSettings] = {}
        try:
            if not self._lost:
                saved, removed = dict(self._clients(known)), dict(self._tombstones())
        except Exception as error:
            if not schema.is_damage(error):
                raise self._cannot("read", error) from error
            self._begin_anew(UnusableError(f"has a damaged record ({error})", "damaged"))
            saved, removed = {}, {}
            # A list that is missing means something else now than it did before.
            disabled = self._disabled = self._read_witness()
        if disabled is None and not saved and not self._lost:
            self._lost = f"{self._path} is empty, and {self._witness} is damaged"
        return State(saved, removed, disabled, self._lost)

    def write(self, changes: Changes) -> Outcome:
        """Save all of it or nothing; it is on disk when this returns.

        Grants each wish, since this server alone decides.  Raises MachineError.  Even then the list
        of disabled clients is written if it has room.
        """
        before = self._disabled or frozenset()
        after = (before - changes.removed) | {
            name for name, life in changes.lives.items() if not life.enabled
        }
        after |= changes.tombstones.keys()
        after -= {name for name, life in changes.lives.items() if life.enabled}
        try:
            self._testify(before | after)
            if self.trouble is not None:
                raise self.trouble
            with self._transaction() as cursor:
                self._write_clients(cursor, changes)
                self._audit.add([*changes.records, *(wish.record for wish in changes.wishes)])
            self._testify(after)
        except (sqlite3.Error, OSError) as error:
            with suppress(sqlite3.Error):
                self._audit.recount()
            raise self.trouble or self._cannot("write", error) from error
        return Outcome()

    def copy_to(self, path: Path) -> None:
        """Write the database, as it is now, to another file; raises MachineError."""
        try:
            with closing(sqlite3.connect(path)) as copy:
                self._connection.backup(copy)
        except sqlite3.Error as error:
            raise self._cannot("copy", error) from error

    def restore_trail(self, entries: Sequence[Entry]) -> None:
        """Add records with their numbers and repetitions; raises MachineError."""
        try:
            with self._transaction():
                insert_entries(self._connection, entries)
            self._audit.recount()
        except sqlite3.Error as error:
            raise self._cannot("write", error) from error

    def settle(self) -> None:
        """Move everything from the write-ahead log into the file; raises MachineError."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._cannot("write", error) from error

    def forget(self) -> None:
        """Forget all clients, but not the audit trail.

        Raises MachineError, with nothing forgotten.
        """
        if self.trouble is not None:
            raise self.trouble
        try:
            with self._transaction() as cursor:
                cursor.execute("DELETE FROM client")
                cursor.execute("DELETE FROM life")
            self._stale = True
            self._testify(frozenset())
        except (sqlite3.Error, OSError) as error:
            raise self._cannot("write", error) from error
        self._lost = ""

    # Opening

    def _opened(self) -> sqlite3.Connection:
        """The database, or a copy of it in memory when it cannot be written."""
        try:
            connection = self._usable()
        except (sqlite3.Error, OSError) as error:
            self.trouble = self._cannot("write", error)
            return self._copied()
        self._make_reserve()
        return connection

    def _usable(self) -> sqlite3.Connection:
        """The database as it is, or a new one after the unusable one has been set aside."""
        existed = self._path.exists()
        try:
            connection = self._connected()
        except UnusableError as error:
            self._set_aside(error)
            return self._connected()
        if not existed and self._witness.exists():
            self._lost = f"{self._path} is missing"
        return connection

    def _connected(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            schema.prepare(connection)
            AuditTable(SQLiteRows(connection), self._audit_limit)
        except UnusableError:
            connection.close()
            raise
        except Exception as error:
            connection.close()
            if schema.is_damage(error) or self._only_says_read_only(error):
                raise UnusableError(f"is damaged ({error})", "damaged") from error
            raise
        return connection

    def _only_says_read_only(self, error: Exception) -> bool:
        """Whether SQLite refuses to write a file because of its content, rather than its rights."""
        read_only = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
        found = obstacles.obstacle(self._path.parent, os.geteuid(), _own_name())
        return read_only and found is None and os.access(self._path, os.W_OK, effective_ids=True)

    def _copied(self) -> sqlite3.Connection:
        """A copy in memory that replaces a database that cannot be written."""
        copy = self._copy = self._copy or read_copy(self._path.parent)
        connection = copy.database
        try:
            if connection is not None:
                schema.check(connection)
                schema.migrate(connection)
                AuditTable(SQLiteRows(connection), self._audit_limit)
                return connection
        except Exception as error:
            if not (isinstance(error, UnusableError) or schema.is_damage(error)):
                raise
            what = error if isinstance(error, UnusableError) else f"is damaged ({error})"
            self._lost = f"{self._path} {what}"
        self._blind = bool(copy.problem)
        if self._blind:
            self._lost = f"it cannot be used in this run: {copy.problem}"
            self.trouble = self._unreadable(copy.problem)
            if copy.names.names is None:
                raise self.trouble
        elif not self._lost and copy.names.names:
            self._lost = f"{self._path} is missing"
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        schema.migrate(connection)
        return connection

    def _begin_anew(self, error: UnusableError) -> None:
        """Go on without the database that is there."""
        self._connection.close()
        if self.trouble is None:
            self._set_aside(error)
            self._connection = self._connected()
        else:
            self._lost = f"{self._path} {error}"
            self._connection = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            schema.migrate(self._connection)
        self._audit = AuditTable(SQLiteRows(self._connection), self._audit_limit)

    def _unreadable(self, problem: str) -> MachineError:
        found = obstacles.obstacle(self._path.parent, os.geteuid(), _own_name())
        return MachineError(
            f"cannot read the state in {self._path.parent}: {problem}",
            f"{found.mend if found else f'see: ls -la {self._path.parent}; dmesg'};"
            " then restart the server",
        )

    def _set_aside(self, error: UnusableError) -> None:
        """Rename the unusable files, so that an administrator can examine them.

        If the server is killed before it writes a new database, the list must still show the loss.
        """
        if self._read_witness() is None or not self._witness.exists():
            disabled_list.write_unknown(self._witness)
        stamp = f"{error.ending}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
        for ending in ("", "-wal", "-shm"):
            old = self._path.with_name(DATABASE + ending)
            if os.path.lexists(old):
                old.rename(self._path.with_name(f"{DATABASE}.{stamp}{ending}"))
        aside = self._path.with_name(f"{DATABASE}.{stamp}")
        self._lost = f"{self._path} {error}; it is now {aside}"

    def _cannot(self, what: str, error: Exception) -> MachineError:
        said = error.strerror if isinstance(error, OSError) else str(error)
        mend = (
            f"see whether there is room and who may write: df -h {self._path.parent};"
            f" ls -la {self._path.parent}"
        )
        if found := obstacles.obstacle(self._path.parent, os.geteuid(), _own_name()):
            said, mend = f"{found.said} ({said})", found.mend
        return MachineError(f"cannot {what} the state in {self._path.parent}: {said}", mend)

    # Reading

    def _read_witness(self) -> frozenset[str] | None:
        """The list of disabled clients; None when there must have been one, but it is lost."""
        found = read_names(self._path.parent)
        self._stale = self._stale or found.late
        if found.problem and self._copy is not None and not self._copy.names.problem:
            self._stale = True
            found = self._copy.names
        if found.missing and found.names is None:
            return None if self._lost else frozenset()
        if found.problem:
            log.error("the list of disabled clients cannot be used: %s", found.problem)
        return found.names

    def _clients(self, known: dict[str, ClientSettings]) -> Iterator[tuple[str, Saved]]:
        query = f"SELECT client.*, {_LIFE} FROM client JOIN life ON client.name = life.name"  # noqa: S608 - our own names
        for row in self._connection.execute(query):
            name, text, secret, configured_text, configured_secret, origin, absent, *life = row
            own = known.get(name)
            settings = settings_of(name, text, secret, own)
            configured = settings
            if configured_text is not None:
                configured = settings_of(name, configured_text, configured_secret, own)
            past, since = life_rows.life_of(life), from_number(absent)
            yield name, Saved(settings, configured, past, origin == _ADDED, since)

    def _tombstones(self) -> Iterator[tuple[str, ClientSettings]]:
        query = "SELECT name, settings, secret FROM client WHERE origin = ?"
        for name, text, secret in self._connection.execute(query, (_REMOVED,)):
            yield name, settings_of(name, text, secret, None)

    # Writing

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
            cursor.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        finally:
            cursor.close()

    def _write_clients(self, cursor: sqlite3.Cursor, changes: Changes) -> None:
        """In the order of the tables' keys, in which many rows take two thirds of the time."""
        removed = [(name,) for name in changes.removed]
        cursor.executemany("DELETE FROM client WHERE name = ?", removed)
        cursor.executemany("DELETE FROM life WHERE name = ?", removed)
        cursor.executemany(
            "REPLACE INTO client VALUES (?, ?, ?, ?, ?, ?, ?)",
            (_client_row(kept) for _name, kept in sorted(changes.settings.items())),
        )
        cursor.executemany(
            "REPLACE INTO client VALUES (?, ?, ?, NULL, NULL, ?, NULL)",
            (
                (name, text_of(settings), settings.secret, _REMOVED)
                for name, settings in changes.tombstones.items()
            ),
        )
        cursor.executemany(
            _REPLACE_LIFE,
            (life_rows.row_of(name, life) for name, life in sorted(changes.lives.items())),
        )

    def _testify(self, disabled: frozenset[str]) -> None:
        """Write the list to disk; if a new file has no room, into the reserve."""
        if disabled == self._disabled and not self._stale:
            return
        try:
            disabled_list.write(self._witness, disabled)
        except OSError:
            if disabled != self._disabled or not self._stale:
                disabled_list.write_reserved(self._reserve, disabled)
            self._stale = True
        else:
            self._stale = False
            self._make_reserve(clear=True)
        self._disabled = disabled

    def _make_reserve(self, *, clear: bool = False) -> None:
        try:
            disabled_list.reserve(self._reserve)
            if clear:
                disabled_list.clear_reserved(self._reserve)
        except OSError as error:
            log.debug("no room is kept for the list of disabled clients: %s", error.strerror)


def claim(directory: Path) -> int:
    """Keep other servers from using a state directory, until the returned lock is closed.

    Raises MachineError when it cannot be used, or when another server uses it.
    """
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        said = error.strerror
        mend = (
            f"create it for the server's user: install -d -o _mandos -g _mandos -m 700 {directory}"
        )
        if found := obstacles.obstacle(directory, os.geteuid(), _own_name()):
            said, mend = found
        raise MachineError(f"cannot use the state directory {directory}: {said}", mend) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise MachineError(
            f"another server uses the state directory {directory}",
            "stop it first, or give this one its own --statedir",
        ) from error
    return lock


def _own_name() -> str:
    return obstacles.user_name(os.geteuid())


def _client_row(kept: Kept) -> tuple[object, ...]:
    settings, configured, origin = kept.settings, kept.configured, _ADDED if kept.added else _FILE
    row = (settings.name, text_of(settings), settings.secret)
    absent = to_number(kept.absent)
    if settings == configured:
        return (*row, None, None, origin, absent)
    return (*row, text_of(configured), configured.secret, origin, absent)
