# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of either family on a host's system bus, started as often as a test likes."""

from __future__ import annotations

import shutil
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from harness.bus import BusPeer, start_system_bus
from harness.host import Host
from harness.peers import LISTENING, PORT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.families import Family
    from harness.process import Process

CONFIG, STATE = "/run/config", "/run/state"
#: Log lines by which each family says that it can be called.
ON_THE_BUS = {"reference": LISTENING["reference"], "ours": "on the system bus as"}


class BusServer:
    """A server's files and, while it runs, its process."""

    def __init__(self, host: Host, family: Family, clients: str) -> None:
        self.host = host
        self.family = family
        self.seen = 0
        self._process: Process | None = None
        host.path(CONFIG).mkdir()
        host.path(STATE).mkdir(0o700)
        shutil.chown(host.path(STATE), "_mandos", "_mandos")
        host.path(f"{CONFIG}/mandos.conf").write_text("[DEFAULT]\n", encoding="ascii")
        self.configure(clients)

    def configure(self, clients: str) -> None:
        """Write clients.conf."""
        path = self.host.path(f"{CONFIG}/clients.conf")
        path.touch(mode=0o600)
        path.write_text(clients, encoding="utf-8")

    def launch(self, *options: str) -> Process:
        """Start the server and wait for nothing."""
        self.seen = len(self.host.syslog.lines)
        self._process = self.host.start(
            *(self.family.server, "--foreground", "--debuglevel", "DEBUG"),
            *("--configdir", CONFIG, "--statedir", STATE),
            *("--no-zeroconf", "--port", str(PORT), *options),
        )
        return self._process

    def start(self, *options: str) -> None:
        """Start the server; return when it serves on the network and on the bus."""
        self.launch(*options)
        begin = self.seen
        for pattern in (LISTENING[self.family.name], ON_THE_BUS[self.family.name]):
            self.wait_for(pattern, after=begin)

    def wait_for(self, pattern: str, after: int | None = None) -> None:
        """Return when it logs a line that matches, after those waited for or that one."""
        after = self.seen if after is None else after
        try:
            self.seen = self.host.syslog.wait_for(pattern, after=after)
        except AssertionError as error:
            error.add_note(self.process.report("the server"))
            raise

    @property
    def process(self) -> Process:
        """The running server."""
        assert self._process is not None, "the server has not been started"
        return self._process

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.signal(signal.SIGKILL)
        self.process.wait()

    @property
    def log(self) -> list[str]:
        """All that it has logged."""
        return list(self.host.syslog.lines)

    @property
    def address(self) -> str:
        """What a client of the same link gives to --connect."""
        return f"{self.host.link_local()}:{PORT}"


@asynccontextmanager
async def served(family: Family, clients: str) -> AsyncIterator[tuple[BusServer, BusPeer]]:
    """A server on a host of its own with a bus, and a peer that listens since before its start."""
    with Host("server") as host:
        start_system_bus(host)
        server = BusServer(host, family, clients)
        async with BusPeer.connect(host) as peer:
            server.start()
            await peer.named()
            yield server, peer
