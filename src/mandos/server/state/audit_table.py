# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail in a database, bounded in size against floods from the network.

What strangers can provoke (unknown keys, rejections, requests for approval, failed checks) is
counted instead of repeated, and may fill at most half of the trail.  Secrets sent (for boots, and
for rehearsals) are counted for each client, address and hour, and may fill a quarter, together with
requests for a client's status, which are counted for each day.  So strangers can flush out neither
them nor the acts of administrators, and the holder of one client's key only older ones of these.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from enum import IntEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mandos.server.audit.records import ANSWERED, ASKED, Kind, Record
from mandos.server.state.store import Entry
from mandos.server.state.timestamps import from_number, to_number

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

#: Kinds of records that any machine on the network can cause.
PROVOKED = ASKED | {Kind.CHECK_FAILED, Kind.OVERDUE, Kind.FORGIVEN}
#: How long repetitions go into one record.
_REPEATS = timedelta(days=1)
#: How many records of one client, or of no client, are counted up at the same time.
_OPEN_LIMIT = 512
#: How long answers to one address go into one record.
_ANSWER_REPEATS = {
    Kind.SECRET_SENT: timedelta(hours=1),
    Kind.REHEARSED: timedelta(hours=1),
    Kind.STATUS_SENT: _REPEATS,
}
#: To how many addresses of each client answers of one kind have a record of their own at the same
#: time.  So a rehearsal hides the address of no boot.
SENT_ADDRESSES = 8
#: What the record of the other addresses says; its address is the first of them.
OTHER_ADDRESSES = "other addresses"

