# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of the database, the way from older ones to it, and the signs of damage."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from mandos.errors import MachineError, MandosError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Bytes of a page of a new database: room for a client with a usual secret (1.4 kB) and its
#: settings, which would need a page of its own beside a smaller one (sqlite.org/withoutrowid.html).
_PAGE = 8192

#: The steps from each version of the schema to the next; a new database begins at 0.
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
        provoked INTEGER NOT NULL,  -- by 0 administrators, 1 anybody, 2 the key's holder
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
    """
    ALTER TABLE client ADD COLUMN absent INTEGER;  -- since when its section is missing
    """,
    """
    ALTER TABLE life ADD COLUMN last_secret_sent INTEGER;
    ALTER TABLE life ADD COLUMN last_rehearsed INTEGER;
    """,
    """
    ALTER TABLE audit ADD COLUMN server TEXT NOT NULL DEFAULT '';  -- of a trail that was shared
    """,
)
#: The newest schema that this program knows.
SCHEMA_VERSION = len(MIGRATIONS)

#: Results of SQLite that blame the machine (sqlite.org/rescode.html); all others blame the file.
MACHINE_ERRORS = frozenset((
    sqlite3.SQLITE_AUTH, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY,
))  # fmt: skip


class UnusableError(Exception):
    """The database cannot be used; ``ending`` is added to its name when it is set aside."""

    def __init__(self, what: str, ending: str) -> None:
        super().__init__(what)
        self.ending = ending


def prepare(connection: sqlite3.Connection) -> None:
    """Make a connection, maybe to a new database, ready to read and to write.

    Raises UnusableError, or an error of sqlite3 or of reading damaged bytes (``is_damage``).
    """
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA page_size = {_PAGE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA trusted_schema = OFF")
    check(connection)
    migrate(connection)
    # A change that is taken back: it fails where SQLite has opened the file for reading only.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("ROLLBACK")
    for table in ("client", "life", "audit"):
        connection.execute(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - our own names


def check(connection: sqlite3.Connection) -> None:
    """Raise UnusableError when SQLite finds the database damaged."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise UnusableError(f"is damaged ({verdict})", "damaged")


def is_damage(error: Exception) -> bool:
    """Whether a damaged file caused an exception of the library, or of reading its content.

    Damage can look like anything: SQLite itself, its bindings and our own reading of a record each
    have exceptions of their own, such as UnicodeDecodeError for a damaged name of a table.
    """
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF not in MACHINE_ERRORS
    return not isinstance(error, OSError | MemoryError | MandosError)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to the newest version, step by step; each step whole or not at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < 0:
        raise UnusableError(f"is damaged (schema {version})", "damaged")
    if version > SCHEMA_VERSION:
        raise UnusableError(
            f"was written by a newer version of this program (schema {version},"
            f" this one knows {SCHEMA_VERSION})",
            "newer",
        )
    if _columns(connection) != _columns_of(version):
        raise UnusableError(f"is damaged (it has not the tables of schema {version})", "damaged")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        _run_migration(connection, script, number)


def _run_migration(connection: sqlite3.Connection, script: str, number: int) -> None:
    try:
        connection.executescript(f"BEGIN;\n{script};\nPRAGMA user_version = {number};\nCOMMIT;")
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        raise MachineError(
            f"cannot bring the database up to schema {number}: {error}",
            "this is a defect: install the version from before, and report it",
        ) from error


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
