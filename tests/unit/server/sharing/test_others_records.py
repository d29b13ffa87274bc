# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of other servers are reported once each, also when they appear out of order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from mandos.errors import MachineError
from mandos.server.audit.records import Kind, Record
from mandos.server.sharing.trail import LIMIT, OthersRecords
from mandos.server.state.store import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Table:
    """The trail: the server of each record, by its number; and a reader of it, server ``own``."""

    def __init__(self, *numbers: int) -> None:
        self.servers = dict.fromkeys(numbers, "other")
        self.broken = False
        self.asked: list[list[int]] = []
        self.time = 0.0
        self.told: list[int] = []
        self.reader = OthersRecords("own", self, _in_thread, lambda: self.time)
        self.reader.on_record = lambda record: self.told.append(int(record.client))

    def last_record(self) -> int:
        """The highest number."""
        return max(self.servers, default=0)

    def records_after(self, number: int, missing: Collection[int], limit: int) -> list[Entry]:
        """The newest ones, and missing ones."""
        if self.broken:
            raise MachineError("the connection is lost")
        self.asked.append(list(missing))
        new = sorted(one for one in self.servers if one > number)[-limit:]
        found = sorted({*new, *(self.servers.keys() & set(missing))})
        return [Entry(one, _record(one, self.servers[one]), NOW, 1) for one in found]

    def add(self, *numbers: int, server: str = "other") -> None:
        """Add records, which end their transactions now."""
        self.servers |= dict.fromkeys(numbers, server)

    async def read(self) -> list[int]:
        """The numbers of the records that are reported now."""
        self.told = []
        await self.reader.read()
        return self.told


def _record(number: int, server: str) -> Record:
    return Record(kind=Kind.ENABLED, at=NOW, client=str(number), server=server)


async def _in_thread(work: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
    return work(*arguments)


async def test_only_new_records_of_others() -> None:
    """Not those from before, not the server's own, and none twice."""
    table = Table(1, 2)
    assert await table.read() == []
    table.add(3, 5)
    table.add(4, server="own")
    assert await table.read() == [3, 5]
    assert await table.read() == []


async def test_a_lower_number_may_come_later() -> None:
    """Its transaction ended after that of a higher one; it is looked up, and reported once."""
    table = Table(1)
    await table.read()
    table.add(3)
    assert await table.read() == [3]
    table.add(2, 4)
    assert await table.read() == [2, 4]
    assert await table.read() == []
    assert table.asked[-1] == []


async def test_a_number_that_never_comes_is_given_up() -> None:
    """After a minute its transaction has failed."""
    table = Table(1)
    await table.read()
    table.add(3)
    await table.read()
    table.time = 59.0
    await table.read()
    assert table.asked[-1] == [2]
    table.time = 61.0
    await table.read()
    await table.read()
    assert table.asked[-1] == []


async def test_a_flood_is_bounded() -> None:
    """Of more records than are read at once the newest are reported; no older one is missed."""
    table = Table(1)
    await table.read()
    table.add(*range(2, 3 * LIMIT))
    assert await table.read() == list(range(2 * LIMIT, 3 * LIMIT))
    await table.read()
    assert table.asked[-1] == []
    table.add(5 * LIMIT)
    await table.read()
    await table.read()
    assert len(table.asked[-1]) == LIMIT


async def test_a_failure_loses_nothing() -> None:
    """The records are reported once the database is back."""
    table = Table(1)
    await table.read()
    table.add(2)
    table.broken = True
    with pytest.raises(MachineError):
        await table.read()
    table.broken = False
    assert await table.read() == [2]


async def test_a_database_that_has_lost_records() -> None:
    """Numbers that were given out before are given out again, and reported."""
    table = Table(1, 2, 3)
    await table.read()
    table.servers = {1: "other"}
    assert await table.read() == []
    table.add(2)
    assert await table.read() == [2]
