# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: wires listener, registry and announcement, and runs until told to stop.

Nothing else constructs collaborators.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from mandos.discovery.announce import Announcement, Announcer
from mandos.interfaces import interface_index
from mandos.server.connection import TLS
from mandos.server.listener import Listener
from mandos.server.vault import ClientVault
from mandos.tls.credentials import Credentials, Priority

if TYPE_CHECKING:
    import socket

    from mandos.server.registry import Registry
    from mandos.server.settings import ServerSettings

log = logging.getLogger(__name__)

#: How often, in seconds, to look for an interface that is not there yet.
_LOOK_TIME = 2.0


async def run(settings: ServerSettings, registry: Registry, listening: socket.socket) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP."""
    tls = TLS(Priority(settings.priority), Credentials())
    listener = Listener(listening, tls, ClientVault(registry))
    ended = _end_signal()
    listener.start()
    log.info("serving %d clients on port %d", len(registry), listener.port)
    announcing = asyncio.create_task(_announce(settings, listener.port))
    try:
        log.info("ending because of %s", (await ended).name)
    finally:
        announcing.cancel()
        await asyncio.wait([announcing])
        await listener.stop()


async def _announce(settings: ServerSettings, port: int) -> None:
    """Announce the server until cancelled, once the interface that it shall use is there."""
    if not settings.zeroconf:
        return
    interfaces = (await _interface_index(settings.interface),) if settings.interface else ()
    announcer = Announcer(
        Announcement(
            port=port,
            name=settings.servicename,
            interfaces=interfaces,
            ipv6=settings.use_ipv6,
            ipv4=not settings.address or "." in settings.address,
        )
    )
    await announcer.start()
    try:
        await asyncio.Event().wait()
    finally:
        await announcer.stop()


async def _interface_index(name: str) -> int:
    if not interface_index(name):
        log.warning("the network interface %s does not exist; waiting for it", name)
    while not (index := interface_index(name)):  # noqa: ASYNC110 - the kernel sets no event
        await asyncio.sleep(_LOOK_TIME)
    return index


def _end_signal() -> asyncio.Future[signal.Signals]:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[signal.Signals] = loop.create_future()

    def end(number: signal.Signals) -> None:
        if not ended.done():
            ended.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    return ended
