# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail's records of answers: counted, none lost, and in a quota of their own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mandos.server.audit.records import ANSWERED, SENT, Kind, Record
from mandos.server.state.audit_table import OTHER_ADDRESSES, SENT_ADDRESSES
from mandos.server.state.database import SQLiteStore
from mandos.server.state.store import Changes

START = datetime(2026, 11, 30, tzinfo=UTC)
of_each_kind = pytest.mark.parametrize("kind", sorted(ANSWERED))


def _record(kind: Kind, at: datetime = START, **values: str) -> Record:
    return Record(kind=kind, at=at, **{"client": "alpha", **values})


def _sent(
    minute: int,
    address: str = "fe80::1",
    client: str = "alpha",
    kind: Kind = Kind.SECRET_SENT,
) -> Record:
    at = START + timedelta(minutes=minute)
    return replace(_record(kind, at, client=client), address=address)


@pytest.mark.parametrize("kind", sorted(SENT))
def test_secrets_sent_are_counted_by_address_and_hour(tmp_path: Path, kind: Kind) -> None:
    """The holder of a live key adds one record an hour; none of its secrets is lost."""
    with closing(SQLiteStore(tmp_path)) as store:
        for minute in range(120):
            both = [_sent(minute, kind=kind), _sent(minute, client="beta", kind=kind)]
            store.write(Changes(records=both))
        entries = store.records()
        counted = [(entry.record.client, entry.times) for entry in entries]
        assert counted == [("beta", 60), ("alpha", 60)] * 2
        assert entries[-1].record == _sent(0, kind=kind)
        assert entries[-1].last == START + timedelta(minutes=59)
        store.write(Changes(records=[_record(Kind.ENABLED), _sent(119, kind=kind)]))
        assert [entry.times for entry in store.records()][:2] == [1, 1]


def test_requests_for_the_status_are_counted_by_address_and_day(tmp_path: Path) -> None:
    """The holder of a key adds one record a day; none of his requests is lost."""
    with closing(SQLiteStore(tmp_path)) as store:
        for hour in range(48):
            asked = [_sent(60 * hour, where, kind=Kind.STATUS_SENT) for where in ("::1", "::2")]
            store.write(Changes(records=asked))
        counted = [(entry.record.address, entry.times) for entry in store.records()]
    assert counted == [("::2", 24), ("::1", 24)] * 2


def test_each_run_of_the_server_has_records_of_its_own(tmp_path: Path) -> None:
    """Its first line about a secret sent has a record behind it, and changes none of the past."""
    for minute in range(2):
        with closing(SQLiteStore(tmp_path)) as store:
            store.write(Changes(records=[_sent(minute), _sent(minute)]))
    with closing(SQLiteStore(tmp_path)) as store:
        entries = store.records()
    assert [entry.times for entry in entries] == [2, 2]
    assert [entry.record for entry in entries] == [_sent(1), _sent(0)]


@of_each_kind
def test_many_addresses_share_a_record(tmp_path: Path, kind: Kind) -> None:
    """A key used from ever new addresses adds few records an hour; the sum is exact."""
    with closing(SQLiteStore(tmp_path)) as store:
        for number in range(500):
            sent = _sent(number // 10, f"fe80::{number:x}", kind=kind)
            store.write(Changes(records=[sent]))
        others, *each = store.records()
        assert [entry.times for entry in each] == [1] * SENT_ADDRESSES
        assert others.times == 500 - SENT_ADDRESSES
        assert (others.record.address, others.record.detail) == ("fe80::8", OTHER_ADDRESSES)
        assert len(store._audit._sent["alpha"]) == SENT_ADDRESSES + 1


def test_rehearsals_hide_the_address_of_no_boot(tmp_path: Path) -> None:
    """Each kind has places of its own for addresses, and a record of its own for the others."""
    with closing(SQLiteStore(tmp_path)) as store:
        for kind in (Kind.REHEARSED, Kind.STATUS_SENT, Kind.SECRET_SENT, Kind.REHEARSED):
            for number in range(100):
                store.write(Changes(records=[_sent(0, f"fe80::{number:x}", kind=kind)]))
        entries = store.records()
    for kind, requests in {
        Kind.REHEARSED: 200, Kind.STATUS_SENT: 100, Kind.SECRET_SENT: 100
    }.items():  # fmt: skip
        records = [entry for entry in entries if entry.record.kind is kind]
        assert len(records) == SENT_ADDRESSES + 1
        assert sum(entry.times for entry in records) == requests


@of_each_kind
def test_secrets_sent_have_a_quota(tmp_path: Path, kind: Kind) -> None:
    """They push no administrator's record out, and unknown keys push none of them out."""
    with closing(SQLiteStore(tmp_path, 200)) as store:
        store.write(Changes(records=[_record(Kind.DISABLED, by="uid 0")]))
        for number in range(1000):
            store.write(Changes(records=[_sent(number * 24 * 60, kind=kind)]))
        kinds = [entry.record.kind for entry in store.records(limit=10_000)]
        sent = kinds.count(kind)
        assert 50 <= sent <= 60
        assert Kind.DISABLED in kinds
        for number in range(1000):
            record = _record(Kind.UNKNOWN_KEY, client="", key_id=f"{number:064x}")
            store.write(Changes(records=[record]))
        kinds = [entry.record.kind for entry in store.records(limit=10_000)]
        assert kinds.count(kind) == sent
        assert Kind.DISABLED in kinds
        for number in range(1000):
            store.write(Changes(records=[_record(Kind.CHANGED, detail=str(number))]))
        kinds = [entry.record.kind for entry in store.records(limit=10_000)]
        assert kinds.count(kind) == sent
        assert len(kinds) <= 220
