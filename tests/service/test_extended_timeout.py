# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret sent gives the client its extended timeout in place of the time that was left.

The original's server does so, too, also where the client had more time before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from harness.bus_acts import Moment, Stage, another, play
from harness.families import Family, ours, reference
from harness.keys import Credentials

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

#: Seconds of the clients' timeouts, and of the extended one.
SHORT, LONG, EXTENDED = 60, 7200, 900
CLIENTS = {"long": f"timeout = PT{LONG}S", "short": f"timeout = PT{SHORT}S"}
COMMON = f"extended_timeout = PT{EXTENDED}S\ninterval = P2W\nchecker = true\n"
Act = Callable[[Stage], Awaitable[Any]]
#: Seconds by which dates may differ on a busy machine.
_TOLERANCE = 30


async def _begin(stage: Stage) -> None:
    stage.server.start()
    await stage.peer.named()
    for name in CLIENTS:
        await stage.heard("ClientAdded", f"/clients/{name}")


def _alive(name: str) -> Act:
    async def act(stage: Stage) -> object:
        await stage.call(f"/clients/{name}", "se.recompile.Mandos.Client", "CheckedOK")
        return await stage.get(f"/clients/{name}", "Expires")

    return act


def _asks(name: str) -> Act:
    async def act(stage: Stage) -> object:
        await stage.ask(name)
        await stage.heard("GotSecret", path=f"/clients/{name}")
        return await stage.get(f"/clients/{name}", "Expires")

    return act


@pytest.mark.usefixtures("_possible")
@pytest.mark.parametrize("family", [reference(), ours()], ids=lambda family: family.name)
def test_secret_sent_replaces_the_time_that_is_left(
    keys_of: Callable[[Family], Credentials], family: Family
) -> None:
    """By a longer or by a shorter one."""
    keys = {name: another(keys_of(ours()), name) for name in CLIENTS}
    sections = [f"{keys[name].section}\n{timeout}\n{COMMON}" for name, timeout in CLIENTS.items()]
    acts: dict[str, Act] = {"begin": _begin}
    for name in CLIENTS:
        acts |= {f"{name} is alive": _alive(name), f"{name} asks": _asks(name)}
    played = asyncio.run(play(family, "\n".join(sections), keys, acts))
    left = {}
    for act in acts:
        match played[act].answer:
            case ["v", [(_, Moment() as expires)]]:
                left[act] = expires.offset
    assert left == pytest.approx(
        {
            "long is alive": LONG, "long asks": EXTENDED,
            "short is alive": SHORT, "short asks": EXTENDED,
        }, abs=_TOLERANCE,
    )  # fmt: skip
