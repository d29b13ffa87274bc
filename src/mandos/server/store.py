# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state on disk: a SQLite database in the state directory, and the list of disabled clients.

What ``write`` has returned from survives a crash of the server and of the machine (write-ahead log,
``synchronous=FULL``; https://www.sqlite.org/pragma.html).  Dates are whole microseconds since 1970,
UTC; durations are whole microseconds.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from mandos.errors import MachineError, MandosError
from mandos.server import witness
from mandos.server.audit_table import AuditTable, Entry, read
from mandos.server.client import Memory
from mandos.server.clients_conf import ClientSettings
from mandos.server.dates import from_number, to_number
from mandos.server.events import Why
from mandos.server.state import Saved, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mandos.server.audit import Record

log = logging.getLogger(__name__)

DATABASE = "mandos.db"
WITNESS = "disabled-clients"
#: Bytes of a page of a new database: room for a client with a usual secret (1.4 kB) and its
#: settings, which would need a page of its own beside a smaller one (sqlite.org/withoutrowid.html).
_PAGE = 8192

#: What leads from each version of the schema to the next; a new database begins at 0.
MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE client (
        name TEXT PRIMARY KEY,
        settings TEXT NOT NULL,     -- in force, as JSON
        secret BLOB NOT NULL,
        configured TEXT,            -- as the configuration files have it; NULL: the same
        configured_secret BLOB
    ) WITHOUT ROWID;
    CREATE TABLE life (
        name TEXT PRIMARY KEY,
        created INTEGER NOT NULL,
        enabled INTEGER NOT NULL,
        last_enabled INTEGER,
        expires INTEGER,
        last_checked_ok INTEGER,
        last_checker_status INTEGER NOT NULL,
        last_approval_request INTEGER,
        disabled_at INTEGER,
        disabled_why TEXT
    ) WITHOUT ROWID;
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        provoked INTEGER NOT NULL,  -- whether anybody on the network can cause it
        client TEXT NOT NULL,
        key_id TEXT NOT NULL,
        address TEXT NOT NULL,
        interface TEXT NOT NULL,
        detail TEXT NOT NULL,
        by_whom TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        times INTEGER NOT NULL
    );
    CREATE INDEX audit_of_client ON audit (client, id);
    CREATE INDEX audit_provoked ON audit (provoked, id);
    """,
    """
    ALTER TABLE client ADD COLUMN origin TEXT NOT NULL DEFAULT 'file';
    """,
)
#: Where a client is from: the files, an administrator's order, or it was removed by one.
_FILE, _ADDED, _REMOVED = "file", "added", "removed"
#: The newest schema that this program knows.
SCHEMA_VERSION = len(MIGRATIONS)

_DURATIONS = frozenset(
    field.name for field in fields(ClientSettings) if isinstance(field.default, timedelta)
)
_IN_JSON = tuple(
    field.name for field in fields(ClientSettings) if field.name not in ("name", "secret")
)
_values_in_json = attrgetter(*_IN_JSON)
#: The first of these are each client's own; most clients have the others in common.
_OWN = _IN_JSON.index("host") + 1
_encode = json.JSONEncoder(separators=(",", ":")).encode
_MICROSECOND = timedelta(microseconds=1)
#: Results of SQLite that blame the machine (sqlite.org/rescode.html); all others blame the file.
_TROUBLES = frozenset((
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_AUTH,
))  # fmt: skip


class _UnusableError(Exception):
    """The database cannot be used; what becomes of it is in its name from then on."""

    def __init__(self, what: str, ending: str) -> None:
        super().__init__(what)
        self.ending = ending


class Kept(NamedTuple):
    """The settings in force, those of the files, and whether the client is in no file."""

    settings: ClientSettings
    configured: ClientSettings
    added: bool = False


@dataclass
class Changes:
    """What is to be written together, with dates as people would write them.

    ``tombstones`` are clients that were removed though the files have them.
    """

    lives: dict[str, Memory] = field(default_factory=dict)
    settings: dict[str, Kept] = field(default_factory=dict)
    tombstones: dict[str, ClientSettings] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    records: list[Record] = field(default_factory=list)


class Store:
    """The state of one server; one process has it open, and one thread at a time calls."""

    def __init__(self, directory: Path, audit_limit: int = 100_000) -> None:
        """Open the state, which is made when it is missing.

        Raises MachineError when the directory cannot be used or another server uses it.
        """
        self._path = directory / DATABASE
        self._witness = directory / WITNESS
        self._lock = _locked(directory)
        self._lost = ""
        self._disabled: frozenset[str] | None = None
        self._audit_limit = audit_limit
        try:
            self._connection = self._usable()
            self._audit = AuditTable(self._connection, audit_limit)
        except MachineError:
            os.close(self._lock)
            raise
        except sqlite3.Error as error:
            os.close(self._lock)
            raise self._cannot("open", error) from error

    def close(self) -> None:
        """Leave the state to others."""
        self._connection.close()
        os.close(self._lock)

    def records(
        self, client: str | None = None, limit: int = 1000, before: int | None = None
    ) -> list[Entry]:
        """The newest records of the audit trail, newest first; raises MachineError."""
        try:
            return list(read(self._connection, client, limit, before))
        except (sqlite3.Error, ValueError, ArithmeticError) as error:
            raise self._cannot("read", error) from error

    def load(self, configured: Sequence[ClientSettings] = ()) -> State:
        """What is known of the last run; settings equal to ``configured`` share its objects."""
        disabled = self._disabled = self._read_witness()
        known = {settings.name: settings for settings in configured}
        saved: dict[str, Saved] = {}
        removed: dict[str, ClientSettings] = {}
        try:
            if not self._lost:
                saved, removed = dict(self._clients(known)), dict(self._tombstones())
        except Exception as error:
            if not _is_damage(error):
                raise self._cannot("read", error) from error
            self._connection.close()
            self._set_aside(_UnusableError(f"has a damaged record ({error})", "damaged"))
            self._connection = self._connected()
            self._audit = AuditTable(self._connection, self._audit_limit)
            saved = {}
            # A list that is missing means something else now than it did before.
            disabled = self._disabled = self._read_witness()
        if disabled is None and not saved and not self._lost:
            self._lost = f"{self._path} is empty, and {self._witness} is damaged"
        return State(saved, removed, disabled, self._lost)

    def write(self, changes: Changes) -> None:
        """Save all of it or nothing; it is on disk when this returns.  Raises MachineError."""
        before = self._disabled or frozenset()
        after = (before - changes.removed) | {
            name for name, life in changes.lives.items() if not life.enabled
        }
        after |= changes.tombstones.keys()
        after -= {name for name, life in changes.lives.items() if life.enabled}
        try:
            self._testify(before | after)
            with self._transaction() as cursor:
                self._write_clients(cursor, changes)
                self._audit.add(cursor, changes.records)
            self._testify(after)
        except (sqlite3.Error, OSError) as error:
            self._audit.recount()
            raise self._cannot("write", error) from error

    def forget(self) -> None:
        """Forget all clients, but not the audit trail.  Raises MachineError."""
        self._lost = ""
        try:
            with self._transaction() as cursor:
                cursor.execute("DELETE FROM client")
                cursor.execute("DELETE FROM life")
            self._testify(frozenset())
        except (sqlite3.Error, OSError) as error:
            raise self._cannot("write", error) from error

    # Opening

    def _usable(self) -> sqlite3.Connection:
        """The database as it is, or a new one after what was there has been set aside."""
        existed = self._path.exists()
        try:
            connection = self._connected()
        except _UnusableError as error:
            self._set_aside(error)
            return self._connected()
        if not existed and self._witness.exists():
            self._lost = f"{self._path} is missing"
        return connection

    def _connected(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
            _migrate(connection)
            AuditTable(connection, self._audit_limit)
        except _UnusableError:
            connection.close()
            raise
        except Exception as error:
            connection.close()
            if _is_damage(error):
                raise _UnusableError(f"is damaged ({error})", "damaged") from error
            raise
        return connection

    def _set_aside(self, error: _UnusableError) -> None:
        """Keep the files for whoever wants to look into them, under another name.

        Should we be killed before a new database is written, the list must still tell of the loss.
        """
        if self._read_witness() is None or not self._witness.exists():
            witness.write_unknown(self._witness)
        stamp = f"{error.ending}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
        for ending in ("", "-wal", "-shm"):
            old = self._path.with_name(DATABASE + ending)
            if os.path.lexists(old):
                old.rename(self._path.with_name(f"{DATABASE}.{stamp}{ending}"))
        aside = self._path.with_name(f"{DATABASE}.{stamp}")
        self._lost = f"{self._path} {error}; it is now {aside}"

    def _cannot(self, what: str, error: Exception) -> MachineError:
        said = error.strerror if isinstance(error, OSError) else str(error)
        return MachineError(
            f"cannot {what} the state in {self._path.parent}: {said}",
            f"see whether there is room and who may write: df -h {self._path.parent};"
            f" ls -la {self._path.parent}",
        )

    # Reading

    def _read_witness(self) -> frozenset[str] | None:
        """The list of disabled clients; None when there must have been one, but it is lost."""
        try:
            return witness.read(self._witness)
        except FileNotFoundError:
            return None if self._lost else frozenset()
        except (OSError, witness.WitnessError) as error:
            log.error("the list of disabled clients cannot be used: %s", error)  # noqa: TRY400
            return None

    def _clients(self, known: dict[str, ClientSettings]) -> Iterator[tuple[str, Saved]]:
        query = "SELECT client.*, life.* FROM client JOIN life ON client.name = life.name"
        for row in self._connection.execute(query):
            name, text, secret, configured_text, configured_secret, origin, _name, *life = row
            own = known.get(name)
            settings = _settings(name, text, secret, own)
            configured = settings
            if configured_text is not None:
                configured = _settings(name, configured_text, configured_secret, own)
            yield name, Saved(settings, configured, _memory(life), origin == _ADDED)

    def _tombstones(self) -> Iterator[tuple[str, ClientSettings]]:
        query = "SELECT name, settings, secret FROM client WHERE origin = ?"
        for name, text, secret in self._connection.execute(query, (_REMOVED,)):
            yield name, _settings(name, text, secret, None)

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
            "REPLACE INTO client VALUES (?, ?, ?, ?, ?, ?)",
            (_client_row(kept) for _name, kept in sorted(changes.settings.items())),
        )
        cursor.executemany(
            "REPLACE INTO client VALUES (?, ?, ?, NULL, NULL, ?)",
            (
                (name, _text(settings), settings.secret, _REMOVED)
                for name, settings in changes.tombstones.items()
            ),
        )
        cursor.executemany(
            "REPLACE INTO life VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (_life_row(name, life) for name, life in sorted(changes.lives.items())),
        )

    def _testify(self, disabled: frozenset[str]) -> None:
        if disabled != self._disabled:
            witness.write(self._witness, disabled)
            self._disabled = disabled


def _locked(directory: Path) -> int:
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MachineError(
            f"cannot use the state directory {directory}: {error.strerror}",
            f"create it for the server's user: install -d -o _mandos -g _mandos -m 700 {directory}",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise MachineError(
            f"another server uses the state directory {directory}",
            "stop it first, or give this one its own --statedir",
        ) from error
    return lock


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA page_size = {_PAGE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA trusted_schema = OFF")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _UnusableError(f"is damaged ({verdict})", "damaged")


def _is_damage(error: Exception) -> bool:
    """Whether the file is to blame for an exception of the library, or of reading what it holds.

    Damage can look like anything: SQLite itself, its bindings and our own reading of a record each
    have exceptions of their own, such as UnicodeDecodeError for a damaged name of a table.
    """
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _TROUBLES
    return not isinstance(error, OSError | MemoryError | MandosError)


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to the newest version, step by step; each step whole or not at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise _UnusableError(
            f"was written by a newer version of this program (schema {version},"
            f" this one knows {SCHEMA_VERSION})",
            "newer",
        )
    if _columns(connection) != _columns_of(version):
        raise _UnusableError(f"is damaged (it has not the tables of schema {version})", "damaged")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        _run_migration(connection, script, number)


def _run_migration(connection: sqlite3.Connection, script: str, number: int) -> None:
    try:
        connection.executescript(f"BEGIN;\n{script};\nPRAGMA user_version = {number};\nCOMMIT;")
    except sqlite3.OperationalError as error:
        raise MachineError(f"cannot bring the state to schema {number}: {error}") from error


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Every column of every table."""
    query = (
        "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c"
        " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
    )
    return set(connection.execute(query))


