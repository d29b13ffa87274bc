# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All clients with all properties in one message, without stopping the server to write it.

Ten thousand clients make eleven megabytes.  Each client's part of the array begins at a multiple of
eight bytes (D-Bus specification, "Marshaling"), so parts can be written one by one, with turns for
others in between.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from dbus_fast import Message, MessageType

from mandos import bus_names
from mandos.server.bus.errors import LIMITS_EXCEEDED, CallError
from mandos.server.bus.properties import read_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbus_fast import Variant

    from mandos.server.bus.objects import Objects
    from mandos.server.bus.properties import Date
    from mandos.server.life.client import Client

_ALIGNMENT = 8
#: An empty array of dictionary entries: its length, and the padding up to its first element.
_EMPTY = b"\0" * 8
#: Seconds of writing before others get their turn.
_SLICE = 0.005
#: A message's largest size on the system bus, less its header: dbus-daemon(1), max_message_size.
#: The bus disconnects the sender of a larger one.
_LARGEST = (32 << 20) - 4096
_BODY_LENGTH = slice(4, 8)  # of a message: D-Bus specification, "Message Format"


def interfaces_of(client: Client, path: str, date: Date) -> dict[str, dict[str, Variant]]:
    """Every interface of a client's object, with its properties."""
    return {
        bus_names.PROPERTIES: {},
        bus_names.INTROSPECTABLE: {},
        **{
            interface.name: read_all(interface, client, path, date)
            for interface in bus_names.CLIENT_INTERFACES
        },
    }


def properties_of(client: Client, path: str, date: Date) -> dict[str, Variant]:
    """A client's properties of the reference's interface."""
    return read_all(bus_names.CLIENT_INTERFACE, client, path, date)


class Listings:
    """Writes answers that hold all clients, one answer at a time."""

    def __init__(self, objects: Objects, date: Date) -> None:
        self._objects = objects
        self._date = date
        self._turn = asyncio.Lock()

    async def managed_objects(self, call: Message) -> Message:
        """The answer to GetManagedObjects."""
        return await self._listed(call, "a{oa{sa{sv}}}", interfaces_of)

    async def all_properties(self, call: Message) -> Message:
        """The answer to GetAllClientsWithProperties."""
        return await self._listed(call, "a{oa{sv}}", properties_of)

    async def _listed(
        self, call: Message, signature: str, value: Callable[[Client, str, Date], Any]
    ) -> Message:
        async with self._turn:
            body = bytearray(_EMPTY)
            begin = time.perf_counter()
            for path in list(self._objects):
                if time.perf_counter() - begin > _SLICE:
                    await asyncio.sleep(0)
                    begin = time.perf_counter()
                client = self._objects.client(path)
                if client is not None:
                    body += b"\0" * (-len(body) % _ALIGNMENT)
                    body += _entry(signature, path, value(client, path, self._date))
                if len(body) > _LARGEST:
                    text = "more clients than fit into a message; ask for each by its path"
                    raise CallError(LIMITS_EXCEEDED, text)
            body[:4] = (len(body) - len(_EMPTY)).to_bytes(4, "little")
            return _Prepared(call, signature, body)


class _Prepared(Message):
    """A reply whose body, an array, has been written already; it can be sent once."""

    def __init__(self, call: Message, signature: str, body: bytearray) -> None:
        super().__init__(
            message_type=MessageType.METHOD_RETURN,
            reply_serial=call.serial,
            destination=call.sender,
            signature=signature,
            body=[{}],
        )
        self._prepared = body

    def _marshall(self, negotiate_unix_fd: bool) -> bytearray:  # noqa: FBT001 - the library's
        header = super()._marshall(negotiate_unix_fd)
        del header[-len(_EMPTY) :]
        header[_BODY_LENGTH] = len(self._prepared).to_bytes(4, "little")
        self._prepared[:0] = header  # in place: it may be large
        return self._prepared


def _entry(signature: str, path: str, value: object) -> bytes:
    """One entry of the array."""
    alone = _written(
        Message(
            message_type=MessageType.METHOD_RETURN,
            reply_serial=1,
            serial=1,
            signature=signature,
            body=[{path: value}],
        )
    )
    length = int.from_bytes(alone[_BODY_LENGTH], "little")
    return bytes(alone[-length + len(_EMPTY) :])


def _written(message: Message) -> bytearray:
    """The library writes messages only while it sends them, or like this."""
    return message._marshall(False)  # noqa: FBT003, SLF001
