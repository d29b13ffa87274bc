# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: wires listener, registry and announcement, and runs until told to stop.

Nothing else constructs collaborators.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from typing import TYPE_CHECKING

from mandos.discovery.announce import Announcement, Announcer
from mandos.server.connection import TLS
from mandos.server.listener import Listener
from mandos.server.vault import ClientVault
from mandos.tls.credentials import Credentials, Priority

if TYPE_CHECKING:
    from mandos.server.registry import Registry
    from mandos.server.settings import ServerSettings

log = logging.getLogger(__name__)


async def run(settings: ServerSettings, registry: Registry, listening: socket.socket) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP."""
    tls = TLS(Priority(settings.priority), Credentials())
    listener = Listener(listening, tls, ClientVault(registry))
    announcer = _announcer(settings, listener.port) if settings.zeroconf else None
    ended = _end_signal()
    listener.start()
    log.info("serving %d clients on port %d", len(registry), listener.port)
    if announcer:
        await announcer.start()
    try:
        log.info("ending because of %s", (await ended).name)
    finally:
        if announcer:
            await announcer.stop()
        await listener.stop()


def _announcer(settings: ServerSettings, port: int) -> Announcer:
    interfaces = (socket.if_nametoindex(settings.interface),) if settings.interface else ()
    return Announcer(
        Announcement(
            port=port,
            name=settings.servicename,
            interfaces=interfaces,
            ipv6=settings.use_ipv6,
            ipv4=not settings.address or "." in settings.address,
        )
    )


def _end_signal() -> asyncio.Future[signal.Signals]:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[signal.Signals] = loop.create_future()

    def end(number: signal.Signals) -> None:
        if not ended.done():
            ended.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    return ended
