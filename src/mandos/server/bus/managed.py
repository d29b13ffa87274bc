# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All clients with all properties in one message, without stopping the server to write it.

Ten thousand clients make eleven megabytes.  Each client's part of the array begins at a multiple of
eight bytes (D-Bus specification, "Marshaling"), so parts can be written one by one, with turns for
others in between, and put together in the end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dbus_fast import Message, MessageType

from mandos import bus_names
from mandos.server.bus.properties import read_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbus_fast import Variant

    from mandos.server.bus.objects import Objects
    from mandos.server.bus.properties import Date
    from mandos.server.client import Client

_SIGNATURE = "a{oa{sa{sv}}}"
_ALIGNMENT = 8
#: An empty array of that type: its length and the padding up to its first element.
_EMPTY = b"\0" * 8
#: Clients that are written before others get their turn.
_BATCH = 64
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


class _Prepared(Message):
    """A reply whose body has been written already."""

    def __init__(self, call: Message, body: bytes) -> None:
        super().__init__(
            message_type=MessageType.METHOD_RETURN,
            reply_serial=call.serial,
            destination=call.sender,
            signature=_SIGNATURE,
            body=[{}],
        )
        self._prepared = body

    def _marshall(self, negotiate_unix_fd: bool) -> bytearray:  # noqa: FBT001 - the library's
        message = bytearray(super()._marshall(negotiate_unix_fd))
        del message[-len(_EMPTY) :]
        message += self._prepared
        message[_BODY_LENGTH] = len(self._prepared).to_bytes(4, "little")
        return message


async def managed_objects(call: Message, objects: Objects, date: Date) -> Message:
    """The reply to GetManagedObjects."""
    parts: list[bytes] = []
    for number, path in enumerate(list(objects)):
        client = objects.client(path)
        if client is not None:
            parts.append(_part(path, interfaces_of(client, path, date)))
        if number % _BATCH == _BATCH - 1:
            await asyncio.sleep(0)
    return _Prepared(call, _joined(parts))


def _part(path: str, interfaces: Mapping[str, Mapping[str, Variant]]) -> bytes:
    """One entry of the array."""
    alone = _written(
        Message(
            message_type=MessageType.METHOD_RETURN,
            reply_serial=1,
            serial=1,
            signature=_SIGNATURE,
            body=[{path: interfaces}],
        )
    )
    length = int.from_bytes(alone[_BODY_LENGTH], "little")
    return bytes(alone[-length + len(_EMPTY) :])


def _written(message: Message) -> bytearray:
    """The library writes messages only while it sends them, or like this."""
    return message._marshall(False)  # noqa: FBT003, SLF001


def _joined(parts: list[bytes]) -> bytes:
    """The array with all entries, each at its alignment."""
    body = bytearray(_EMPTY)
    for part in parts:
        body += b"\0" * (-len(body) % _ALIGNMENT)
        body += part
    body[:4] = (len(body) - len(_EMPTY)).to_bytes(4, "little")
    return bytes(body)
