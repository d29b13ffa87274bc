# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that share their state in a PostgreSQL, each on a host of its own with its own bus.

They reach the database through its socket, which is on the disk of all hosts.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from harness.bus import PROPERTIES, BusPeer, start_system_bus
from harness.bus_server import BusServer
from harness.families import ours
from harness.host import Host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from harness.postgresql import Database

SERVER1, CLIENT1 = "org.mandos_python.Server1", "org.mandos_python.Client1"
CLIENT = "se.recompile.Mandos.Client"


@dataclass
class Member:
    """One of the servers: its host, and a peer on its bus."""

    name: str
    server: BusServer
    peer: BusPeer
    #: With which the server was started.
    options: Sequence[str]

    @property
    def host(self) -> Host:
        """The server's host."""
        return self.server.host

    async def get(self, name: str, path: str = "/", interface: str = SERVER1) -> Any:  # noqa: ANN401
        """The value of a property."""
        return await self.peer.call(path, PROPERTIES, "Get", "ss", interface, name)

    async def changed(self, name: str, value: object, path: str = "/", after: int = 0) -> int:
        """Wait for the signal that a property has this value."""

        def found() -> int:
            for number, signal in enumerate(self.peer.signals[after:], after + 1):
                if signal.member != "PropertiesChanged" or signal.path != path:
                    continue
                if name in signal.values[1] and signal.values[1][name] == value:
                    return number
            return 0

        await self.peer.until(found, f"{name} = {value} of {path}")
        return found()

    async def is_known(self, name: str, value: object, path: str, interface: str) -> None:
        """Wait until a property has this value, whether or not that is news."""
        if await self.get(name, path, interface) != value:
            await self.changed(name, value, path)

    async def recorded(self, **wanted: str) -> dict[str, Any]:
        """Wait for the signal of a record with these values; return all of it."""

        def found() -> dict[str, Any] | None:
            for signal in self.peer.signals:
                if signal.member == "RecordAdded":
                    record: dict[str, Any] = signal.values[0]
                    if wanted.items() <= record.items():
                        return record
            return None

        await self.peer.until(found, f"a record of {wanted}")
        return found() or {}


def socket_uri(database: Database) -> str:
    """What ``state`` in mandos.conf takes to reach the database through its socket."""
    cluster = database.cluster
    options = {
        "host": str(cluster.folder), "port": str(cluster.port),
        "user": database.role, "password": database.password,
    }  # fmt: skip
    return f"postgresql:///{database.name}?{urlencode(options, quote_via=quote)}"


@asynccontextmanager
async def sharing(
    database: Database, clients: str, *names: str, options: Sequence[str] = ()
) -> AsyncIterator[list[Member]]:
    """Servers of these names with the same files; each knows all others when this returns.

    A cable joins the hosts of the first two, since a server without a link checks no client.
    """
    async with AsyncExitStack() as stack:
        hosts = [stack.enter_context(Host(name)) for name in names]
        for other in hosts[1:]:
            hosts[0].connect(other, f"eth{hosts.index(other) - 1}")
        members = []
        for host, name in zip(hosts, names, strict=True):
            start_system_bus(host)
            server = BusServer(host, ours(), clients)
            peer = await stack.enter_async_context(BusPeer.connect(host))
            words = ("--state", socket_uri(database), "--server-name", name, *options)
            server.start(*words)
            await peer.named()
            members.append(Member(name, server, peer, words))
        for member in members:
            await member.peer.until(partial(_knows, member, set(names)), f"of {names}")
        yield members


def _knows(member: Member, names: set[str]) -> bool:
    """Whether a signal has told of these servers."""
    told = [
        {one["name"] for one in signal.values[1]["Servers"]}
        for signal in member.peer.signals
        if signal.member == "PropertiesChanged" and "Servers" in signal.values[1]
    ]
    return bool(told) and told[-1] == names
