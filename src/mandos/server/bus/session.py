# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to the bus: answers calls and sends signals, until the bus is gone.

Calls act one after the other, in the order of arrival; their answers may overtake each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from dbus_fast import Message, MessageFlag, MessageType

from mandos import bus_names
from mandos.server.bus.callers import Callers
from mandos.server.bus.errors import LIMITS_EXCEEDED, CallError
from mandos.server.bus.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from dbus_fast.aio import MessageBus

    from mandos.server.bus.calls import Calls

log = logging.getLogger(__name__)

#: Calls that may wait to act.
_WAITING = 1000
#: Seconds that each step of leaving may take.
_FAREWELL = 0.2
#: Interfaces that the library answers by itself.
_NOT_OURS = (bus_names.PEER,)
_OUR_FAULT = CallError(bus_names.FAILED, "internal error, see the log")


class Session:
    """A connection to the bus, with its calls and signals under way."""

    def __init__(self, bus: MessageBus, calls: Calls) -> None:
        self._bus = bus
        self._calls = calls
        self._callers = Callers(bus)
        self._outbox = Outbox()
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(_WAITING)
        self._replying: set[asyncio.Task[None]] = set()
        bus.add_message_handler(self._take)

    def send(
        self, message: Message | Callable[[], Message | None], *, provoked: bool = False
    ) -> None:
        """Send a message, or the result of a function when its turn comes: see ``Outbox.put``."""
        self._outbox.put(message, provoked=provoked)

    async def run(self) -> None:
        """Answer calls and send signals until the bus is gone, which raises an error."""
        tasks: set[asyncio.Future[None]] = {
            asyncio.create_task(self._work()),
            asyncio.create_task(self._outbox.deliver(self._bus)),
            # Shielded: the library awaits one future, which must not be cancelled with the task.
            asyncio.shield(self._bus.wait_for_disconnect()),  # type: ignore[no-untyped-call]
        }
        try:
            done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            tasks |= self._replying
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._outbox.close()

    async def leave(self, farewell: Iterable[Message]) -> None:
        """Let calls under way end, and send this message; waits for a bounded time only."""
        self._bus.remove_message_handler(self._take)
        if self._replying:
            await asyncio.wait(self._replying, timeout=_FAREWELL)
        for message in farewell:
            self._outbox.put(message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._outbox.emptied()

    def _take(self, message: Message) -> bool:
        """Queue a call for us; the library handles all other messages."""
        if message.message_type is not MessageType.METHOD_CALL or message.interface in _NOT_OURS:
            return False
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self._refuse(message, CallError(LIMITS_EXCEEDED, "too many calls at once"))
        return True

    async def _work(self) -> None:
        while True:
            call = await self._waiting.get()
            by = await self._callers.name(call.sender or "")
            try:
                await self._calls.prepare(call)
                finish = self._calls.act(call, by)
            except CallError as error:
                self._refuse(call, error)
            except Exception:  # a defect must not keep the next call from being heard
                log.exception("internal error")
                self._refuse(call, _OUR_FAULT)
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
            self._refuse(call, _OUR_FAULT)
        else:
            self._answer(call, reply)

    def _refuse(self, call: Message, error: CallError) -> None:
        self._answer(call, Message.new_error(call, error.name, str(error)))

    def _answer(self, call: Message, reply: Message) -> None:
        if not call.flags & MessageFlag.NO_REPLY_EXPECTED:
            self._outbox.put(reply)
