# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connects the server to the bus; a server that uses D-Bus imports this while it has root."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dbus_fast import Variant

import mandos
from mandos.server.bus.calls import Calls, Server
from mandos.server.bus.objects import Objects
from mandos.server.bus.service import BusService
from mandos.server.bus.signals import Signals
from mandos.server.config.clients_conf import parse_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry
    from mandos.server.reload import Reloader
    from mandos.server.state.writer import Keeper


class BusParts(NamedTuple):
    """The server's bus connection, and the object that reports events on it."""

    service: BusService
    signals: Signals


def join(  # noqa: PLR0913 - a composition
    settings: ServerSettings,
    port: int,
    registry: Registry,
    clock: Clock,
    keeper: Keeper,
    reloader: Reloader,
    *,
    current: Callable[[str], Awaitable[bool]] | None = None,
) -> BusParts:
    """Look for the bus from now on; needs a running event loop.

    ``current`` brings a client up to date where several servers share the state.
    """
    objects = Objects(registry)
    facts = {
        "Address": Variant("s", settings.address),
        "Interface": Variant("s", settings.interface),
        "Port": Variant("q", port),
        "ServiceName": Variant("s", settings.servicename),
        "Version": Variant("s", mandos.__version__),
    }
    durable, reload, trail = keeper.durable, reloader.reload, keeper.trail
    parts = registry, objects, clock, durable, reload, trail, parse_client, facts, current
    calls = Calls(Server(*parts))
    service = BusService(calls, objects)
    signals = Signals(registry, objects, clock, service.send)
    service.start()
    return BusParts(service, signals)
