# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Announces without Avahi: by the ``zeroconf`` library, one responder for each interface.

So each interface announces its own addresses only.  Interfaces and addresses may come, change and
go: this module looks at them every few seconds, or when :meth:`Embedded.look_again` is called, and
announces changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
from typing import TYPE_CHECKING

from mandos.discovery.sockets import (
    addresses4,
    addresses6,
    is_running,
    loopback_interfaces,
    usable_interfaces,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from zeroconf import ServiceInfo

    from mandos.discovery.announcement import Announcement

log = logging.getLogger(__name__)

LOOK_TIME = 5.0  # seconds between two looks at the interfaces


class _Responder:
    """The responder of one interface, with the addresses that the interface had."""

    def __init__(self, interface: int, addresses: frozenset[bytes]) -> None:
        from zeroconf import IPVersion  # noqa: PLC0415 - slow to import, seldom needed
        from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415

        self.addresses = addresses
        self.registered = False
        self._interface = interface
        through = _transports(interface, addresses)
        versions = {type(one) for one in through}
        version = IPVersion.V4Only if versions == {str} else IPVersion.V6Only
        self._zeroconf = AsyncZeroconf(
            interfaces=through, ip_version=IPVersion.All if len(versions) == 2 else version
        )

    async def open(self) -> None:
        """Wait until the sockets are ready; from then on hear this interface only.

        Its multicast groups do not see to that: over IPv6 a member hears a group wherever it comes
        in (seen with Linux 6.18), and would answer the probes of the other interfaces' responders.
        """
        await self._zeroconf.zeroconf.async_wait_for_start()
        name = os.fsencode(socket.if_indextoname(self._interface))
        for reader in self._zeroconf.zeroconf.engine.readers:
            with contextlib.suppress(OSError):  # bound already, or Linux before 5.7 without root
                reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)

    async def is_taken(self, service: ServiceInfo) -> bool:
        """Probe for the service's name (RFC 6762 section 8.1)."""
        from zeroconf import NonUniqueNameException  # noqa: PLC0415

        try:
            await self._zeroconf.zeroconf.async_check_service(service, allow_name_change=False)
        except NonUniqueNameException:
            return True
        return False

    async def register(self, service: ServiceInfo) -> None:
        """Announce a service that was probed for, and answer questions about it."""
        self.registered = True
        sent = await self._zeroconf.async_register_service(service, cooperating_responders=True)
        await sent

    async def close(self) -> None:
        """Say goodbye, where it can be said, and close."""
        if not addresses4(self._interface) + addresses6(self._interface):
            registry = self._zeroconf.zeroconf.registry
            registry.async_remove(registry.async_get_service_infos())
        await self._zeroconf.async_close()


class Embedded:
    """Announces from :meth:`start` to :meth:`stop`, on all interfaces that exist meanwhile.

    ``established`` gets the name in force and its announcer; ``taken`` returns a new name.
    """

    def __init__(
        self,
        announcement: Announcement,
        established: Callable[[str, str], object],
        taken: Callable[[], str],
    ) -> None:
        self._announcement = announcement
        self._established = established
        self._taken = taken
        self._responders: dict[int, _Responder] = {}
        self._task: asyncio.Task[None] | None = None
        self._complaint = ""
        self._look = asyncio.Event()

    def start(self, name: str) -> None:
        """Begin to announce in the background, if that was not begun yet."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(name), name="embedded announcer")
            self._task.add_done_callback(report_failure)

    def look_again(self) -> None:
        """Look at the interfaces now."""
        self._look.set()

    async def stop(self) -> None:
        """Take everything back; harmless when not started."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, name: str) -> None:
        from zeroconf import Error  # noqa: PLC0415

        try:
            while True:
                self._look.clear()
                try:
                    name = await self._update(name)
                except (OSError, RuntimeError, Error) as error:
                    self._complain(f"cannot announce without Avahi: {error}")
                    await self._close(list(self._responders))
                await self._pause()
        finally:
            await self._close(list(self._responders))

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_TIME):
                await self._look.wait()

    async def _update(self, name: str) -> str:
        """Make the announcements match the interfaces; return the name in force."""
        wanted = self._wanted()
        known = {index: responder.addresses for index, responder in self._responders.items()}
        await self._close([index for index in known if wanted.get(index) != known[index]])
        if not wanted:
            self._complain("no interface to announce on: none is up with an address")
        new = wanted.keys() - self._responders.keys()
        while new:
            for index in wanted.keys() - self._responders.keys():
                self._responders[index] = _Responder(index, wanted[index])
                await self._responders[index].open()
            if not await self._is_taken(name):
                await self._register(name)
                self._established(name, "this program")
                break
            await self._close(list(self._responders))
            name = self._taken()
        return name

    async def _is_taken(self, name: str) -> bool:
        probes = [
            responder.is_taken(self._service(name, responder))
            for responder in self._responders.values()
            if not responder.registered
        ]
        return any(await asyncio.gather(*probes))

    async def _register(self, name: str) -> None:
        registrations = [
            responder.register(self._service(name, responder))
            for responder in self._responders.values()
            if not responder.registered
        ]
        await asyncio.gather(*registrations)
        self._complaint = ""

    async def _close(self, indexes: list[int]) -> None:
        """Close to the end, even when cancelled: a responder half closed would go on answering."""
        closing = asyncio.gather(*[self._responders.pop(index).close() for index in indexes])
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    def _wanted(self) -> dict[int, frozenset[bytes]]:
        """Interfaces to announce on now, with all their addresses; loopback only if need be."""
        indexes = self._announcement.interfaces or usable_interfaces() or loopback_interfaces()
        found = {
            index: frozenset(own for own, _mask in addresses4(index) + addresses6(index))
            for index in indexes
            if is_running(index)  # one that is down can have an IPv4 address
        }
        return {
            index: addresses for index, addresses in found.items() if _transports(index, addresses)
        }

    def _service(self, name: str, responder: _Responder) -> ServiceInfo:
        from zeroconf import ServiceInfo  # noqa: PLC0415

        lengths = {16: self._announcement.ipv6, 4: self._announcement.ipv4}
        service_type = f"{self._announcement.service_type}.local."
        return ServiceInfo(
            service_type,
            f"{name}.{service_type}",
            self._announcement.port,
            properties=b"\0",  # no strings (RFC 6763 section 6.1)
            server=f"{_host_label()}.local.",
            addresses=sorted(one for one in responder.addresses if lengths[len(one)]),
        )

    def _complain(self, message: str) -> None:
        """Log a failure once, however often it is met again."""
        if message != self._complaint:
            self._complaint = message
            log.warning("%s", message)


def report_failure(task: asyncio.Task[None]) -> None:
    """Clients can still be served where --connect is used: a defect here ends only itself."""
    if not task.cancelled() and task.exception():
        log.error("internal error: the server is no longer announced", exc_info=task.exception())


def _transports(interface: int, addresses: frozenset[bytes]) -> list[str | int]:
    """How the responder may send: its IPv4 addresses, and the index for IPv6.

    Loopback has no route for IPv6 multicast; IPv6 addresses are announced over IPv4 there.
    """
    over4 = [socket.inet_ntop(socket.AF_INET, one) for one in addresses if len(one) == 4]
    has6 = any(len(one) == 16 for one in addresses) and interface not in loopback_interfaces()
    return [*over4, interface] if has6 else [*over4]


def _host_label() -> str:
    """First label of the host's name, with only the characters of a host name (RFC 952)."""
    label = socket.gethostname().partition(".")[0]
    return re.sub("[^A-Za-z0-9-]", "-", label)[:63].strip("-") or "mandos"
