# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge: what a request gets, what it leaves in the trail, and how it waits for a person."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest

from mandos.client_settings import ClientSettings
from mandos.errors import MachineError
from mandos.server.audit.records import Kind, Record
from mandos.server.life.client import Client
from mandos.server.life.clock import Clock
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry
from mandos.server.life.sealed_secret import SealedSecret
from mandos.server.requests import judge as judge_module
from mandos.server.requests.client_status import described
from mandos.server.requests.judge import RegistryJudge
from mandos.server.requests.peer_identity import PeerIdentity
from mandos.server.requests.recently_sent import ADDRESSES, RecentlySent
from mandos.server.requests.sockets import Peer
from mandos.server.system.machine_clock import machine_clock
from mandos.wire import grammar

KEY = "ab" * 32
IDENTITY = PeerIdentity(KEY)
PEER = Peer("fe80::1", 4711, "eth0")
CLAIM = "it says that it rehearses its boot"


class Trail:
    """An audit trail whose disk the test rules."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.noted = asyncio.Event()
        self.on_disk = 0
        self.waits: list[bool] = []
        self.disk = asyncio.Event()
        self.disk.set()
        self.error: MachineError | None = None

    @property
    def kinds(self) -> list[Kind]:
        """What was noted."""
        return [record.kind for record in self.records]

    def note(self, record: Record) -> None:
        """Add a record."""
        self.records.append(record)
        self.noted.set()

    async def durable(self, *, hurry: bool = True) -> None:
        """Wait for the disk."""
        self.waits.append(hurry)
        await self.disk.wait()
        if self.error:
            raise self.error
        self.on_disk = len(self.records)


class World(NamedTuple):
    """A judge with one client."""

    clock: Clock
    client: Client
    registry: Registry
    trail: Trail
    judge: RegistryJudge

    async def waiting(self) -> asyncio.Task[SealedSecret | None]:
        """A request that waits for a person."""
        waits = asyncio.Event()
        self.registry.listen(lambda _event: waits.set())
        task = asyncio.create_task(self.judge.judge(IDENTITY, PEER))
        await waits.wait()
        return task


def _world(delay: timedelta = timedelta(0)) -> World:
    clock, trail = machine_clock(), Trail()
    settings = ClientSettings(name="foo", key_id=KEY, secret=b"sealed", approval_delay=delay)
    client = Client(settings, clock.now())
    registry = Registry([client])
    return World(clock, client, registry, trail, RegistryJudge(registry, clock, trail))


async def test_known_enabled_client_gets_its_secret() -> None:
    """Its own secret for a known key, recorded on disk with who asked from where."""
    world = _world()
    assert await world.judge.judge(IDENTITY, PEER) == SealedSecret(b"sealed")
    (record,) = world.trail.records
    assert (record.kind, record.client, record.key_id) == (Kind.SECRET_SENT, "foo", KEY)
    assert (record.address, record.interface) == ("fe80::1", "eth0")
    assert world.trail.on_disk == 1


def _peers(number: int) -> list[Peer]:
    return [Peer(f"fe80::{place:x}", 4711, "eth0") for place in range(1, number + 1)]


def _stop(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)


async def test_repeated_request_needs_no_write_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second of one on disk, for the same address; the record is noted all the same."""
    world = _world()
    _stop(world.clock, monkeypatch)
    for _turn in range(3):
        assert await world.judge.judge(IDENTITY, PEER) == SealedSecret(b"sealed")
    assert world.trail.waits == [True]
    assert world.trail.kinds == [Kind.SECRET_SENT] * 3
    await world.judge.judge(IDENTITY, Peer("fe80::2", 4711, "eth0"))
    assert world.trail.waits == [True, True]