def _columns_of(version: int) -> set[tuple[str, str]]:
    """The columns that a database of this version has."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        for script in MIGRATIONS[:version]:
            fresh.executescript(script)
        return _columns(fresh)


def _text(settings: ClientSettings) -> str:
    values = _values_in_json(settings)
    own = _encode(dict(zip(_IN_JSON, values[:_OWN], strict=False)))
    return f"{own[:-1]},{_text_of_common(values[_OWN:])[1:]}"


@lru_cache(maxsize=1024)
def _text_of_common(values: tuple[object, ...]) -> str:
    named = dict(zip(_IN_JSON[_OWN:], values, strict=True))
    numbers = {
        name: value // _MICROSECOND for name, value in named.items() if isinstance(value, timedelta)
    }
    return _encode(named | numbers)


def _settings(name: str, text: str, secret: bytes, known: ClientSettings | None) -> ClientSettings:
    if known is not None and secret == known.secret and text == _text(known):
        return known
    values = json.loads(text)
    values.update({key: timedelta(microseconds=values[key]) for key in _DURATIONS & values.keys()})
    return ClientSettings(name=name, secret=secret, **values)


def _client_row(kept: Kept) -> tuple[object, ...]:
    settings, configured, origin = kept.settings, kept.configured, _ADDED if kept.added else _FILE
    row = (settings.name, _text(settings), settings.secret)
    if settings == configured:
        return (*row, None, None, origin)
    return (*row, _text(configured), configured.secret, origin)


def _life_row(name: str, life: Memory) -> tuple[object, ...]:
    return (
        name,
        to_number(life.created),
        life.enabled,
        to_number(life.last_enabled),
        to_number(life.expires),
        to_number(life.last_checked_ok),
        life.last_checker_status,
        to_number(life.last_approval_request),
        to_number(life.disabled_at),
        life.disabled_why,
    )


def _memory(row: Sequence[Any]) -> Memory:
    created, enabled, last_enabled, expires, checked, status, approval, disabled_at, why = row
    return Memory(
        created=from_number(created),
        enabled=bool(enabled),
        last_enabled=from_number(last_enabled),
        expires=from_number(expires),
        last_checked_ok=from_number(checked),
        last_checker_status=int(status),
        last_approval_request=from_number(approval),
        disabled_at=from_number(disabled_at),
        disabled_why=why and Why(why),
    )
