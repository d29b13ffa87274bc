# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connects the server to the bus; a server that uses D-Bus imports this while it has root."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from dbus_fast import Variant

import mandos
from mandos.server.bus.calls import Calls, Server
from mandos.server.bus.objects import Objects
from mandos.server.bus.service import BusService
from mandos.server.bus.signals import Signals
from mandos.server.config.clients_conf import parse_client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry
    from mandos.server.reload import Reloader
    from mandos.server.sharing.members import Presence
    from mandos.server.state.writer import Keeper


class OtherServers(Protocol):
    """The servers that share the state with this one: ``sharing/session.py``.

    ``on_change`` is called when ``servers`` or ``database_state`` have changed.
    """

    on_change: Callable[[], None]

    @property
    def database_state(self) -> str:
        """The state of the database, in words."""

    @property
    def servers(self) -> list[Presence]:
        """All servers, this one among them."""

    async def current(self, name: str) -> bool:
        """Bring a client up to date, before it is changed."""


class BusParts(NamedTuple):
    """The server's bus connection, and the object that reports events on it."""

    service: BusService
    signals: Signals


def join(  # noqa: PLR0913 - each by its name
    settings: ServerSettings,
    port: int,
    *,
    registry: Registry,
    clock: Clock,
    keeper: Keeper,
    reloader: Reloader,
    others: OtherServers | None = None,
) -> BusParts:
    """Look for the bus from now on; needs a running event loop.

    ``others`` are the servers that share the state, if there are any.
    """
    objects = Objects(registry)
    constant = {
        "Address": Variant("s", settings.address),
        "Interface": Variant("s", settings.interface),
        "Port": Variant("q", port),
        "ServerName": Variant("s", settings.server_name),
        "ServiceName": Variant("s", settings.servicename),
        "Version": Variant("s", mandos.__version__),
    }

    def facts() -> Mapping[str, Variant]:
        return constant | _shared(others, clock.date)

    durable, reload, trail = keeper.durable, reloader.reload, keeper.trail
    current = None if others is None else others.current
    calls = Calls(
        Server(registry, objects, clock, durable, reload, trail, parse_client, facts, current)
    )
    service = BusService(calls, objects)
    own = "" if others is None else settings.server_name
    signals = Signals(registry, objects, clock, service.send, own)
    if others is not None:
        others.on_change = lambda: signals.server_changed(_shared(others, clock.date))
    service.start()
    return BusParts(service, signals)


def _shared(
    others: OtherServers | None, date: Callable[[datetime], datetime]
) -> dict[str, Variant]:
    """The properties about the servers that share the state."""
    servers = [] if others is None else [_server(one, date) for one in others.servers]
    state = "" if others is None else others.database_state
    return {"DatabaseState": Variant("s", state), "Servers": Variant("aa{sv}", servers)}


def _server(server: Presence, date: Callable[[datetime], datetime]) -> dict[str, Variant]:
    dates = {"started": server.started, "seen": server.seen}
    return {
        "name": Variant("s", server.name),
        **{
            name: Variant("s", date(one).replace(tzinfo=None).isoformat() if one else "")
            for name, one in dates.items()
        },
        "alive": Variant("b", server.alive),
        "checks": Variant("b", server.checks),
        "version": Variant("s", server.version),
    }
