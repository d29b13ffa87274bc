# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives connections whose peers have not proved their identity their turns to work.

Addresses have as many turns each, not connections: a stranger with many connections takes no more
of the server's time than a client with one.  A source that waits alone has all turns.
"""

from __future__ import annotations

import asyncio
import socket
from functools import lru_cache
from typing import TYPE_CHECKING

from mandos.server.requests.fair_queue import FairQueue

if TYPE_CHECKING:
    from mandos.server.requests.fair_queue import Source
    from mandos.server.requests.sockets import Peer

#: Turns in each pass of the event loop, which sees new events after that.  Fewer cost more passes;
#: with more, a client that comes waits longer for a stranger who was alone until then.
_AT_ONCE = 4
#: Bytes of an IPv6 address that name its network: RFC 4291 section 2.5.4.
_NETWORK = 8


class Turns:
    """The connections that wait for their turn.

    A connection that has its turn works until it waits for its peer again.  ``beginning`` counts
    those that wait for their first turn.
    """

    def __init__(self) -> None:
        self._queue = FairQueue[asyncio.Future[None]]()
        self._busy = False
        self.beginning = 0

    async def begin(self, source: Source) -> None:
        """Return when the first turn of a connection has come; at once if no other works."""
        if not self._busy:
            self._work()
            return
        waiter = asyncio.get_running_loop().create_future()
        self._queue.add(source, waiter)
        self.beginning += 1
        try:
            await waiter
        except asyncio.CancelledError:
            self.forget(source, waiter)
            raise
        finally:
            self.beginning -= 1

    def ask(self, source: Source, waiter: asyncio.Future[None]) -> None:
        """Set the waiter's result when a further turn of its connection has come."""
        if self._busy:
            self._queue.add(source, waiter)
        elif not waiter.done():
            waiter.set_result(None)
            self._work()

    def forget(self, source: Source, waiter: asyncio.Future[None]) -> None:
        """Give no turn to a waiter that was given up; harmless when it does not wait."""
        self._queue.discard(source, waiter)

    def _work(self) -> None:
        """Look for the next turns when the connections that have theirs have worked."""
        self._busy = True
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        given = 0
        while self._queue and given < _AT_ONCE:
            waiter = self._queue.take()
            if not waiter.done():
                waiter.set_result(None)
                given += 1
        if given:
            self._work()
        else:
            self._busy = False


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The network that an address belongs to: the first 64 bits, or 24 of an IPv4 address."""
    if ":" not in address:
        return address.rpartition(".")[0]
    return socket.inet_pton(socket.AF_INET6, address)[:_NETWORK].hex()


def source_of(peer: Peer) -> Source:
    """The parts of a peer's address that have turns: a network on an interface, and an address."""
    return (f"{network_of(peer.address)}%{peer.interface}", peer.address)
