# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper: what has happened is on disk before anybody is told."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from mandos.client_settings import ClientSettings
from mandos.errors import MachineError
from mandos.server.audit.records import SENT, Kind, Record
from mandos.server.life.client import Client
from mandos.server.life.clock import Clock
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry
from mandos.server.state import writer as keeper_module
from mandos.server.state.database import SQLiteStore
from mandos.server.state.store import Changes, State
from mandos.server.state.writer import Keeper
from mandos.server.system.machine_clock import machine_clock

ALPHA = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"sealed")
BETA = ClientSettings(name="beta", key_id="cd" * 32, secret=b"sealed")


class World:
    """A keeper with a real store, and what it told."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self.clock = clock or machine_clock()
        self.client = Client(ALPHA, self.clock.now())
        self.registry = Registry([self.client])
        self.store = SQLiteStore(folder)
        self.told: list[Record] = []
        self.on_tell = asyncio.Event()
        self.keeper = Keeper(self.store, self.registry, self.clock, self.hear)

    def hear(self, record: Record) -> None:
        """Keep what is told."""
        self.told.append(record)
        self.on_tell.set()

    def saved(self) -> State:
        """What a server that starts now would find, while this one still runs."""
        return self.store.load()


@asynccontextmanager
async def world(folder: Path, clock: Clock | None = None) -> AsyncIterator[World]:
    """A world that ends."""
    one = World(folder, clock)
    try:
        yield one
    finally:
        await one.keeper.close()
        one.store.close()


async def test_durable_means_on_disk(tmp_path: Path) -> None:
    """What was done before ``durable`` returned is in the database, with its record."""
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        here.client.disable(here.clock.now(), Why.ADMINISTRATOR, "uid 0")
        await here.keeper.durable()
        life = here.saved().saved["alpha"].life
        assert not life.enabled
        assert life == here.client.life
        assert here.saved().disabled == {"alpha"}
        (record,) = here.told
        assert (record.kind, record.by, record.detail) == (Kind.DISABLED, "uid 0", "administrator")


async def test_told_when_it_is_on_disk(tmp_path: Path) -> None:
    """A record is told without anybody asking, and only once it is safe."""
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        here.client.disable(here.clock.now(), Why.TIMEOUT)
        assert here.told == []
        await here.on_tell.wait()
        assert not here.saved().saved["alpha"].life.enabled


async def test_what_comes_between_two_writes_shares_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crowd there is a short rest; nobody is told before the write with their record."""
    async with world(tmp_path) as here:
        write, sizes, rested = here.store.write, [], asyncio.Event()

        def count(changes: Changes) -> None:
            sizes.append(len(changes.records))
            write(changes)

        monkeypatch.setattr(here.store, "write", count)
        monkeypatch.setattr(here.keeper, "_rest", rested.wait)
        waiting = []
        for number in range(5):
            record = Record(kind=Kind.ADDED, at=here.clock.now(), client=f"client {number}")
            here.keeper.note(record)
            waiting.append(asyncio.create_task(here.keeper.durable()))
            await asyncio.sleep(0)
        told_early = [*here.told, *(task for task in waiting if task.done())]
        rested.set()
        await asyncio.gather(*waiting)
        assert told_early == []
        assert sizes == [5]
        assert len(here.told) == 5


@pytest.mark.parametrize(("at_once", "rests"), [(1, False), (2, True)])
async def test_only_a_crowd_has_the_next_wait(tmp_path: Path, at_once: int, *, rests: bool) -> None:
    """Orders that come one after the other are carried out at once, each of them."""
    async with world(tmp_path) as here:
        for _turn in range(3):
            await asyncio.gather(*(here.keeper.durable() for _number in range(at_once)))
            assert (here.keeper._rests_until > 0) is rests
            here.keeper._rests_until = 0.0


async def test_checkers_results_are_kept_at_the_end(tmp_path: Path) -> None:
    """What may wait is not forgotten when the server ends."""
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        here.client.start_checker(here.clock.now())
        here.client.checker_completed(1, 0, here.clock.now())
    with closing(SQLiteStore(tmp_path)) as store:
        life = store.load().saved["alpha"].life
    assert life.last_checker_status == 0
    assert life.last_checked_ok == here.client.life.last_checked_ok


