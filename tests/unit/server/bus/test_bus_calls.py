# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls at one of several servers act on the client as all servers know it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from dbus_fast import Message, Variant

from mandos import bus_names
from mandos.client_settings import ClientSettings
from mandos.server.bus.calls import Calls, Server
from mandos.server.bus.errors import CallError
from mandos.server.bus.objects import Objects
from mandos.server.config.clients_conf import parse_client
from mandos.server.life.client import Client
from mandos.server.life.clock import Clock
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry
from mandos.server.state.store import Entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
SECTION = f"[alpha]\nkey_id = {'0' * 64}\nsecret = c2VjcmV0\n"


class Desk:
    """A server that shares its state, with the client alpha; ``fresh`` are changes of others."""

    def __init__(self, *, reachable: bool = True) -> None:
        self._reachable = reachable
        self.client = Client(parse_client(SECTION), NOW, chance=lambda: 0.5)
        self.registry = Registry([self.client])
        self.fresh = self.client.life
        self.calls = Calls(
            Server(
                registry=self.registry, objects=Objects(self.registry), clock=cast("Clock", self),
                durable=self._durable, reload=self._durable, records=_no_records,
                parse=_parsed, facts=dict, current=self._current,
            )
        )  # fmt: skip

    def now(self) -> datetime:
        """The time of the clients' lives."""
        return LATER

    def date(self, moment: datetime) -> datetime:
        """The date of a moment."""
        return moment

    async def _durable(self) -> None:
        """All is saved at once."""

    async def _current(self, name: str) -> bool:
        if self._reachable and (client := self.registry.named(name)) is not None:
            client.follow(self.fresh, NOW)
        return self._reachable

    async def call(self, member: str, interface: str = bus_names.CLIENT, *body: object) -> Message:
        """Call a method of alpha's object."""
        signature = "ssv" if body else ""
        message = Message(
            bus_names.BUS_NAME, "/clients/alpha", interface, member, signature=signature,
            body=list(body), serial=1, sender=":1.1",
        )  # fmt: skip
        return await self.calls.act(message, "root")


async def _no_records(_client: str | None, _limit: int, _before: int | None) -> list[Entry]:
    return []


def _parsed(text: str) -> ClientSettings:
    return parse_client(text)


async def test_a_client_that_another_server_enabled_is_disabled() -> None:
    """By its old copy, this server would take it for disabled, and change nothing."""
    desk = Desk()
    desk.client.disable(NOW, Why.ADMINISTRATOR)
    desk.fresh = desk.client.life.turned_on(NOW, timedelta(minutes=5))
    await desk.call("Disable")
    assert desk.client.life.disabled_at == LATER


async def test_a_property_is_set_for_the_client_as_it_is_now() -> None:
    """Enabling by the property, of a client that another server disabled."""
    desk = Desk()
    desk.fresh = desk.client.life.turned_off(NOW, Why.ADMINISTRATOR)
    value = Variant("b", True)  # noqa: FBT003 - D-Bus
    await desk.call("Set", bus_names.PROPERTIES, bus_names.CLIENT, "Enabled", value)
    assert desk.client.life.enabled
    assert desk.client.life.last_enabled == LATER


async def test_an_act_by_an_old_copy_is_not_acknowledged() -> None:
    """Without the database it is in force here, but the administrator has to look."""
    desk = Desk(reachable=False)
    with pytest.raises(CallError, match="other servers may have changed the client"):
        await desk.call("Disable")
    assert not desk.client.life.enabled


async def test_a_client_that_was_removed_meanwhile_is_reported() -> None:
    """The call does nothing."""
    desk = Desk()
    answer = desk.calls.act(
        Message(bus_names.BUS_NAME, "/clients/alpha", bus_names.CLIENT, "Disable", serial=1), ""
    )
    desk.registry.remove("alpha", NOW, "root")
    with pytest.raises(CallError, match="alpha was removed meanwhile"):
        await answer
