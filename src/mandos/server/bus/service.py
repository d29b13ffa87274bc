# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's connection to the system bus, renewed whenever the bus comes back.

The bus's policy decides which users may call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from dbus_fast import BusType, DBusFastError, Message, RequestNameReply
from dbus_fast.aio import MessageBus
from dbus_fast.constants import NameFlag

from mandos import bus_names
from mandos.server.bus.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mandos.server.bus.calls import Calls
    from mandos.server.bus.objects import Objects

log = logging.getLogger(__name__)

#: Seconds until a bus that is missing is looked for again.
RETRY = 5.0
#: Seconds that it may take to join the bus.
_JOINING_TIME = 10.0
#: All errors that a failing bus can cause.
_FAILURES = (OSError, EOFError, DBusFastError, TimeoutError)


class BusService:
    """Offers the server's objects on the system bus from ``start`` to ``stop``."""

    def __init__(self, calls: Calls, objects: Objects) -> None:
        self._calls = calls
        self._objects = objects
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._complained = ""

    def start(self) -> None:
        """Begin to look for the bus."""
        self._task = asyncio.create_task(self._run(), name="bus")

    async def stop(self) -> None:
        """Leave the bus; harmless when not started."""
        if self._session is not None:
            await self._session.leave(self._farewell())
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def send(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: list[Any] | Callable[[], list[Any] | None],
        *,
        provoked: bool = False,
    ) -> None:
        """Send a signal, if a bus is there; ``provoked`` by strangers: see ``Outbox.put``.

        A body that is a function is called when the signal's turn has come; with None in return
        it is not sent.
        """
        if self._session is None:
            return

        def written() -> Message | None:
            now = body() if callable(body) else body
            if now is None:
                return None
            return Message.new_signal(path, interface, member, signature, now)

        self._session.send(written, provoked=provoked)

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except _FAILURES as error:
                self._complain(str(error) or type(error).__name__)
            except Exception:  # a defect must not keep the server off the bus for ever
                log.exception("internal error")
            await asyncio.sleep(RETRY)

    async def _serve(self) -> None:
        """Offer the objects until the bus goes away."""
        bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            async with asyncio.timeout(_JOINING_TIME):
                await bus.connect()
                session = Session(bus, self._calls)
                reply = await bus.request_name(bus_names.BUS_NAME, NameFlag.DO_NOT_QUEUE)
            if reply is not RequestNameReply.PRIMARY_OWNER:
                self._complain(
                    f"another program, such as a second server, has the name {bus_names.BUS_NAME}"
                )
                return
            self._welcome(session)
            await session.run()
        finally:
            self._session = None
            await _disconnect(bus)

    def _welcome(self, session: Session) -> None:
        """Announce all clients, as the reference does; listeners that want more ask for it."""
        self._session = session
        self._complained = ""
        log.info("on the system bus as %s", bus_names.BUS_NAME)
        for path in self._objects:
            self.send(bus_names.ROOT_PATH, bus_names.MANDOS, "ClientAdded", "o", [path])

    def _farewell(self) -> Iterator[Message]:
        for path in self._objects:
            body = [path, self._objects.name(path)]
            yield Message.new_signal(
                bus_names.ROOT_PATH, bus_names.MANDOS, "ClientRemoved", "os", body
            )

    def _complain(self, problem: str) -> None:
        """Log a problem once, until another one comes: most machines without a bus stay without."""
        if problem != self._complained:
            log.warning("not on the system bus, will try again: %s", problem)
        self._complained = problem


async def _disconnect(bus: MessageBus) -> None:
    """Close the connection; harmless when there is none."""
    if not bus.connected:
        return
    bus.disconnect()
    with contextlib.suppress(*_FAILURES):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