async def test_checkers_results_do_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written by themselves, after a while."""
    monkeypatch.setattr(keeper_module, "_LAZY", 0.0)
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        await here.keeper.durable()
        written = asyncio.Event()
        write, loop = here.store.write, asyncio.get_running_loop()

        def tell(changes: Changes) -> None:
            write(changes)
            loop.call_soon_threadsafe(written.set)

        monkeypatch.setattr(here.store, "write", tell)
        here.client.start_checker(here.clock.now())
        here.client.checker_completed(1, 256, here.clock.now())
        await written.wait()
        assert here.saved().saved["alpha"].life.last_checker_status == 1


async def test_added_and_removed_clients(tmp_path: Path) -> None:
    """The database follows the registry."""
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        here.registry.add(Client(BETA, here.clock.now()), here.clock.now())
        await here.keeper.durable()
        assert set(here.saved().saved) == {"alpha", "beta"}
        here.registry.remove("alpha", here.clock.now())
        await here.keeper.durable()
        assert set(here.saved().saved) == {"beta"}
        assert [(record.kind, record.client) for record in here.told] == [
            (Kind.ADDED, "beta"), (Kind.REMOVED, "alpha"),
        ]  # fmt: skip


async def test_removed_and_added_again_in_one_go(tmp_path: Path) -> None:
    """The new client of an old name is the one that is kept."""
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        await here.keeper.durable()
        now = here.clock.now() + timedelta(seconds=1)
        here.registry.remove("alpha", now)
        here.registry.add(Client(ALPHA, now), now)
        await here.keeper.durable()
        assert here.saved().saved["alpha"].life.created == now


async def test_run_time_change_is_kept_beside_the_files(tmp_path: Path) -> None:
    """A restart must know both: what is in force and what the files said."""
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        here.client.change(here.clock.now(), "uid 0", host="example")
        await here.keeper.durable()
        saved = here.saved().saved["alpha"]
        assert (saved.settings.host, saved.configured.host) == ("example", "")
        assert here.told[-1].detail == "host"


async def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    """A client that the files no longer have leaves nothing behind."""
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        await here.keeper.durable()
    async with world(tmp_path) as here:
        here.keeper.begin([], ["alpha"])
        await here.keeper.durable()
        assert here.saved() == State()


async def test_failing_disk_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits learns it; records are told once; nothing is lost when the disk recovers."""
    monkeypatch.setattr(keeper_module, "_RETRY", 0.0)
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        await here.keeper.durable()
        with monkeypatch.context() as patch:
            patch.setattr(here.store, "write", _fail)
            here.client.disable(here.clock.now(), Why.ADMINISTRATOR)
            with pytest.raises(MachineError, match="No space left"):
                await here.keeper.durable()
        await here.keeper.durable()
        assert not here.saved().saved["alpha"].life.enabled
        assert [entry.record.kind for entry in here.store.records()] == [Kind.DISABLED]
        assert [record.kind for record in here.told] == [Kind.DISABLED]


