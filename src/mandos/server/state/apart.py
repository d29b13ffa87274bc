# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of a server that shares its state, for times without the shared database.

Beside the local copy of the clients (``database.py``) they say when the database was last seen,
how each client was when all servers knew it in common, before this server changed it alone, and
which records the database does not have yet.  A small SQLite database of its own; what it says is
on disk when a method returns.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from mandos.server.audit.records import Kind, Record
from mandos.server.state import life_rows
from mandos.server.state.settings_text import settings_of, text_of
from mandos.server.state.store import Known
from mandos.server.state.timestamps import from_number, to_number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

NAME = "without-database.db"
_VERSION = 1
_TABLES = """
BEGIN;
CREATE TABLE contact (boot TEXT NOT NULL, elapsed REAL NOT NULL, date INTEGER NOT NULL);
CREATE TABLE base (
    name TEXT PRIMARY KEY,
    life TEXT NOT NULL,         -- columns of a life, as JSON
    settings TEXT NOT NULL,
    secret BLOB NOT NULL,
    added INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE unsent (id INTEGER PRIMARY KEY, record TEXT NOT NULL);
PRAGMA user_version = 1;
COMMIT;
"""


class Contact(NamedTuple):
    """The last time at which the database was seen: the machine's boot, and two clocks.

    ``elapsed`` is CLOCK_BOOTTIME in seconds, ``date`` the machine's date.
    """

    boot: str
    elapsed: float
    date: datetime


class Notes:
    """The notes in a state directory; any thread may call.

    A file that is damaged is set aside and begun anew: then the database was never seen.  Errors of
    the disk are logged, once until a call succeeds.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._given: list[Record] = []
        self._complained = False
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._opened()
        except (sqlite3.Error, OSError) as error:
            self._complain(error)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._prepared()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            aside = self._path.with_name(f"{NAME}.damaged")
            log.error("%s is damaged (%s); it is now %s", self._path, error, aside)  # noqa: TRY400
            for ending in ("-wal", "-shm"):
                self._path.with_name(NAME + ending).unlink(missing_ok=True)
            self._path.replace(aside)
            return self._prepared()

    def _prepared(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(_TABLES)
            elif version != _VERSION:
                error = sqlite3.DatabaseError(f"version {version}")
                raise error  # noqa: TRY301 - as if the file were damaged
            for table in ("contact", "base", "unsent"):
                connection.execute(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - our own names
        except BaseException:
            connection.close()
            raise
        return connection

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            log.error("cannot use %s: %s", self._path, error)
        self._complained = True

    def _write(self, statements: Iterable[tuple[str, Iterable[tuple[Any, ...]]]]) -> None:
        try:
            with self._lock:
                self._written(statements)
        except (sqlite3.Error, OSError) as error:
            self._complain(error)
        else:
            self._complained = False

    def _written(self, statements: Iterable[tuple[str, Iterable[tuple[Any, ...]]]]) -> None:
        if self._connection is None:
            self._connection = self._opened()
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                for query, rows in statements:
                    cursor.executemany(query, rows)
                cursor.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    cursor.execute("ROLLBACK")
                raise

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                connection = self._connection
                return [] if connection is None else connection.execute(query).fetchall()
        except sqlite3.Error as error:
            self._complain(error)
            return []

    def seen(self, contact: Contact) -> None:
        """Note that the database was seen."""
        row = contact.boot, contact.elapsed, to_number(contact.date)
        self._write(
            [("DELETE FROM contact", [()]), ("INSERT INTO contact VALUES (?, ?, ?)", [row])]
        )

    def contact(self) -> Contact | None:
        """Return the last time at which the database was seen; None: never, as far as is known."""
        for boot, elapsed, date in self._read("SELECT * FROM contact"):
            with suppress(TypeError, ValueError):
                return Contact(str(boot), float(elapsed), from_number(date))
        return None

    def alone(self, bases: Mapping[str, Known], records: Iterable[Record]) -> None:
        """Keep how clients were before this server changed them alone, and all unsent records.

        A client that is kept already stays as it was before the first of these changes.
        """
        records = list(records)
        records += [one for one in self._given if one not in records]
        self._write(
            [
                ("INSERT OR IGNORE INTO base VALUES (?, ?, ?, ?, ?)", map(_row, bases.items())),
                ("DELETE FROM unsent", [()]),
                ("INSERT INTO unsent (record) VALUES (?)", [(_text(one),) for one in records]),
            ]
        )

    def given(self, record: Record) -> None:
        """Keep the record of a secret that this server is about to give by itself."""
        self._given.append(record)
        self._write([("INSERT INTO unsent (record) VALUES (?)", [(_text(record),)])])

    @property
    def given_alone(self) -> bool:
        """Whether there are records of ``given`` that the database does not have yet."""
        return bool(self._given)

    def sent(self, names: Collection[str], records: Collection[Record] = ()) -> None:
        """Forget these clients and records, and those of ``alone``: the database has them."""
        self._given = [one for one in self._given if one not in records]
        rest = [(_text(one),) for one in self._given]
        self._write(
            [
                ("DELETE FROM base WHERE name = ?", [(name,) for name in names]),
                ("DELETE FROM unsent", [()]),
                ("INSERT INTO unsent (record) VALUES (?)", rest),
            ]
        )

    def bases(self) -> dict[str, Known]:
        """Return the clients that this server changed alone, as they were before."""
        found = {}
        for name, life, settings, secret, added in self._read("SELECT * FROM base"):
            try:
                past = life_rows.life_of(json.loads(life))
                found[name] = Known(past, settings_of(name, settings, secret, None), bool(added))
            except Exception as error:  # noqa: BLE001 - damage has exceptions of any kind
                log.error("a note about client %r is damaged: %s", name, error)  # noqa: TRY400
        return found

    def unsent(self) -> list[Record]:
        """Return the records that the database does not have yet, oldest first."""
        found = []
        for (text,) in self._read("SELECT record FROM unsent ORDER BY id"):
            with suppress(Exception):
                values = json.loads(text)
                at = datetime.fromisoformat(values.pop("at"))
                found.append(Record(kind=Kind(values.pop("kind")), at=at, **values))
        return found


def _row(item: tuple[str, Known]) -> tuple[object, ...]:
    name, known = item
    life = json.dumps(life_rows.row_of(name, known.life)[1:])
    return (name, life, text_of(known.settings), known.settings.secret, known.added)


def _text(record: Record) -> str:
    values = {name: getattr(record, name) for name in Record.__slots__}
    return json.dumps({**values, "kind": str(record.kind), "at": record.at.isoformat()})
