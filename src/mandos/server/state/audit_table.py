# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail in the database, bounded in size against floods from the network.

Records that strangers can provoke (unknown keys, rejections, requests for approval, failed checks)
are counted instead of repeated, and fill at most half of the trail.  So strangers cannot flush out
the records of administrators' acts.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from mandos.server.audit.records import ASKED, Kind, Record
from mandos.server.state.store import Entry
from mandos.server.state.timestamps import from_number, to_number

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

#: Kinds of records that any machine on the network can cause.
PROVOKED = ASKED | {Kind.CHECK_FAILED, Kind.OVERDUE}
#: How long repetitions go into one record.
_REPEATS = timedelta(days=1)
#: How many records of one client, or of no client, are counted up at the same time.
_OPEN_LIMIT = 512

_ADD = (
    "INSERT INTO audit (kind, provoked, client, key_id, address, interface, detail, by_whom,"
    " first, last, times) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
)
_REPEAT = "UPDATE audit SET last = ?, times = times + 1 WHERE id = ?"
_COUNT = "SELECT count(*) FROM audit WHERE provoked = ?"
_DROP = (
    "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE provoked = ? ORDER BY id LIMIT ?)"
)
_READ = (
    "SELECT id, kind, client, key_id, address, interface, detail, by_whom, first, last, times"
    " FROM audit WHERE id < ?"
)


class _Open(NamedTuple):
    """A record that is counted up when it happens again."""

    number: int
    first: datetime


class AuditTable:
    """Adds to the trail and drops its oldest records; each call within a transaction."""

    def __init__(self, connection: sqlite3.Connection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self.recount()

    def recount(self) -> None:
        """Forget the counted records: the last additions may be missing in the database."""
        self._open: dict[str, dict[tuple[str, ...], _Open]] = {}
        self._counts = {
            provoked: int(self._connection.execute(_COUNT, (provoked,)).fetchone()[0])
            for provoked in (False, True)
        }

    def add(self, cursor: sqlite3.Cursor, records: Iterable[Record]) -> None:
        """Add records, oldest first, and drop the oldest ones above the limit."""
        for provoked, some in groupby(records, lambda record: record.kind in PROVOKED):
            if provoked:
                for record in some:
                    self._count_up(cursor, record)
            else:
                self._insert_all(cursor, list(some))
        self._drop(cursor, provoked=True, allowed=self._limit // 2)
        self._drop(cursor, provoked=False, allowed=self._limit - self._counts[True])

    def _drop(self, cursor: sqlite3.Cursor, *, provoked: bool, allowed: int) -> None:
        """Drop the oldest; not one by one, which would cost a search each time."""
        if self._counts[provoked] > allowed + self._limit // 20:
            cursor.execute(_DROP, (provoked, self._counts[provoked] - allowed))
            self._counts[provoked] = allowed

    def _count_up(self, cursor: sqlite3.Cursor, record: Record) -> None:
        key = (record.kind, record.key_id, record.address, record.interface, record.detail)
        repeated = self._open.setdefault(record.client, {})
        known = repeated.get(key)
        if known is not None and record.at - known.first < _REPEATS:
            cursor.execute(_REPEAT, (to_number(record.at), known.number))
            if cursor.rowcount:
                return
        repeated[key] = _Open(self._insert(cursor, record), record.at)
        if len(repeated) > _OPEN_LIMIT:
            del repeated[next(iter(repeated))]

    def _insert(self, cursor: sqlite3.Cursor, record: Record) -> int:
        cursor.execute(_ADD, _row(record))
        self._counts[record.kind in PROVOKED] += 1
        return cursor.lastrowid or 0

    def _insert_all(self, cursor: sqlite3.Cursor, records: Sequence[Record]) -> None:
        """Add many unprovoked records, as at the first start; earlier ones are not counted up."""
        for record in records:
            self._open.pop(record.client, None)
        cursor.executemany(_ADD, map(_row, records))
        self._counts[False] += len(records)


def _row(record: Record) -> tuple[object, ...]:
    at = to_number(record.at)
    return (
        *(record.kind, record.kind in PROVOKED, record.client, record.key_id, record.address),
        *(record.interface, record.detail, record.by, at, at),
    )


def read(
    connection: sqlite3.Connection, client: str | None, limit: int, before: int | None = None
) -> Iterator[Entry]:
    """The newest ``limit`` records, newest first; of one client if named, below a number."""
    query, values = _READ, [before if before is not None else 1 << 62]
    parameters: list[Any] = list(values)
    if client is not None:
        query += " AND client = ?"
        parameters.append(client)
    for row in connection.execute(f"{query} ORDER BY id DESC LIMIT ?", (*parameters, limit)):
        number, kind, *texts, first, last, times = row
        name, key_id, address, interface, detail, by = texts
        record = Record(
            kind=Kind(kind), at=from_number(first), client=name, key_id=key_id,
            address=address, interface=interface, detail=detail, by=by,
        )  # fmt: skip
        yield Entry(number, record, from_number(last), times)
