# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Announces by Avahi, over the system bus (states and flags: avahi-common/defs.h).

:class:`Avahi` mirrors the states of Avahi itself and of our entry group; its caller looks at both
after every change and takes the needed steps, so no order of events can confuse it.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

from mandos.errors import MachineError

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

    from mandos.discovery.announcement import Announcement

AVAHI = "org.freedesktop.Avahi"
SERVER = f"{AVAHI}.Server"
ENTRY_GROUP = f"{AVAHI}.EntryGroup"
COLLISION_ERROR = f"{AVAHI}.CollisionError"
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
MATCHES = (
    f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{AVAHI}'",
    f"type='signal',sender='{AVAHI}',interface='{SERVER}',member='StateChanged'",
    f"type='signal',sender='{AVAHI}',interface='{ENTRY_GROUP}',member='StateChanged'",
)

ANY_INTERFACE = -1
ANY_PROTOCOL, IPV4_ONLY, IPV6_ONLY = -1, 0, 1
REPLY_TIME = 10.0  # seconds


class ServerState(IntEnum):
    """AvahiServerState, as far as it matters; UNKNOWN is ours: it has to be asked for."""

    UNKNOWN = -1
    RUNNING = 2


class GroupState(IntEnum):
    """AvahiEntryGroupState."""

    UNCOMMITTED = 0
    REGISTERING = 1
    ESTABLISHED = 2
    COLLISION = 3
    FAILURE = 4


class _CollisionError(Exception):
    """The name is taken by another service of the same Avahi."""


class Avahi:
    """A connection to the system bus that follows Avahi and holds one entry group of it.

    Every method raises :class:`MachineError` when the bus or Avahi fails.
    """

    def __init__(self) -> None:
        self._bus: MessageBus
        self._owner = ""
        self._server: int = ServerState.UNKNOWN
        self._group_path = ""
        self._group: int = GroupState.UNCOMMITTED
        self._told = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        from dbus_fast import BusType, DBusFastError  # noqa: PLC0415 - not where there is no bus
        from dbus_fast.aio import MessageBus  # noqa: PLC0415

        self._failures = (OSError, EOFError, DBusFastError)
        self._bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            async with asyncio.timeout(REPLY_TIME):
                await self._bus.connect()
            self._gone = asyncio.ensure_future(
                self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's
            )
        except self._failures as error:
            raise MachineError(f"no system bus: {error}") from error
        self._gone.add_done_callback(lambda _: self._changed.set())
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.disconnect()
        with contextlib.suppress(*self._failures):
            await self._gone

    async def _begin(self) -> None:
        self._bus.add_message_handler(self._hear)
        for match in MATCHES:
            await self._call(BUS, BUS_PATH, BUS, "AddMatch", "s", match)
        with contextlib.suppress(MachineError):  # it has no owner
            (self._owner,) = await self._call(BUS, BUS_PATH, BUS, "GetNameOwner", "s", AVAHI)

    @property
    def present(self) -> bool:
        """Whether Avahi is on the bus."""
        return bool(self._owner)

    @property
    def taken(self) -> bool:
        """Whether the name last published is in use by another server on the link."""
        return bool(self._group_path) and self._group == GroupState.COLLISION

    async def wait(self, seconds: float | None) -> None:
        """Wait until something has changed, or that time has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()
        if self._gone.done():
            raise MachineError("the connection to the system bus is lost")

    async def publish(self, announcement: Announcement, name: str) -> bool:
        """Bring the announcement about; return True once for each time that it is in force."""
        if self._server == ServerState.UNKNOWN:
            (self._server,) = await self._call(AVAHI, "/", SERVER, "GetState")
        if self._server != ServerState.RUNNING:  # its host name is not settled
            await self.withdraw()
            return False
        if not self._group_path:
            await self._commit(announcement, name)
        if self._group == GroupState.FAILURE:
            await self.withdraw()
            raise MachineError("avahi-daemon failed to register the service", "see its log")
        told, self._told = self._told, self._group == GroupState.ESTABLISHED
        return self._told and not told

    async def withdraw(self) -> None:
        """Take the announcement back, if there is one."""
        path, self._group_path, self._told = self._group_path, "", False
        if path:
            await self._call(AVAHI, path, ENTRY_GROUP, "Free")

    async def _commit(self, announcement: Announcement, name: str) -> None:
        (self._group_path,) = await self._call(AVAHI, "/", SERVER, "EntryGroupNew")
        self._group, self._told = GroupState.UNCOMMITTED, False
        protocol = ANY_PROTOCOL
        if announcement.ipv4 != announcement.ipv6:
            protocol = IPV6_ONLY if announcement.ipv6 else IPV4_ONLY
        try:
            for interface in announcement.interfaces or (ANY_INTERFACE,):
                what = (name, announcement.service_type, "", "", announcement.port)
                await self._on_group("AddService", "iiussssqaay", interface, protocol, 0, *what, [])
            await self._on_group("Commit")
        except _CollisionError:
            self._group = GroupState.COLLISION
            self._changed.set()

    async def _on_group(self, member: str, signature: str = "", *body: object) -> None:
        await self._call(AVAHI, self._group_path, ENTRY_GROUP, member, signature, *body)

    async def _call(
        self, to: str, path: str, interface: str, member: str, signature: str = "", *body: object
    ) -> list[Any]:
        from dbus_fast import Message, MessageFlag, MessageType  # noqa: PLC0415

        call = Message(
            destination=to,
            path=path,
            interface=interface,
            member=member,
            flags=MessageFlag.NO_AUTOSTART,
            signature=signature,
            body=list(body),
        )
        try:
            async with asyncio.timeout(REPLY_TIME):
                reply = await self._bus.call(call)
        except self._failures as error:
            raise MachineError(f"{member} over the system bus failed: {error}") from error
        if reply.message_type != MessageType.ERROR:
            return list(reply.body)
        if reply.error_name == COLLISION_ERROR:
            raise _CollisionError
        raise MachineError(f"{member} was refused: {reply.error_name}")

    def _hear(self, message: Message) -> None:
        """Keep the mirror true; only the bus and Avahi itself are believed."""
        kind = (message.interface, message.member)
        if message.sender == BUS and kind == (BUS, "NameOwnerChanged"):
            self._owner = message.body[2]
            self._server, self._group_path = ServerState.UNKNOWN, ""
        elif message.sender != self._owner:
            return
        elif kind == (SERVER, "StateChanged"):
            self._server = message.body[0]
        elif kind == (ENTRY_GROUP, "StateChanged") and message.path == self._group_path:
            self._group = message.body[0]
        self._changed.set()
