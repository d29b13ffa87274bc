# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of outgoing messages, sent in order, one after the other.

Each message is written only when its turn comes, so a burst of messages neither delays the server
nor fills its memory.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from dbus_fast import DBusFastError, Message

from mandos.server.logs.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbus_fast.aio import MessageBus

log = logging.getLogger(__name__)

#: Seconds that the bus may take to accept one message.
PATIENCE = 30.0
#: Messages that may wait so that those which strangers cause are still added.
_ROOM = 1000


class Outbox:
    """A queue of messages; ``deliver`` empties it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message | Callable[[], Message | None]] = asyncio.Queue()
        self._dropped = Tally(_report_dropped, free=0)

    def put(
        self, message: Message | Callable[[], Message | None], *, provoked: bool = False
    ) -> None:
        """Queue a message, or a function that makes one, or None, when its turn comes.

        One that strangers ``provoked`` is dropped while a thousand others wait.
        """
        if provoked and self._queue.qsize() >= _ROOM:
            self._dropped.passes("")
            return
        self._queue.put_nowait(message)

    def close(self) -> None:
        """Report the number of dropped messages."""
        self._dropped.close()

    async def emptied(self) -> None:
        """Wait until all has been sent."""
        await self._queue.join()

    async def deliver(self, bus: MessageBus) -> None:
        """Send queued messages for ever; raises TimeoutError when the bus takes no more."""
        while True:
            waiting = await self._queue.get()
            message = waiting if isinstance(waiting, Message) else waiting()
            if message is not None:
                await _send(bus, message)
            self._queue.task_done()


def _report_dropped(times: int, _cause: str) -> None:
    log.warning(
        "the bus was too slow for %d signals about requests; they are in the audit trail",
        times,
    )


async def _send(bus: MessageBus, message: Message) -> None:
    try:
        sent = bus.send(message)
    except DBusFastError:  # it cannot be written; the next one may well be
        log.exception("internal error")
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await sent
    except TimeoutError as error:
        raise TimeoutError(f"it has taken nothing for {PATIENCE:.0f} s") from error
