# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names the users behind D-Bus calls, for the audit trail; asks the bus once per connection."""

from __future__ import annotations

import asyncio
import pwd
from typing import TYPE_CHECKING

from dbus_fast import Message, MessageType

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus

#: Seconds that the bus may take to answer.
_REPLY_TIME = 10.0
#: Callers whose names are remembered.
_REMEMBERED = 1024


class Callers:
    """The users behind the connections of one bus."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._names: dict[str, str] = {}

    async def name(self, sender: str) -> str:
        """``root``, ``alice (uid 1000)``; ``unknown (:1.7)`` when it has left the bus already."""
        if sender not in self._names:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            self._names[sender] = await self._asked(sender)
        return self._names[sender]

    async def _asked(self, sender: str) -> str:
        question = Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="GetConnectionUnixUser",
            signature="s",
            body=[sender],
        )
        try:
            async with asyncio.timeout(_REPLY_TIME):
                answer: Message | None = await self._bus.call(question)
        except TimeoutError:
            answer = None
        if answer is None or answer.message_type is not MessageType.METHOD_RETURN:
            return f"unknown ({sender})"
        return _user_name(int(answer.body[0]))


def _user_name(uid: int) -> str:
    if uid == 0:
        return "root"
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
