# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connection works next: each pass of the event loop is made by hand."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from mandos.server.requests import turns as turns_module
from mandos.server.requests.fair_queue import FairQueue
from mandos.server.requests.sockets import Peer
from mandos.server.requests.turns import Turns, source_of

STRANGER = source_of(Peer("fe80::bad", 1, "eth0"))
HONEST = source_of(Peer("fe80::1", 1, "eth0"))
ELSEWHERE = source_of(Peer("2001:db8::1", 1, "eth0"))


class Crowd:
    """Connections that work one turn each, and are noted when they do."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.worked: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, who: str, source: tuple[str, ...], number: int = 1) -> None:
        """Let so many come, up to where they wait."""
        for _number in range(number):
            self.tasks.append(asyncio.create_task(self._work(who, source)))
        await asyncio.sleep(0)

    async def _work(self, who: str, source: tuple[str, ...]) -> None:
        await self.turns.begin(source)
        self.worked.append(who)

    async def end(self) -> None:
        """Let all have their turns; nothing is left of them."""
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(0)
        assert not self.turns._busy
        assert not self.turns._queue
        assert self.turns.beginning == 0


@pytest.fixture(autouse=True)
def _one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "_AT_ONCE", 1)


async def test_connection_that_is_alone_works_at_once() -> None:
    """Without a further pass of the loop, again and again."""
    crowd = Crowd()
    for _turn in range(3):
        await crowd.come("one", HONEST)
        assert not crowd.turns._queue
        await crowd.end()
    assert crowd.worked == ["one"] * 3


async def test_source_that_is_alone_has_all_turns() -> None:
    """One in each pass."""
    crowd = Crowd()
    await crowd.come("stranger", STRANGER, 64)
    worked = [len(crowd.worked)]
    while worked[-1] < 64:
        await asyncio.sleep(0)
        worked.append(len(crowd.worked))
    assert all(after - before <= 1 for before, after in pairwise(worked))
    assert len(worked) <= 70
    await crowd.end()


@pytest.mark.parametrize("source", [HONEST, ELSEWHERE])
async def test_client_does_not_wait_behind_a_crowd(source: tuple[str, ...]) -> None:
    """It works after the next of them; many of one address work every second time."""
    crowd = Crowd()
    await crowd.come("stranger", STRANGER, 64)
    await crowd.come("honest", source, 8)
    await crowd.end()
    first = crowd.worked.index("honest")
    assert first <= 3
    assert crowd.worked[first : first + 15] == ["honest", *["stranger", "honest"] * 7]
    assert crowd.worked.count("stranger") == 64


async def test_many_addresses_of_another_network_have_its_turns() -> None:
    """A stranger who makes up addresses in a network of his own has the turns of one network."""
    crowd = Crowd()
    for number in range(64):
        await crowd.come("stranger", source_of(Peer(f"2001:db8:bad::{number:x}", 1, "eth0")))
    await crowd.come("honest", HONEST, 8)
    await crowd.end()
    first = crowd.worked.index("honest")
    assert crowd.worked[first : first + 15].count("honest") == 8


async def test_connection_that_is_given_up_has_no_turn() -> None:
    """Nor does it keep others from theirs."""
    crowd = Crowd()
    await crowd.come("first", STRANGER)
    await crowd.come("given up", STRANGER, 3)
    await crowd.come("last", HONEST)
    waiting = [task for task in crowd.tasks if not task.done()]
    assert waiting
    for task in crowd.tasks[1:4]:
        task.cancel()
    await crowd.end()
    assert crowd.worked.count("last") == 1
    assert all(task.done() for task in crowd.tasks)


async def test_waiter_that_is_asked_for() -> None:
    """Its result is set when its turn comes; one that was given up meanwhile is passed over."""
    turns, loop = Turns(), asyncio.get_running_loop()
    waiters = [loop.create_future() for _number in range(4)]
    for waiter in waiters:
        turns.ask(HONEST, waiter)
    waiters[1].cancel()
    turns.forget(HONEST, waiters[2])
    assert waiters[0].done()
    await waiters[3]
    assert not waiters[2].done()


def test_sources() -> None:
    """A network of 64 bits, or 24 of IPv4, on an interface; and the address."""
    assert source_of(Peer("fe80::1", 1, "eth0")) == ("fe80000000000000%eth0", "fe80::1")
    assert source_of(Peer("fe80::1", 2, "eth1"))[0] == "fe80000000000000%eth1"
    one, other = (source_of(Peer(f"2001:db8:0:1::{end}", 1)) for end in ("1", "ffff:0:1"))
    assert one[0] == other[0] == "20010db800000001%"
    assert source_of(Peer("192.0.2.77", 1, "eth0")) == ("192.0.2%eth0", "192.0.2.77")


def test_queue_of_nothing() -> None:
    """Nothing can be taken, and giving up what is not there is harmless."""
    queue = FairQueue[int]()
    queue.discard(HONEST, 1)
    with pytest.raises(KeyError):
        queue.take()
