# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's view of its network where the kernel does not tell, and who is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from mandos.errors import MachineError
from mandos.links import Links
from mandos.server.config.server_conf import ServerSettings
from mandos.server.requests import interface_changes
from mandos.server.requests.connection import TLS
from mandos.server.requests.interface_changes import Network, announce, keep_listening
from mandos.server.requests.listener import Listener
from mandos.server.requests.sockets import follow_interface, open_socket
from mandos.tls.credentials import Credentials, Priority
from mandos.wire import grammar

ABSENT = "absent0"


class NoLinks:
    """What a container without netlink has."""

    def __init__(self, _links: object = None) -> None:
        raise MachineError("cannot follow the network links: Operation not permitted")


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A listener that nobody starts, so nobody asks it for a secret."""
    no_judge: Any = None
    with closing(open_socket(ServerSettings())) as listening:
        yield Listener(listening, TLS(Priority(grammar.PRIORITY), Credentials()), no_judge)


@pytest.fixture
def _blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not tell, and looking again costs no time."""
    monkeypatch.setattr(interface_changes, "Links", NoLinks)
    monkeypatch.setattr(interface_changes, "LOOK_TIME", 0.0)


@pytest.mark.usefixtures("_blind")
async def test_no_netlink(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, all counts as connected, and listeners look again and again."""
    blind = Network()
    told = asyncio.Event()
    blind.listen(told.set)
    blind.start()
    for _look in range(3):
        await told.wait()
        told.clear()
    assert blind.connected()
    assert blind.connected(ABSENT)
    assert await blind.wait_for("lo") == socket.if_nametoindex("lo")
    assert len(caplog.records) == 1
    assert "not permitted; the network counts as connected" in caplog.text
    blind.stop()
    blind.stop()


@pytest.mark.usefixtures("_blind")
async def test_no_netlink_and_no_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interface that appears is found all the same."""
    blind = Network()
    blind.start()
    waits = asyncio.create_task(blind.wait_for(ABSENT))
    await blind.changed()
    await blind.changed()
    assert not waits.done()
    monkeypatch.setattr(interface_changes, "interface_index", lambda _name: 7)
    assert await waits == 7
    blind.stop()


async def test_kernel_that_stops_telling(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A socket that fails later is given up in the same way."""
    followed = Network()
    followed.start()
    assert not followed.connected(ABSENT)
    monkeypatch.setattr(interface_changes, "LOOK_TIME", 0.0)
    monkeypatch.setattr(Links, "update", NoLinks)
    followed._read()
    assert followed.connected(ABSENT)
    await followed.changed()
    assert "the network counts as connected" in caplog.text
    followed.stop()


async def test_loopback_by_name() -> None:
    """Loopback is a network only for who names it; its index is the kernel's."""
    followed = Network()
    followed.start()
    assert followed.connected("lo")
    assert followed.index("lo") == socket.if_nametoindex("lo")
    assert followed.index(ABSENT) == 0
    assert await followed.wait_for("lo") == socket.if_nametoindex("lo")
    followed.stop()


async def test_what_asks_for_nothing_ends_at_once(listener: Listener) -> None:
    """No Zeroconf, no interface named, or a socket handed over: nothing to keep up."""
    idle = Network()
    await announce(ServerSettings(zeroconf=False, port=1), 1, idle)
    await keep_listening(ServerSettings(), listener, idle)
    await keep_listening(ServerSettings(interface="lo", socket=3), listener, idle)


async def test_failure_is_said_once(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is met; and the next change is another chance."""
    tried: list[ServerSettings] = []

    def fail(settings: ServerSettings, _listening: socket.socket) -> None:
        tried.append(settings)
        raise MachineError("cannot listen", "do something")

    monkeypatch.setattr(interface_changes, "follow_interface", fail)
    still = Network()
    task = asyncio.create_task(keep_listening(ServerSettings(interface=ABSENT), listener, still))
    while len(tried) < 3:
        await asyncio.sleep(0)
        still._tell()
    task.cancel()
    await asyncio.wait([task])
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot serve on {ABSENT}: cannot listen - hint: do something"
    ]


def test_socket_that_is_bound_well_is_left_alone() -> None:
    """Neither an interface that is there all the time, nor an absent one, gives another socket."""
    settings = ServerSettings(interface="lo")
    with closing(open_socket(settings)) as listening:
        assert follow_interface(settings, listening) is None
    settings = ServerSettings(interface=ABSENT)
    with closing(open_socket(settings)) as listening:
        assert follow_interface(settings, listening) is None


def test_socket_is_bound_once_its_interface_is_there(caplog: pytest.LogCaptureFixture) -> None:
    """Where it was not, which is no error, it is so later: the same socket on the same port."""
    with closing(open_socket(ServerSettings(interface=ABSENT))) as listening:
        assert f"cannot bind to the network interface {ABSENT}: No such device" in caplog.text
        settings = ServerSettings(interface="lo")
        assert follow_interface(settings, listening) is listening
        assert follow_interface(settings, listening) is None