async def test_rehearsal_stands_in_for_no_record_of_a_boot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash must not leave a boot as a rehearsal, or a rehearsal as a boot."""
    world = _world()
    _stop(world.clock, monkeypatch)
    for purpose in (grammar.REHEARSAL, grammar.SECRET) * 2:
        assert await world.judge.judge(IDENTITY, PEER, purpose) == SealedSecret(b"sealed")
    assert world.trail.waits == [True, True]
    assert world.trail.kinds == [Kind.REHEARSED, Kind.SECRET_SENT] * 2


async def test_repeated_request_of_a_disabled_client_gets_nothing() -> None:
    """What was sent a moment ago allows nothing."""
    world = _world()
    await world.judge.judge(IDENTITY, PEER)
    world.client.disable(world.clock.now(), Why.ADMINISTRATOR)
    assert await world.judge.judge(IDENTITY, PEER) is None


async def test_client_that_was_enabled_anew_waits_for_the_disk() -> None:
    """The first secret after that leaves when both are on disk."""
    world = _world()
    await world.judge.judge(IDENTITY, PEER)
    world.client.disable(world.clock.now(), Why.ADMINISTRATOR)
    world.client.enable(world.clock.now(), Why.ADMINISTRATOR)
    assert await world.judge.judge(IDENTITY, PEER) == SealedSecret(b"sealed")
    assert world.trail.waits == [True, True]


async def test_failed_write_is_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    """The next request waits again; the errors have one line at once and one sum."""
    world = _world()
    world.trail.error = MachineError("no space left on device")
    for _turn in range(10):
        await world.judge.judge(IDENTITY, PEER)
    assert world.trail.waits == [True] * 10
    assert caplog.messages == ["a secret is sent without a record: no space left on device"]
    world.judge.close()
    assert caplog.messages[1:] == [
        "9 more secrets were sent without a record, most: no space left on device"
    ]


async def test_key_at_many_addresses_hurries_no_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond eight in a second each is on disk before its secret leaves, but causes no write."""
    world = _world()
    _stop(world.clock, monkeypatch)
    for peer in _peers(20):
        await world.judge.judge(IDENTITY, peer)
    assert world.trail.waits == [True] * ADDRESSES + [False] * (20 - ADDRESSES)


def test_addresses_are_forgotten_after_a_second() -> None:
    """Each key has its own; memory is bounded."""
    recent, start = RecentlySent(), machine_clock().now()
    second = timedelta(seconds=1)
    for number in range(20):
        recent.add(KEY, ("", f"fe80::{number:x}", "eth0", ""), start)
    assert len(recent._keys[KEY]) == ADDRESSES
    assert recent.has(KEY, ("", "fe80::0", "eth0", ""), start + 0.9 * second)
    assert not recent.has(KEY, ("", "fe80::0", "eth1", ""), start + 0.9 * second)
    assert not recent.has("cd" * 32, ("", "fe80::0", "eth0", ""), start)
    assert not recent.has(KEY, ("", "fe80::0", "eth0", ""), start + second)
    assert not recent.is_full(KEY)
    assert not recent._keys


async def test_unknown_key_gets_nothing() -> None:
    """Nothing but a record."""
    world = _world()
    assert await world.judge.judge(PeerIdentity("0" * 64), PEER) is None
    assert [(record.kind, record.key_id) for record in world.trail.records] == [
        (Kind.UNKNOWN_KEY, "0" * 64)
    ]


async def test_disabled_client_gets_nothing() -> None:
    """A disabled client is refused."""
    world = _world()
    world.client.disable(world.clock.now(), Why.ADMINISTRATOR)
    assert await world.judge.judge(IDENTITY, PEER) is None
    assert [(record.kind, record.detail) for record in world.trail.records] == [
        (Kind.REJECTED, "Disabled")
    ]


async def test_no_secret_leaves_before_its_record_is_on_disk() -> None:
    """And whoever is disabled while the disk works gets nothing."""
    world = _world()
    world.trail.disk.clear()
    task = asyncio.create_task(world.judge.judge(IDENTITY, PEER))
    await world.trail.noted.wait()
    assert not task.done()
    world.client.disable(world.clock.now(), Why.ADMINISTRATOR)
    world.trail.disk.set()
    assert await task is None
    assert world.trail.kinds == [Kind.SECRET_SENT, Kind.UNDELIVERED]


async def test_broken_disk_keeps_no_machine_from_booting() -> None:
    """A disk that fails is worth an error in the log, not a machine that stays down."""
    world = _world()
    world.trail.error = MachineError("no space left on device")
    assert await world.judge.judge(IDENTITY, PEER) == SealedSecret(b"sealed")


