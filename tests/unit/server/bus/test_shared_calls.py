# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls act on the client as all servers know it, though this server's own copy may be older."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

pytest.importorskip("dbus_fast")
from dbus_fast import Message, Variant

from mandos import bus_names
from mandos.client_settings import ClientSettings
from mandos.server.bus.calls import Calls, Server
from mandos.server.bus.errors import CallError
from mandos.server.bus.objects import Objects
from mandos.server.config.clients_conf import parse_client
from mandos.server.life.client import Client
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.server.life.clock import Clock

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ALPHA = "/clients/alpha"
SECTION = "[beta]\nkey_id = " + "b" * 64 + "\nsecret = aGVsbG8=\n"


class Desk:
    """A server with the client alpha; ``catch_up`` is what it hears when it asks the others."""

    def __init__(self, *, shared: bool = True) -> None:
        self.client = Client(ClientSettings(name="alpha", secret=b"x"), NOW)
        self.registry = Registry([self.client])
        self.objects = Objects(self.registry)
        self.registry.listen(self.objects.heard)
        self.asked: list[str] = []
        self.catch_up: Callable[[], object] = _nothing
        self.calls = Calls(
            Server(
                registry=self.registry, objects=self.objects, clock=cast("Clock", self),
                durable=_durable, reload=_durable, records=_no_records, parse=parse_client,
                facts=dict, current=self._current if shared else None,
            )
        )  # fmt: skip

    def now(self) -> datetime:
        """The time, for the server."""
        return NOW

    def date(self, moment: datetime) -> datetime:
        """The date of a moment."""
        return moment

    async def _current(self, name: str) -> bool:
        self.asked.append(name)
        self.catch_up()
        return True

    async def call(self, path: str, member: str, signature: str = "", *body: object) -> list[Any]:
        """Make a call as root, and return its result."""
        message = Message(
            path=path, member=member, signature=signature, body=list(body), serial=1, sender=":1.1"
        )
        await self.calls.prepare(message)
        return list((await self.calls.act(message, "root")).body)

    def others_switch(self, *, on: bool) -> Callable[[], object]:
        """Return the news that another server has enabled or disabled the client."""
        life = self.client.life
        new = life.turned_on(NOW, self.client.settings.timeout) if on else None
        return lambda: self.client.follow(new or life.turned_off(NOW, Why.ADMINISTRATOR), NOW)


def _nothing() -> None:
    """There is no news."""


async def _durable() -> None:
    """All is saved."""


async def _no_records(*_: object) -> list[Any]:
    return []


async def test_a_disable_is_not_lost() -> None:
    """The client is disabled in the own copy, and was enabled elsewhere: it is disabled anew."""
    desk = Desk()
    desk.client.disable(NOW, Why.TIMEOUT)
    desk.catch_up = desk.others_switch(on=True)
    await desk.call(ALPHA, "Disable")
    assert not desk.client.life.enabled
    assert desk.client.life.disabled_why is Why.ADMINISTRATOR


async def test_an_enable_is_not_lost() -> None:
    """The reverse, as a property that is set."""
    desk = Desk()
    desk.catch_up = desk.others_switch(on=False)
    value = Variant("b", True)  # noqa: FBT003 - the value on the bus
    await desk.call(ALPHA, "Set", "ssv", bus_names.CLIENT, "Enabled", value)
    assert desk.client.life.enabled
    assert desk.client.life.disabled_at is None


async def test_a_client_that_was_removed_elsewhere() -> None:
    """The call fails like any on a client that is not there."""
    desk = Desk()

    def removed() -> None:
        desk.registry.remove("alpha", NOW)
        desk.objects.forget("alpha")

    desk.catch_up = removed
    with pytest.raises(CallError) as refused:
        await desk.call(ALPHA, "Enable")
    assert refused.value.name == bus_names.UNKNOWN_OBJECT


async def test_a_client_that_was_added_elsewhere() -> None:
    """It is not added a second time."""
    desk = Desk()
    beta = replace(parse_client(SECTION), checker="true")
    desk.catch_up = lambda: desk.registry.follow("beta", beta, desk.client.life, NOW)
    with pytest.raises(CallError, match="there is a client beta already"):
        await desk.call("/", "AddClient", "s", SECTION)
    assert desk.asked == ["beta"]


@pytest.mark.parametrize(
    ("path", "member", "rest"),
    [
        (ALPHA, "Approve", ("b", True)),
        (ALPHA, "CheckedOK", ()),
        (ALPHA, "Set", ("ssv", bus_names.CLIENT, "Host", Variant("s", "there"))),
        ("/", "RemoveClient", ("o", ALPHA)),
    ],
)
async def test_every_act_asks(path: str, member: str, rest: tuple[Any, ...]) -> None:
    """Whatever changes a client looks at its present state first."""
    desk = Desk()
    await desk.call(path, member, *rest)
    assert desk.asked == ["alpha"]


@pytest.mark.parametrize(
    ("path", "member", "rest"),
    [
        (ALPHA, "Get", ("ss", bus_names.CLIENT, "Enabled")),
        (ALPHA, "GetAll", ("s", bus_names.CLIENT)),
        ("/", "GetManagedObjects", ()),
        ("/", "GetRecords", ("sut", "", 1, 0)),
    ],
)
async def test_reading_does_not_ask(path: str, member: str, rest: tuple[Any, ...]) -> None:
    """Listings stay as fast as they are."""
    desk = Desk()
    await desk.call(path, member, *rest)
    assert not desk.asked


@pytest.mark.parametrize(
    ("path", "member", "rest"),
    [
        ("/", "AddClient", ("s", "no section")),
        ("/", "AddClient", ("u", 7)),
        ("/", "RemoveClient", ("s", ALPHA)),
        ("/", "RemoveClient", ("o", "/clients/none")),
        ("/clients/none", "Enable", ()),
        ("/", "Set", ("ssv", bus_names.SERVER1, "Port", Variant("q", 1))),
    ],
)
async def test_malformed_calls_only_fail(path: str, member: str, rest: tuple[Any, ...]) -> None:
    """The preparation trips over none of them; the call itself says its mistake."""
    desk = Desk()
    with pytest.raises(CallError):
        await desk.call(path, member, *rest)
    assert not desk.asked


async def test_without_other_servers_nobody_is_asked() -> None:
    """A call acts at once."""
    desk = Desk(shared=False)
    await desk.call(ALPHA, "Disable")
    assert not desk.client.life.enabled
    assert not desk.asked
