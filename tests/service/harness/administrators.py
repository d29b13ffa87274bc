# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Administrators who change clients over D-Bus all the time, one call after the other.

A program for a host with a system bus: ``administrators.py CLIENT=MEMBER[,MEMBER…] …``.  Prints
``ask NUMBER CLIENT MEMBER`` before a call, and after it ``ack NUMBER`` when it was answered,
``void NUMBER`` when it cannot have reached a server, ``lost NUMBER`` when nobody knows.  Member
``Host`` gives the property a new value, ``bus-NUMBER``; the others are called.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import NoReturn

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

ADDRESS = "unix:path=/run/dbus/system_bus_socket"
NAME = "se.recompile.Mandos"
CLIENT = f"{NAME}.Client"
#: Nobody has the server's name, or it has just begun and does not know its clients yet.
_VOID = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.UnknownObject",
)
#: Seconds between two calls, so that the machine has time for others.
PAUSE = 0.005


def _call(client: str, member: str, number: int) -> Message:
    path = f"/clients/{client}"
    if member == "Host":
        value = Variant("s", f"bus-{number}")
        properties = "org.freedesktop.DBus.Properties"
        return Message(NAME, path, properties, "Set", signature="ssv", body=[CLIENT, member, value])
    if member == "RemoveClient":
        return Message(NAME, "/", NAME, member, signature="o", body=[path])
    return Message(NAME, path, CLIENT, member)


async def _work(orders: list[tuple[str, str]]) -> NoReturn:
    bus = await MessageBus(bus_address=ADDRESS).connect()
    number = 0
    while True:
        number += 1
        client, member = random.choice(orders)  # noqa: S311 - no secret
        print("ask", number, client, member, flush=True)  # noqa: T201 - it is a program
        answer = await bus.call(_call(client, member, number))
        outcome = "ack" if answer.message_type is MessageType.METHOD_RETURN else "lost"
        if answer.error_name in _VOID:
            outcome = "void"
        print(outcome, number, answer.error_name or "", flush=True)  # noqa: T201 - the same
        await asyncio.sleep(PAUSE)


def main() -> None:
    """Take the orders from the command line."""
    words = (argument.partition("=") for argument in sys.argv[1:])
    orders = [(client, member) for client, _, members in words for member in members.split(",")]
    asyncio.run(_work(orders))


if __name__ == "__main__":
    main()