_ADD = (
    "INSERT INTO audit (kind, provoked, client, key_id, address, interface, detail, by_whom,"
    " first, last, server, times) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
)
_ADD_ENTRY = (
    "INSERT INTO audit (kind, provoked, client, key_id, address, interface, detail, by_whom,"
    " first, last, server, times, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REPEAT = "UPDATE audit SET last = ?, times = times + 1 WHERE id = ?"
_COUNT = "SELECT count(*) FROM audit WHERE provoked = ?"
_DROP = (
    "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE provoked = ? ORDER BY id LIMIT ?)"
)
_READ = (
    "SELECT id, kind, client, key_id, address, interface, detail, by_whom, server,"
    " first, last, times FROM audit WHERE id < ?"
)


class Origin(IntEnum):
    """Who can cause a record; the number in the database's column ``provoked``."""

    ADMINISTRATOR = 0
    STRANGER = 1
    KEY_HOLDER = 2


class _Open(NamedTuple):
    """A record that is counted up when it happens again."""

    number: int
    first: datetime


class AuditRows(Protocol):
    """The rows of the trail in a database; each call within a transaction."""

    def count(self, origin: Origin) -> int:
        """Count the records of this origin."""

    def insert(self, record: Record) -> int:
        """Add a record, and return its number."""

    def insert_all(self, records: Sequence[Record]) -> None:
        """Add many records."""

    def repeat(self, number: int, at: datetime) -> bool:
        """Count up a record that happened again; false when it was dropped."""

    def drop(self, origin: Origin, number: int) -> None:
        """Drop the oldest records of this origin, so many."""


class AuditTable:
    """Adds to the trail and drops its oldest records; each call within a transaction."""

    def __init__(self, rows: AuditRows, limit: int) -> None:
        self._rows = rows
        self._limit = limit
        self.recount()

    def recount(self) -> None:
        """Forget the counted records: the last additions may be missing in the database."""
        self._open: dict[str, dict[tuple[str, ...], _Open]] = {}
        self._sent: dict[str, dict[tuple[str, ...], _Open]] = {}
        self._counts = {origin: self._rows.count(origin) for origin in Origin}

    def add(self, records: Iterable[Record]) -> None:
        """Add records, oldest first, and drop what is too much."""
        for origin, some in groupby(records, origin_of):
            match origin:
                case Origin.STRANGER:
                    for record in some:
                        self._count_up(record)
                case Origin.KEY_HOLDER:
                    for record in some:
                        self._count_sent(record)
                case Origin.ADMINISTRATOR:
                    self._insert_all(list(some))
        self._drop(Origin.STRANGER, self._limit // 2)
        self._drop(Origin.KEY_HOLDER, self._limit // 4)
        others = self._counts[Origin.STRANGER] + self._counts[Origin.KEY_HOLDER]
        self._drop(Origin.ADMINISTRATOR, self._limit - others)

    def _drop(self, origin: Origin, allowed: int) -> None:
        """Drop the oldest; not one by one, which would cost a search each time."""
        if self._counts[origin] > allowed + self._limit // 20:
            self._rows.drop(origin, self._counts[origin] - allowed)
            self._counts[origin] = allowed

    def _count_up(self, record: Record) -> None:
        key = (record.kind, record.key_id, record.address, record.interface, record.detail)
        repeated = self._open.setdefault(record.client, {})
        known = repeated.get(key)
        recent = known is not None and record.at - known.first < _REPEATS
        if known is not None and recent and self._repeat(record, known):
            return
        repeated[key] = _Open(self._insert(record), record.at)
        if len(repeated) > _OPEN_LIMIT:
            del repeated[next(iter(repeated))]

    def _count_sent(self, record: Record) -> None:
        """Count an answer; beyond some addresses of a client, in one record for the others."""
        sent = {
            key: one
            for key, one in self._sent.get(record.client, {}).items()
            if record.at - one.first < _ANSWER_REPEATS[Kind(key[0])]
        }
        self._sent[record.client] = sent
        key: tuple[str, ...] = (record.kind, record.key_id, record.address, record.interface)
        same = sum(kind == record.kind for kind, *_where in sent)
        if key not in sent and same >= SENT_ADDRESSES:
            key, record = (record.kind,), replace(record, detail=OTHER_ADDRESSES)
        if key not in sent or not self._repeat(record, sent[key]):
            sent[key] = _Open(self._insert(record), record.at)

    def _repeat(self, record: Record, known: _Open) -> bool:
        """Count up a record, unless it was dropped."""
        return self._rows.repeat(known.number, record.at)

    def _insert(self, record: Record) -> int:
        self._counts[origin_of(record)] += 1
        return self._rows.insert(record)

    def _insert_all(self, records: Sequence[Record]) -> None:
        """Add many unprovoked records, as at the first start; earlier ones are not counted up."""
        for record in records:
            self._open.pop(record.client, None)
            self._sent.pop(record.client, None)
        self._rows.insert_all(records)
        self._counts[Origin.ADMINISTRATOR] += len(records)


def origin_of(record: Record) -> Origin:
    """Return the origin of a record."""
    if record.kind in ANSWERED:
        return Origin.KEY_HOLDER
    return Origin.STRANGER if record.kind in PROVOKED else Origin.ADMINISTRATOR


class SQLiteRows:
    """The rows of the trail in SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def count(self, origin: Origin) -> int:
        """Count the records of this origin."""
        return int(self._connection.execute(_COUNT, (origin,)).fetchone()[0])

    def insert(self, record: Record) -> int:
        """Add a record, and return its number."""
        return self._connection.execute(_ADD, _row(record)).lastrowid or 0

    def insert_all(self, records: Sequence[Record]) -> None:
        """Add many records."""
        self._connection.executemany(_ADD, map(_row, records))

    def repeat(self, number: int, at: datetime) -> bool:
        """Count up a record that happened again; false when it was dropped."""
        return self._connection.execute(_REPEAT, (to_number(at), number)).rowcount > 0

    def drop(self, origin: Origin, number: int) -> None:
        """Drop the oldest records of this origin, so many."""
        self._connection.execute(_DROP, (origin, number))


def insert_entries(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Add records with their numbers and repetitions, within a transaction."""
    rows = (
        (*_row(record)[:-2], to_number(last), record.server, times, number)
        for number, record, last, times in entries
    )
    connection.executemany(_ADD_ENTRY, rows)


def _row(record: Record) -> tuple[object, ...]:
    at = to_number(record.at)
    return (
        *(record.kind, origin_of(record), record.client, record.key_id, record.address),
        *(record.interface, record.detail, record.by, at, at, record.server),
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
        name, key_id, address, interface, detail, by, server = texts
        record = Record(
            kind=Kind(kind), at=from_number(first), client=name, key_id=key_id,
            address=address, interface=interface, detail=detail, by=by, server=server,
        )  # fmt: skip
        yield Entry(number, record, from_number(last), times)
