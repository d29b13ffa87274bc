# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers on the link do their worst, and the client gets its password from the good server.

The rogue is there first; the good server comes once the client is busy with it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.keys import seal_with_gnupg
from harness.peers import announced, start_client
from harness.rogues import MEMORY_LIMIT, expensive_message, memory_of, start_mob, told_by_mob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from harness.host import Host
    from harness.keys import Credentials
    from harness.process import Process
    from harness.vm.boot import Site

pytestmark = pytest.mark.peer

OURS = ours()
ROGUE = Path(__file__).with_name("harness") / "rogue_program.py"
#: Seconds that the client and the rogue are alone.
ALONE = 5.0
#: Seconds after which an unsigned password would be used if the keys had no note, and some more.
UNSIGNED = 24.0
#: Seconds that are waited for a password at most.
LONG = 90.0
#: Lines on the console and in the log that a rogue may cause meanwhile.
LINES = 40


def _rogue(site: Site, stack: ExitStack, *words: str, message: bytes = b"") -> Host:
    host = site.host()
    if message:
        host.path("/run/dear").write_bytes(message)
        words += ("/run/dear",)
    rogue = stack.enter_context(host.start(sys.executable, str(ROGUE), *words))
    rogue.wait_for("rogue is ready")
    return host


def _be_alone(client: Process, seconds: float = ALONE) -> None:
    """Let some time pass in which the client meets the strangers only."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert client.running, client.report("it ended")
        time.sleep(0.1)


WAYS = {
    "hang": ("64", "0.01"),
    "big": ("64", "0.01"),
    "ports": ("60", "0.005"),
    "names": ("1", "0.002"),
    "send": ("62", "0.01"),
}


@pytest.mark.parametrize("way", WAYS)
def test_rogue_does_not_keep_a_good_server_out(
    site: Site, stack: ExitStack, client: Host, keys: Credentials, way: str
) -> None:
    """Its memory and what it says stay bounded as well."""
    site.cable(client)
    message = expensive_message(keys, client) if way == "send" else b""
    _rogue(site, stack, way, *WAYS[way], message=message)
    with start_client(client, OURS, keys) as asking, memory_of(asking) as memory:
        _be_alone(asking)
        announced(site, stack, keys, OURS)
        assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout == keys.password
    assert 0 < memory.together < MEMORY_LIMIT, f"{memory.together >> 10} kB"
    assert len(asking.log.splitlines()) < LINES


@pytest.mark.parametrize(
    "ways", [(), ("hang",), ("send",)], ids=lambda ways: "-".join(ways) or "all"
)
def test_good_server_among_strangers_who_use_their_whole_budget(
    site: Site, stack: ExitStack, client: Host, keys: Credentials, ways: Sequence[str]
) -> None:
    """1 000 packets and 1 MB a second, 1 000 names, addresses and ports, in all ways at once.

    Or all in the way that holds up others most.
    """
    site.cable(client)
    mob = start_mob(site, stack, expensive_message(keys, client), *ways)
    with start_client(client, OURS, keys) as asking, memory_of(asking) as memory:
        _be_alone(asking, 1.0)
        told = told_by_mob(mob)
        announced(site, stack, keys, OURS)
        assert asking.wait(LONG) == 0, asking.report("no password")
    assert asking.stdout == keys.password
    assert 0 < memory.together < MEMORY_LIMIT, f"{memory.together >> 10} kB"
    assert 0 < memory.largest < MEMORY_LIMIT, f"{memory.largest >> 10} kB"
    assert len(asking.log.splitlines()) < LINES
    assert all(told[one] for one in ways or told), mob.report("it did not do all that it should")


def test_a_forged_password_is_never_used(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """mandos-keygen noted that it signed; the good server comes when an unsigned one was due."""
    site.cable(client)
    forged = seal_with_gnupg(keys, b"a stranger's password")
    _rogue(site, stack, "send", "1", "0.5", message=forged)
    with start_client(client, OURS, keys) as asking:
        asking.wait_for("--no-signed-only")
        _be_alone(asking, UNSIGNED)
        announced(site, stack, keys, OURS)
        assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout == keys.password
