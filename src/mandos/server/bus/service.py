# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's connection to the system bus: made again whenever the bus comes back.

Calls are taken in the order of arrival.  Who may call is the bus's policy to decide; who it was is
asked of the bus, for the audit trail.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pwd
from typing import TYPE_CHECKING, Any

from dbus_fast import (
    BusType,
    DBusFastError,
    Message,
    MessageFlag,
    MessageType,
    RequestNameReply,
)
from dbus_fast.aio import MessageBus
from dbus_fast.constants import NameFlag

from mandos import bus_names
from mandos.server.bus.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mandos.server.bus.calls import Calls

log = logging.getLogger(__name__)

#: Seconds until a bus that is missing is looked for again.
RETRY = 5.0
#: Seconds that the bus may take to answer.
_REPLY_TIME = 10.0
#: Callers whose names are remembered.
_CALLERS = 1024
#: What the library answers by itself.
_NOT_OURS = (bus_names.PEER,)


class BusService:
    """Offers the server's objects on the system bus from ``start`` to ``stop``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._bus: MessageBus | None = None
        self._task: asyncio.Task[None] | None = None
        self._replying: set[asyncio.Task[None]] = set()
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._callers: dict[str, str] = {}
        self._complained = ""

    def start(self) -> None:
        """Begin to look for the bus."""
        self._task = asyncio.create_task(self._run(), name="bus")

    async def stop(self) -> None:
        """Leave the bus; harmless when not started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def send(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        """Send a signal, if anybody can hear it."""
        if self._bus is not None:
            self._put(Message.new_signal(path, interface, member, signature, body))

    def _put(self, message: Message) -> None:
        """Send; a bus that has just gone away is noticed elsewhere."""
        if self._bus is not None and self._bus.connected:
            with contextlib.suppress(OSError, DBusFastError):
                self._bus.send(message)

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except (OSError, EOFError, DBusFastError, TimeoutError, ValueError) as error:
                self._complain(str(error) or type(error).__name__)
            await asyncio.sleep(RETRY)

    async def _serve(self) -> None:
        """Offer the objects until the bus goes away."""
        bus = MessageBus(bus_type=BusType.SYSTEM)
        working = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(_REPLY_TIME):
                await bus.connect()
                bus.add_message_handler(self._take)
                self._bus = bus
                reply = await bus.request_name(bus_names.BUS_NAME, NameFlag.DO_NOT_QUEUE)
            if reply is not RequestNameReply.PRIMARY_OWNER:
                self._complain(f"another program has the name {bus_names.BUS_NAME}")
                return
            self._complained = ""
            log.info("on the system bus as %s", bus_names.BUS_NAME)
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        finally:
            self._bus = None
            await self._end(working)
            bus.disconnect()

    async def _end(self, working: asyncio.Task[None]) -> None:
        for task in (working, *self._replying):
            task.cancel()
        await asyncio.wait([working, *self._replying])
        self._queue = asyncio.Queue()
        self._callers.clear()

    def _complain(self, problem: str) -> None:
        """Once, until it is another problem: most machines without a bus stay without."""
        if problem != self._complained:
            log.warning("not on the system bus, will try again: %s", problem)
        self._complained = problem

    def _take(self, message: Message) -> bool:
        """Queue a call for us; all else is left to the library."""
        if message.message_type is not MessageType.METHOD_CALL or message.interface in _NOT_OURS:
            return False
        self._queue.put_nowait(message)
        return True

    async def _work(self) -> None:
        """Let calls act one after the other; their replies may overtake each other."""
        while True:
            call = await self._queue.get()
            try:
                finish = self._calls.act(call, await self._caller(call.sender or ""))
            except CallError as error:
                self._refuse(call, error)
            except Exception:  # a defect must not keep the next call from being heard
                log.exception("internal error")
                self._refuse(call, CallError(bus_names.FAILED, "internal error, see the log"))
            else:
                task = asyncio.create_task(self._reply(call, finish))
                self._replying.add(task)
                task.add_done_callback(self._replying.discard)

    async def _reply(self, call: Message, finish: Awaitable[Message]) -> None:
        try:
            reply = await finish
        except CallError as error:
            self._refuse(call, error)
        except Exception:  # the same
            log.exception("internal error")
            self._refuse(call, CallError(bus_names.FAILED, "internal error, see the log"))
        else:
            self._answer(call, reply)

    def _refuse(self, call: Message, error: CallError) -> None:
        self._answer(call, Message.new_error(call, error.name, str(error)))

    def _answer(self, call: Message, reply: Message) -> None:
        if not call.flags & MessageFlag.NO_REPLY_EXPECTED:
            self._put(reply)

    async def _caller(self, sender: str) -> str:
        """Who calls, for the audit trail: ``root``, ``alice (uid 1000)``."""
        if sender not in self._callers:
            if len(self._callers) >= _CALLERS:
                self._callers.clear()
            self._callers[sender] = await self._ask_who(sender)
        return self._callers[sender]

    async def _ask_who(self, sender: str) -> str:
        question = Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="GetConnectionUnixUser",
            signature="s",
            body=[sender],
        )
        bus = self._bus
        if bus is None:
            return sender
        async with asyncio.timeout(_REPLY_TIME):
            answer = await bus.call(question)
        if answer.message_type is MessageType.ERROR:
            return sender
        return _user_name(int(answer.body[0]))


def _user_name(uid: int) -> str:
    if uid == 0:
        return "root"
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
