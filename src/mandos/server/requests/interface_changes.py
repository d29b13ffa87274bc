# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows network interfaces as they come, change and go, to announce the server and to listen.

The kernel notifies :class:`Network` of changes, which notifies its listeners.  :func:`announce`
and :func:`keep_listening` run beside the listener for as long as the server does.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from mandos.discovery.announce import Announcer
from mandos.discovery.announcement import Announcement
from mandos.errors import MachineError
from mandos.interfaces import interface_index
from mandos.links import Links
from mandos.server.requests.sockets import follow_interface

if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.requests.listener import Listener

log = logging.getLogger(__name__)

#: Seconds between two checks of the interfaces, where the kernel does not report changes.
LOOK_TIME = 2.0


class Network:
    """The machine's network interfaces, with a notice of every change of them or their addresses.

    Where the kernel reports no changes (a container may forbid it), that is logged once, the
    network counts as connected, and listeners are called every two seconds, changes or not.
    """

    def __init__(self) -> None:
        self._links: Links | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._callbacks: list[Callable[[], object]] = []
        self._change = asyncio.Event()

    def start(self) -> None:
        """Read the present interfaces, and follow their changes from now on."""
        try:
            self._links = Links()
            self._links.update()
        except MachineError as error:
            self._do_without(error)
        else:
            asyncio.get_running_loop().add_reader(self._links, self._read)

    def stop(self) -> None:
        """Stop following changes; harmless when repeated, or not started."""
        if self._timer is not None:
            self._timer.cancel()
        if self._links is not None:
            asyncio.get_running_loop().remove_reader(self._links)
            self._links.close()
        self._timer = self._links = None

    def listen(self, callback: Callable[[], object]) -> None:
        """Have this called after each change."""
        self._callbacks.append(callback)

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._change.wait()

    def connected(self, interface: str = "") -> bool:
        """Whether this interface, or any but loopback, is up and has a link (a carrier)."""
        if self._links is None:
            return True
        if interface:
            link = self._links.named(interface)
            return link is not None and link.up and link.running
        links = self._links.by_index.values()
        return any(link.up and link.running and not link.loopback for link in links)

    def index(self, name: str) -> int:
        """The index of an interface, 0 while there is none of that name."""
        if self._links is None:
            return interface_index(name)
        link = self._links.named(name)
        return 0 if link is None else link.index

    async def wait_for(self, name: str) -> int:
        """The index of an interface, once there is one of that name."""
        if not self.index(name):
            log.warning("the network interface %s does not exist; waiting for it", name)
        while not (index := self.index(name)):
            await self.changed()
        return index

    def _read(self) -> None:
        if self._links is None:
            return
        try:
            changed = self._links.update()
        except MachineError as error:
            self._do_without(error)
        else:
            if changed:
                self._tell()

    def _do_without(self, error: MachineError) -> None:
        log.warning("%s; the network counts as connected", error)
        self.stop()
        self._look_later()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_TIME, self._look)

    def _look(self) -> None:
        self._look_later()
        self._tell()

    def _tell(self) -> None:
        self._change.set()
        self._change = asyncio.Event()
        for callback in self._callbacks:
            callback()


async def announce(settings: ServerSettings, port: int, network: Network) -> None:
    """Announce the server by Zeroconf until cancelled, as the settings ask for it.

    A named interface may be absent, vanish, and return as another one: the announcement is then
    made anew.  Zeroconf's goodbye ends it.
    """
    if not settings.zeroconf:
        return
    while True:
        index = await network.wait_for(settings.interface) if settings.interface else 0
        announcer = Announcer(_announcement(settings, port, index))
        await announcer.start()
        try:
            while network.index(settings.interface) == index:
                await network.changed()
                announcer.look_again()
        finally:
            await announcer.stop()


def _announcement(settings: ServerSettings, port: int, index: int) -> Announcement:
    return Announcement(
        port=port,
        name=settings.servicename,
        interfaces=(index,) if index else (),
        ipv6=settings.use_ipv6,
        ipv4=not settings.address or "." in settings.address,
    )


async def keep_listening(settings: ServerSettings, listener: Listener, network: Network) -> None:
    """Listen on the interface that the settings name whenever it is there, until cancelled.

    Without one, or on an inherited socket, there is nothing to do.
    """
    if not settings.interface or settings.socket is not None:
        return
    complaint = ""
    while True:
        try:
            if listener.renew(partial(follow_interface, settings)):
                complaint = ""
                log.info("listening on the network interface %s", settings.interface)
        except MachineError as error:
            text = " - ".join(error.lines())
            if text != complaint:
                complaint = text
                log.error("cannot serve on %s: %s", settings.interface, text)  # noqa: TRY400
        await network.changed()
