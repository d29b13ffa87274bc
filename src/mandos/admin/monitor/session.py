# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to the server, for as long as the program runs: lost ones are made anew."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from mandos.admin.proxy import NoBusError, ServerProxy
from mandos.admin.signals import ListingFailed
from mandos.errors import MandosError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.admin.client import Client
    from mandos.admin.monitor.acts import Act
    from mandos.admin.signals import Event

#: Before a bus is tried again that was not there.
AGAIN_AFTER: Final = timedelta(seconds=2)
#: Before a server is asked again that would not talk to us; the bus logs each such attempt.
REFUSED_AGAIN_AFTER: Final = timedelta(seconds=10)


class MonitorSession:
    """Reports all events, and takes the actions to be done."""

    def __init__(self, tell: Callable[[Event], None], fail: Callable[[MandosError], None]) -> None:
        self._tell = tell
        self._fail = fail
        self._server: ServerProxy | None = None
        self._refused = asyncio.Event()

    async def do(self, act: Act, client: Client) -> None:
        """Do something with a client; raises the errors of the server's calls."""
        if self._server is None:
            raise NoBusError("there is no connection to the system bus")
        await act.call(self._server, client)

    async def run(self) -> None:
        """Follow the server; never returns."""
        while True:
            try:
                await self._follow()
            except MandosError as error:
                self._fail(error)
            again = REFUSED_AGAIN_AFTER if self._refused.is_set() else AGAIN_AFTER
            await asyncio.sleep(again.total_seconds())

    async def _follow(self) -> None:
        """Follow it until the bus is gone or the server does not want us."""
        self._refused.clear()
        async with ServerProxy.connect() as server:
            closed = asyncio.create_task(server.closed())
            closed.add_done_callback(_seen)
            refused = asyncio.create_task(self._refused.wait())
            try:
                self._server = server
                await server.follow(self._hear)
                await asyncio.wait((closed, refused), return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._server = None
                refused.cancel()
        # It ends with the connection; cancelled, it would take the connection's own end with it.
        await asyncio.wait((closed,))
        if not self._refused.is_set():
            closed.result()

    def _hear(self, event: Event) -> None:
        self._tell(event)
        if isinstance(event, ListingFailed):
            self._refused.set()


def _seen(closed: asyncio.Task[None]) -> None:
    """Retrieve the reason why a connection ended, when no task waits for it any more."""
    if not closed.cancelled():
        closed.exception()
