# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes plans of histories: steps and accidents at random times, all drawn from a seed.  Pure."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from harness.history import APPROVE, DENY, DISABLE, ENABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK, DIE, LIVE, SLOW = "ask", "die", "live", "slow"
KILL, PAUSE, PARTITION = "kill", "pause", "partition"
PAUSE_PRIMARY, PAUSE_STANDBY, LOSE_PRIMARY = "pause primary", "pause standby", "lose primary"
SLOW_DISK, JUMP = "slow disk", "jump"
#: Clients that answer checks all the time, some that die and live again, and some whose requests
#: wait: until they are approved, or for a moment.
STEADY = ("steady-1", "steady-2", "steady-3")
MORTAL = ("mortal-1", "mortal-2")
APPROVED_ONLY, DELAYED = "approved-only", "delayed"
CLIENTS = (*STEADY, *MORTAL, APPROVED_ONLY, DELAYED)
#: Seconds of a plan, the shortest and the longest.
_LENGTHS = 7.0, 14.0
#: Seconds until a lost primary has a successor, if that takes longer than any client's timeout.
_LONG = 6.5, 9.0


#: Seconds before and after a jump in which most servers have to be there.
_BEFORE, _AFTER = 6.0, 7.0


class Step(NamedTuple):
    """One step, so many seconds after the begin.

    ``seconds`` is how long an accident lasts, or by how much a clock jumps.
    """

    at: float
    kind: str
    server: str = ""
    client: str = ""
    seconds: float = 0.0


def plan(seed: int, servers: tuple[str, ...], *, shared: bool) -> list[Step]:
    """Return the steps of a history; those of one server, or one database, do not overlap."""
    chance = random.Random(f"{seed} {shared}")  # noqa: S311 - no secret
    length = chance.uniform(*_LENGTHS)
    steps = [*_calls(chance, servers, length), *_deaths(chance, length)]
    for server in servers:
        steps += _server_accidents(chance, server, length, shared=shared)
    if shared:
        steps += _database_accidents(chance, length)
        steps = _without_minority(steps, servers)
    return sorted(steps)


def _without_minority(steps: list[Step], servers: tuple[str, ...]) -> list[Step]:
    """The steps without accidents that leave only a minority to see a clock jump.

    The servers correct a jump that most of them have seen: all but the first one are there then.
    """
    jumps = [step.at for step in steps if step.kind == JUMP]
    return [
        step
        for step in steps
        if step.kind not in (KILL, PAUSE, PARTITION)
        or step.server == servers[0]
        or not any(step.at - _AFTER < at < step.at + step.seconds + _BEFORE for at in jumps)
    ]


def _calls(chance: random.Random, servers: tuple[str, ...], length: float) -> Iterator[Step]:
    for _ in range(int(length * 4)):
        client = chance.choice(CLIENTS)
        yield Step(chance.uniform(0, length), ASK, chance.choice(servers), client)
    favourite = chance.choice(CLIENTS)
    for _ in range(int(length)):
        client = chance.choice((favourite, chance.choice(CLIENTS)))
        yield from _burst(chance, client, servers, length)


def _burst(
    chance: random.Random, client: str, servers: tuple[str, ...], length: float
) -> Iterator[Step]:
    """Some acts on one client, soon after each other, and requests in between."""
    at = chance.uniform(0, length)
    kinds: tuple[str, ...] = (DISABLE, ENABLE, ENABLE, DENY, APPROVE)
    if client == APPROVED_ONLY:
        kinds = (*kinds, APPROVE, APPROVE)
    for _ in range(chance.choice((1, 2, 3, 5))):
        yield Step(at, chance.choice(kinds), chance.choice(servers), client)
        yield Step(at + chance.uniform(0, 0.5), ASK, chance.choice(servers), client)
        at += chance.choice((chance.uniform(0, 0.05), chance.uniform(0, 1.0)))


def _deaths(chance: random.Random, length: float) -> Iterator[Step]:
    for client in MORTAL:
        if chance.random() < 0.7:
            at = chance.uniform(0, length / 2)
            yield Step(at, DIE, client=client)
            if chance.random() < 0.5:
                yield Step(at + chance.uniform(0.5, length), LIVE, client=client)
    for client in STEADY:
        if chance.random() < 0.3:
            yield Step(chance.uniform(0, length), SLOW, client=client)


def _server_accidents(
    chance: random.Random, server: str, length: float, *, shared: bool
) -> Iterator[Step]:
    kinds = (KILL, PAUSE, PARTITION) if shared else (KILL, PAUSE)
    at = chance.uniform(0, length)
    while at < length:
        kind = chance.choice(kinds)
        seconds = (
            chance.uniform(0.1, 2.0)
            if kind == KILL
            else chance.choice((chance.uniform(0.3, 1.5), chance.uniform(1.5, 7.0)))
        )
        yield Step(at, kind, server, seconds=seconds)
        at += seconds + chance.uniform(2.0, length)


def _database_accidents(chance: random.Random, length: float) -> Iterator[Step]:
    kinds = [PAUSE_PRIMARY, PAUSE_STANDBY, SLOW_DISK, JUMP, LOSE_PRIMARY]
    at = chance.uniform(0, length / 2)
    while at < length and kinds:
        kind = chance.choice(kinds)
        seconds = chance.uniform(0.3, 2.9)
        if kind == LOSE_PRIMARY:
            seconds = chance.choice((seconds, chance.uniform(*_LONG)))
        if kind == JUMP:
            shift = chance.choice((-3600.0, -60.0, -5.0, 5.0, 60.0, 3600.0))
            yield Step(at, kind, seconds=shift)
        else:
            yield Step(at, kind, seconds=seconds)
        if kind in (JUMP, LOSE_PRIMARY):
            # The standby's clock is right: the loss of a primary whose clock jumped is a second
            # jump, and servers follow only the one that most of them see.
            kinds = [one for one in kinds if one not in (JUMP, LOSE_PRIMARY)]
        if kind == LOSE_PRIMARY:
            kinds.remove(PAUSE_STANDBY)
        at += seconds + chance.uniform(1.5, length / 2)