async def test_hanging_disk_keeps_no_machine_from_booting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a disk waited for that does not answer."""
    monkeypatch.setattr(judge_module, "_DISK_TIME", 0.0)
    world = _world()
    world.trail.disk.clear()
    assert await world.judge.judge(IDENTITY, PEER) == SealedSecret(b"sealed")


async def test_delivery_extends_the_timeout() -> None:
    """After the secret was sent the client has its extended timeout."""
    world = _world()
    before = world.clock.now()
    world.judge.delivered(IDENTITY, PEER)
    assert world.client.life.expires is not None
    assert world.client.life.expires >= before + world.client.settings.extended_timeout
    assert world.client.life.last_secret_sent is not None
    assert world.client.life.last_secret_sent >= before


async def test_rehearsal_extends_no_timeout() -> None:
    """It gets the secret after its record is on disk, and its date is all that changes."""
    world = _world()
    life = world.client.life
    answer = await world.judge.judge(IDENTITY, PEER, grammar.REHEARSAL)
    assert answer == SealedSecret(b"sealed")
    assert (world.trail.kinds, world.trail.on_disk) == ([Kind.REHEARSED], 1)
    world.judge.delivered(IDENTITY, PEER, grammar.REHEARSAL)
    rehearsed = world.client.life.last_rehearsed
    assert rehearsed is not None
    assert world.client.life == replace(life, last_rehearsed=rehearsed)


async def test_rehearsal_is_refused_like_a_request() -> None:
    """A disabled client gets nothing by it."""
    world = _world()
    world.client.disable(world.clock.now(), Why.ADMINISTRATOR)
    assert await world.judge.judge(IDENTITY, PEER, grammar.REHEARSAL) is None
    assert world.trail.kinds == [Kind.REJECTED]


async def test_rehearsal_waits_for_approval_like_a_request() -> None:
    """Else a holder of the key got the secret past the administrator, who reads a claim as one."""
    world = _world(timedelta(hours=1))
    world.client.change(world.clock.now(), approved_by_default=False)
    task = asyncio.create_task(world.judge.judge(IDENTITY, PEER, grammar.REHEARSAL))
    await world.trail.noted.wait()
    (record,) = world.trail.records
    assert (record.kind, record.detail) == (Kind.APPROVAL_NEEDED, CLAIM)
    world.client.give_verdict(world.clock.now(), approved=False)
    assert await task is None


def test_description_of_a_client() -> None:
    """The holder of the key learns what the next boot has to know, and no secret."""
    world = _world(timedelta(seconds=5))
    text = world.judge.describe(IDENTITY, PEER)
    assert text is not None
    found = json.loads(text)
    assert (found["name"], found["enabled"], found["approval_delay"]) == ("foo", True, 5.0)
    assert 0 < found["seconds_left"] <= found["timeout"]
    assert "sealed" not in text.decode()
    world.client.disable(world.clock.now(), Why.ADMINISTRATOR)
    text = world.judge.describe(IDENTITY, PEER)
    assert text is not None
    assert (json.loads(text)["enabled"], json.loads(text)["seconds_left"]) == (False, None)


def test_description_is_recorded() -> None:
    """The holder of a stolen key does not learn unnoticed how the server sees the client."""
    world = _world()
    world.judge.describe(IDENTITY, PEER)
    (record,) = world.trail.records
    assert (record.kind, record.client, record.key_id) == (Kind.STATUS_SENT, "foo", KEY)
    assert (record.address, record.interface) == ("fe80::1", "eth0")
    assert world.trail.waits == []


@pytest.mark.parametrize("approved", [True, False])
def test_description_has_the_verdict_in_force(*, approved: bool) -> None:
    """An approval or a denial stands there with its time, and is gone when that is over."""
    world = _world()
    now = world.clock.now()
    world.client.change(now, approval_duration=timedelta(seconds=40))
    world.client.give_verdict(now, approved=approved)
    shown = json.loads(described(world.client, now + timedelta(seconds=30)))
    assert (shown["verdict"], shown["verdict_seconds"]) == (approved, 10)
    shown = json.loads(described(world.client, now + timedelta(seconds=40)))
    assert (shown["verdict"], shown["verdict_seconds"]) == (None, None)


def test_no_description_of_a_stranger() -> None:
    """A key that no client has gets nothing, and is recorded."""
    world = _world()
    assert world.judge.describe(PeerIdentity("0" * 64), PEER) is None
    assert world.trail.kinds == [Kind.UNKNOWN_KEY]


async def test_broken_connection_is_recorded() -> None:
    """The client may not have its secret: its timeout stays, the trail tells."""
    world = _world()
    expires = world.client.life.expires
    world.judge.undelivered(IDENTITY, PEER)
    assert world.client.life.expires == expires
    assert world.trail.kinds == [Kind.UNDELIVERED]


async def test_verdict_ends_the_wait_at_once() -> None:
    """An approval lets the waiting request through; a denial does not."""
    for approved, secret in ((True, SealedSecret(b"sealed")), (False, None)):
        world = _world(timedelta(hours=1))
        task = await world.waiting()
        world.client.give_verdict(world.clock.now(), approved=approved)
        assert await task == secret


async def test_timer_ends_the_wait() -> None:
    """At the end of the delay the default decides."""
    world = _world(timedelta(minutes=1))
    task = await world.waiting()
    world.registry.advance(world.clock.now() + timedelta(minutes=1))
    assert await task == SealedSecret(b"sealed")
    assert world.trail.kinds == [Kind.APPROVAL_NEEDED, Kind.SECRET_SENT]


async def test_old_key_gets_nothing_after_a_new_one_came() -> None:
    """A reload replaced the key while the holder of the old one waited: approval comes too late."""
    world = _world(timedelta(hours=1))
    task = await world.waiting()
    settings = replace(world.client.configured, key_id="cd" * 32, secret=b"new")
    world.registry.configure([settings], world.clock.now())
    world.client.give_verdict(world.clock.now(), approved=True)
    assert await task is None
    assert [(record.kind, record.detail) for record in world.trail.records] == [
        (Kind.APPROVAL_NEEDED, ""), (Kind.REJECTED, "Its key was replaced"),
    ]  # fmt: skip


async def test_client_that_was_replaced_while_it_waited_gets_nothing() -> None:
    """Another client, of another name, has the key by now."""
    world = _world(timedelta(hours=1))
    task = await world.waiting()
    request = world.client._approval._waiting[0]
    settings = replace(world.client.configured, name="bar", secret=b"new")
    request.settle(None)
    world.registry.configure([settings], world.clock.now())
    assert await task is None


Change = Callable[[World], object]


def _disable(world: World) -> None:
    world.client.disable(world.clock.now(), Why.ADMINISTRATOR)


def _replace_key(world: World) -> None:
    settings = replace(world.client.configured, key_id="cd" * 32)
    world.registry.configure([settings], world.clock.now())


def _require_approval(world: World) -> None:
    world.client.change(world.clock.now(), approval_delay=timedelta(hours=1))


def _deny(world: World) -> None:
    world.client.give_verdict(world.clock.now(), approved=False)


def _let_time_pass(world: World) -> None:
    world.client.change(world.clock.now(), timeout=timedelta(0))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_disable, "disabled"), (_replace_key, "its key was replaced"), (_deny, "denied"),
        (_require_approval, "approval timed out"), (_let_time_pass, "disabled"),
    ],
)  # fmt: skip
async def test_what_changed_while_the_disk_worked_counts(change: Change, why: str) -> None:
    """Whatever the decision rested on is looked up again after the wait."""
    world = _world()
    world.trail.disk.clear()
    task = asyncio.create_task(world.judge.judge(IDENTITY, PEER))
    await world.trail.noted.wait()
    change(world)
    world.trail.disk.set()
    assert await task is None
    assert [record.kind for record in world.trail.records] == [Kind.SECRET_SENT, Kind.UNDELIVERED]
    assert world.trail.records[-1].detail == f"meanwhile: {why}"


async def test_secret_that_changed_while_the_disk_worked() -> None:
    """The client gets the one of now."""
    world = _world()
    world.trail.disk.clear()
    task = asyncio.create_task(world.judge.judge(IDENTITY, PEER))
    await world.trail.noted.wait()
    world.client.change(world.clock.now(), secret=b"new")
    world.trail.disk.set()
    assert await task == SealedSecret(b"new")


async def test_wait_that_is_given_up_leaves_nothing_pending() -> None:
    """When the peer hangs up its request is forgotten."""
    world = _world(timedelta(hours=1))
    task = await world.waiting()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not world.client.approval_pending


def test_secret_shows_no_content() -> None:
    """Neither its representation nor a log line that has it."""
    secret = SealedSecret(b"content")
    assert "content" not in f"{secret} {secret!r} {[secret]}"
    assert repr(secret) == "SealedSecret(7 bytes)"
