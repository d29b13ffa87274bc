# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail that several servers share; each counts repetitions of its own records."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mandos.server.audit.records import Kind, Record
from mandos.server.state.audit_table import Origin, origin_of
from mandos.server.state.postgresql.statements import columns, parts
from mandos.server.state.store import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from psycopg import Connection

_COLUMNS = "server, kind, client, key_id, address, interface, detail, by_whom, first, last, times"
_ADD = (
    f"INSERT INTO mandos.audit (provoked, {_COLUMNS})"  # noqa: S608 - our own names
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 1)"
)
_ADD_ALL = (
    f"INSERT INTO mandos.audit (provoked, {_COLUMNS})"  # noqa: S608 - our own names
    " SELECT provoked, server, kind, client, key_id, address, interface, detail, by_whom,"
    " first, last, times FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::text[],"
    " %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[],"
    " %s::bigint[])"
    " WITH ORDINALITY AS new (provoked, server, kind, client, key_id, address, interface, detail,"
    " by_whom, first, last, times, place) ORDER BY place"
)
_REPEAT = "UPDATE mandos.audit SET last = greatest(last, %s), times = times + 1 WHERE id = %s"
_COUNT = "SELECT count(*) FROM mandos.audit WHERE provoked = %s"
_DROP = (
    "DELETE FROM mandos.audit WHERE id IN"
    " (SELECT id FROM mandos.audit WHERE provoked = %s ORDER BY id LIMIT %s)"
)
#: Kinds that only a newer version of this program knows are skipped: its servers report them.
_READ = f"SELECT id, {_COLUMNS} FROM mandos.audit WHERE id < %s AND kind = ANY(%s)"  # noqa: S608
_KINDS = [str(kind) for kind in Kind]
_NEWEST = 1 << 62
_LAST = "SELECT coalesce(max(id), 0) FROM mandos.audit"
_AFTER = f"SELECT id, {_COLUMNS} FROM mandos.audit WHERE id > %s ORDER BY id DESC LIMIT %s"  # noqa: S608
_THESE = f"SELECT id, {_COLUMNS} FROM mandos.audit WHERE id = ANY(%s)"  # noqa: S608


class PostgreSQLRows:
    """The rows of the trail in PostgreSQL, with the name of the server that adds them."""

    def __init__(self, connection: Connection[Any], server: str) -> None:
        self._connection = connection
        self._server = server

    def count(self, origin: Origin) -> int:
        """Count the records of this origin."""
        row = self._connection.execute(_COUNT, (int(origin),)).fetchone()
        return int(row[0]) if row else 0

    def insert(self, record: Record) -> int:
        """Add a record, and return its number."""
        row = self._connection.execute(f"{_ADD} RETURNING id", self.row(record)).fetchone()
        return int(row[0]) if row else 0

    def insert_all(self, records: Sequence[Record]) -> None:
        """Add many records."""
        rows = [(*self.row(record), 1) for record in records]
        for some in parts(rows):
            self._connection.execute(_ADD_ALL, columns(some))

    def repeat(self, number: int, at: datetime) -> bool:
        """Count up a record that happened again; false when it was dropped."""
        return self._connection.execute(_REPEAT, (at, number)).rowcount > 0

    def drop(self, origin: Origin, number: int) -> None:
        """Drop the oldest records of this origin, so many."""
        self._connection.execute(_DROP, (int(origin), number))

    def row(self, record: Record) -> tuple[object, ...]:
        """Return the columns of a new record."""
        return (
            *(int(origin_of(record)), record.server or self._server, str(record.kind)),
            *(record.client, record.key_id, record.address, record.interface),
            *(str(record.detail), record.by, record.at, record.at),
        )


def append(connection: Connection[Any], server: str, entries: Sequence[Entry]) -> None:
    """Add records with their repetitions, oldest first; ``server`` is that of those without one."""
    rows = PostgreSQLRows(connection, server)
    for some in parts(entries):
        values = [(*rows.row(it.record)[:-1], it.last, it.times) for it in some]
        connection.execute(_ADD_ALL, columns(values))


def read(
    connection: Connection[Any], client: str | None, limit: int, before: int | None = None
) -> Iterator[Entry]:
    """The newest ``limit`` records, newest first; of one client if named, below a number."""
    query = _READ
    if client is not None:
        query += " AND client = %s"
    place = _NEWEST if before is None else before
    values = [place, _KINDS, *([] if client is None else [client]), limit]
    for row in connection.execute(f"{query} ORDER BY id DESC LIMIT %s", values):
        yield _entry(row)


def last_record(connection: Connection[Any]) -> int:
    """The number of the newest record; 0: there is none."""
    row = connection.execute(_LAST).fetchone()
    return int(row[0]) if row else 0


def read_after(
    connection: Connection[Any], number: int, missing: Collection[int], limit: int
) -> list[Entry]:
    """The newest ``limit`` records above a number, and those of the missing numbers, in order.

    Records of kinds that only a newer version of this program knows are skipped.
    """
    rows = connection.execute(_AFTER, (number, limit)).fetchall()
    if missing:
        rows += connection.execute(_THESE, (list(missing),)).fetchall()
    found = []
    for row in sorted(rows):
        with suppress(ValueError):
            found.append(_entry(row))
    return found


def _entry(row: Sequence[Any]) -> Entry:
    """The record in a row; raises ValueError for an unknown kind."""
    number, server, kind, *texts, first, last, times = row
    name, key_id, address, interface, detail, by = texts
    record = Record(
        kind=Kind(kind), at=first, client=name, key_id=key_id, address=address,
        interface=interface, detail=detail, by=by, server=server,
    )  # fmt: skip
    return Entry(number, record, last, times)
