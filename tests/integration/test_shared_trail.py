# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New records of other servers, read from a real database in which transactions overlap."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from mandos.server.audit.records import Kind, Record
from mandos.server.sharing.trail import OthersRecords
from mandos.server.state.store import Changes

pytest.importorskip("psycopg", exc_type=ImportError)

from mandos.server.state.postgresql.store import PostgreSQLStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.postgresql import Database

NOW = datetime(2026, 11, 30, tzinfo=UTC)
_ADD = """
INSERT INTO mandos.audit (provoked, server, kind, client, key_id, address, interface, detail,
    by_whom, first, last, times)
VALUES (0, 'newer', %s, %s, '', '', '', '', '', now(), now(), 1)
"""


@pytest.fixture
def stores(postgresql_database: Database) -> Iterator[list[PostgreSQLStore]]:
    """The stores of two servers, a and b."""
    made = [PostgreSQLStore(postgresql_database.uri(), name) for name in ("a", "b")]
    for store in made:
        store.open()
    yield made
    for store in made:
        store.close()


def _write(store: PostgreSQLStore, *clients: str) -> None:
    """Record that these clients are approved."""
    records = [Record(kind=Kind.APPROVED, at=NOW, client=name, by="root") for name in clients]
    store.write(Changes(records=records))


async def _in_thread(work: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
    return work(*arguments)


async def test_records_of_transactions_that_overlap(
    stores: list[PostgreSQLStore], postgresql_database: Database
) -> None:
    """Each is reported once, also the one that had its number first and was committed last."""
    a, b = stores
    told: list[tuple[str, str, str]] = []
    reader = OthersRecords("a", a, _in_thread, lambda: 0.0)
    reader.on_record = lambda one: told.append((one.server, one.client, one.by))
    _write(b, "before")
    await reader.read()
    with postgresql_database.connect() as slow, slow.transaction():
        slow.execute(_ADD, ("enabled", "slow"))
        _write(b, "fast")
        _write(a, "own")
        await reader.read()
        assert told == [("b", "fast", "root")]
    await reader.read()
    assert told[1:] == [("newer", "slow", "")]
    await reader.read()
    assert len(told) == 2


async def test_kinds_of_a_newer_version_are_skipped(
    stores: list[PostgreSQLStore], postgresql_database: Database
) -> None:
    """By the reader of news, and by the trail, whose pages stay full."""
    a, b = stores
    told: list[str] = []
    reader = OthersRecords("a", a, _in_thread, lambda: 0.0)
    reader.on_record = lambda one: told.append(one.client)
    await reader.read()
    with postgresql_database.connect() as newer:
        _write(b, "first")
        newer.execute(_ADD, ("abducted", "alien"))
    _write(b, "second")
    await reader.read()
    assert told == ["first", "second"]
    assert [one.record.client for one in a.records(limit=2)] == ["second", "first"]