async def test_all_is_written_once_the_state_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was lost meanwhile is made up for; whoever shows the trouble is told of its end."""
    monkeypatch.setattr(keeper_module, "_RETRY", 0.01)
    usable = SQLiteStore._usable
    monkeypatch.setattr(SQLiteStore, "_usable", _unusable)
    here = World(tmp_path)
    told: list[str] = []
    solved = asyncio.Event()

    def hear() -> None:
        told.append(here.keeper.trouble)
        monkeypatch.setattr(SQLiteStore, "_usable", usable)
        if not here.keeper.trouble:
            solved.set()

    here.keeper.on_trouble = hear
    here.registry.absence.note(Client(BETA, here.clock.now()), here.clock.now())
    here.keeper.begin([], [])
    await solved.wait()
    assert ["Read-only file system" in text for text in told] == [True, False]
    assert set(here.saved().saved) == {"alpha", "beta"}
    assert here.saved().saved["beta"].absent is not None
    await here.keeper.close()
    here.store.close()


def _unusable(_store: SQLiteStore) -> NoReturn:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


async def test_defect_does_not_end_the_keeping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong inside is an error for who waits, and the next write works."""
    async with world(tmp_path) as here:
        with monkeypatch.context() as patch:
            patch.setattr(here.store, "write", lambda _changes: 1 // 0)
            here.keeper.begin(["alpha"], [])
            with pytest.raises(MachineError, match="internal error"):
                await here.keeper.durable()
        await here.keeper.durable()
        assert "alpha" in here.saved().saved


def _fail(_changes: Changes) -> None:
    raise MachineError("No space left on device")


def _unknown(here: World, number: int) -> Record:
    return Record(kind=Kind.UNKNOWN_KEY, at=here.clock.now(), key_id=f"{number:064x}")


def _sent(here: World, kind: Kind = Kind.SECRET_SENT) -> Record:
    at = here.clock.now()
    return Record(kind=kind, at=at, client="alpha", address="fe80::1")


#: Each kind of record about a secret sent, and the event that follows it.
DELIVERIES = {Kind.SECRET_SENT: Client.secret_sent, Kind.REHEARSED: Client.rehearsed}
of_both_kinds = pytest.mark.parametrize("kind", DELIVERIES)


async def test_strangers_cannot_keep_the_disk_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause a record is written at once; a thousand more share one write, later."""
    monkeypatch.setattr(keeper_module, "_PROVOKED_REST", 3600.0)
    async with world(tmp_path) as here:
        write, sizes = here.store.write, []

        def count(changes: Changes) -> None:
            sizes.append(len(changes.records))
            write(changes)

        monkeypatch.setattr(here.store, "write", count)
        here.keeper._written = -3600.0
        here.keeper.note(_unknown(here, 0))
        await here.on_tell.wait()
        for number in range(1, 1001):
            here.keeper.note(_unknown(here, number))
            here.client.ask(here.clock.now())
            await asyncio.sleep(0)
            await asyncio.wrap_future(here.keeper._thread.submit(bool))
        assert sizes == [1]
        assert len(here.told) == 1
        here.client.disable(here.clock.now(), Why.ADMINISTRATOR)
        await here.keeper.durable()
        assert sizes == [1, 1001]
        assert [record.kind for record in here.told[-2:]] == [Kind.UNKNOWN_KEY, Kind.DISABLED]


async def test_strangers_records_are_written_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another reason to write."""
    monkeypatch.setattr(keeper_module, "_PROVOKED_REST", 0.05)
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        await here.keeper.durable()
        for number in range(5):
            here.keeper.note(_unknown(here, number))
        await here.on_tell.wait()
        assert len(here.store.records()) == 5


@of_both_kinds
async def test_holder_of_a_key_cannot_keep_the_disk_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """After the first secret, others and their changes of the client wait for the next write."""
    monkeypatch.setattr(keeper_module, "_PROVOKED_REST", 3600.0)
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        DELIVERIES[kind](here.client, here.clock.now())
        await here.keeper.durable()
        writes: list[Changes] = []
        write = here.store.write

        def count(changes: Changes) -> None:
            writes.append(changes)
            write(changes)

        monkeypatch.setattr(here.store, "write", count)
        for _number in range(1000):
            here.keeper.note(_sent(here, kind))
            DELIVERIES[kind](here.client, here.clock.now())
            await asyncio.sleep(0)
        unhurried = asyncio.create_task(here.keeper.durable(hurry=False))
        await asyncio.sleep(0)
        await asyncio.wrap_future(here.keeper._thread.submit(bool))
        assert (writes, unhurried.done()) == ([], False)
        await here.keeper.durable()
        await unhurried
        assert [len(changes.records) for changes in writes] == [1000]
        assert here.saved().saved["alpha"].life == here.client.life
        (entry,) = here.store.records()
        assert entry.times == 1000


def test_every_secret_sent_is_tested() -> None:
    """A new kind needs its event above."""
    assert set(DELIVERIES) == SENT


async def test_extended_timeout_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that crashes while a client boots leaves the client its extended timeout."""
    monkeypatch.setattr(keeper_module, "_PROVOKED_REST", 3600.0)
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        await here.keeper.durable()
        written = asyncio.Event()
        write, loop = here.store.write, asyncio.get_running_loop()

        def count(changes: Changes) -> None:
            write(changes)
            loop.call_soon_threadsafe(written.set)

        monkeypatch.setattr(here.store, "write", count)
        here.client.secret_sent(here.clock.now())
        await written.wait()
        assert here.saved().saved["alpha"].life == here.client.life
        here.registry.remove("alpha", here.clock.now())
        assert not here.keeper._extended


@of_both_kinds
async def test_unhurried_write_comes_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """Without another reason to write."""
    monkeypatch.setattr(keeper_module, "_PROVOKED_REST", 0.05)
    async with world(tmp_path) as here:
        here.keeper.begin(["alpha"], [])
        await here.keeper.durable()
        here.keeper.note(_sent(here, kind))
        await here.keeper.durable(hurry=False)
        assert len(here.store.records()) == 1


@of_both_kinds
async def test_secrets_that_wait_for_the_disk_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """A disk that hangs or fails: they displace nothing, and are told without a record."""
    monkeypatch.setattr(keeper_module, "_PATIENCE", 100)
    monkeypatch.setattr(keeper_module, "_PROVOKED_REST", 3600.0)
    async with world(tmp_path) as here:
        write = here.store.write
        monkeypatch.setattr(here.store, "write", _fail)
        here.keeper.note(Record(kind=Kind.CHANGED, at=here.clock.now(), client="alpha"))
        for _turn in range(5):
            for _number in range(200):
                here.keeper.note(_sent(here, kind))
            with pytest.raises(MachineError):
                await here.keeper.durable()
        assert len(here.told) == 1001
        monkeypatch.setattr(here.store, "write", write)
        await here.keeper.durable()
        newest, oldest = here.store.records()
        assert (oldest.record.kind, newest.times) == (Kind.CHANGED, 25)


async def test_what_waits_for_the_disk_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs: strangers fill half of the places; the rest is told without a record."""
    monkeypatch.setattr(keeper_module, "_PATIENCE", 100)
    monkeypatch.setattr(keeper_module, "_PROVOKED_REST", 3600.0)
    async with world(tmp_path) as here:
        here.keeper._written = here.keeper._loop.time()
        here.keeper.note(Record(kind=Kind.CHANGED, at=here.clock.now(), client="alpha"))
        for number in range(1000):
            here.keeper.note(_unknown(here, number))
        assert len(here.told) == 951
        await here.keeper.durable()
        assert len(here.told) == 1001
        assert len(here.store.records()) == 50


async def test_strangers_displace_nothing_that_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acts of administrators and secrets sent while the disk was full are written later."""
    monkeypatch.setattr(keeper_module, "_PATIENCE", 100)
    async with world(tmp_path) as here:
        write = here.store.write
        monkeypatch.setattr(here.store, "write", _fail)
        here.keeper.note(Record(kind=Kind.CHANGED, at=here.clock.now(), client="alpha"))
        for kind in DELIVERIES:
            here.keeper.note(_sent(here, kind))
        taken = asyncio.Event()
        take = here.keeper._taken

        def take_and_tell() -> Changes:
            taken.set()
            return take()

        monkeypatch.setattr(here.keeper, "_taken", take_and_tell)
        for _turn in range(5):
            taken.clear()
            failing = asyncio.create_task(here.keeper.durable())
            await taken.wait()
            for number in range(200):  # while the disk works
                here.keeper.note(_unknown(here, number))
            with pytest.raises(MachineError):
                await failing
        monkeypatch.setattr(here.store, "write", write)
        await here.keeper.durable()
        kinds = [entry.record.kind for entry in here.store.records()]
        assert kinds[-3:] == [*reversed(DELIVERIES), Kind.CHANGED]
        assert len(kinds) <= 53


async def test_end_while_the_clock_is_held_saves_the_time_that_is_left(tmp_path: Path) -> None:
    """With link_loss = hold a restart while the cable is out takes no client's time."""
    start, passed = datetime(2026, 11, 24, tzinfo=UTC), [0.0]
    clock = Clock(lambda: passed[0], lambda: start + timedelta(seconds=passed[0]))
    async with world(tmp_path, clock) as here:
        here.keeper.begin(["alpha"], [])
        await here.keeper.durable()
        clock.hold()
        passed[0] = 3600.0
        clock.beat()
        await here.keeper.close()
        expires = here.saved().saved["alpha"].life.expires
        assert expires == start + ALPHA.timeout + timedelta(hours=1)
