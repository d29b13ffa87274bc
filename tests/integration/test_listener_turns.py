# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The listener serves addresses in turns: real sockets, whose peers have said all beforehand."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import pytest

from mandos.server.requests.attack import Useless
from mandos.server.requests.connection import TLS
from mandos.server.requests.listener import Listener
from mandos.server.requests.sockets import Peer
from mandos.tls.credentials import Credentials, Priority
from mandos.wire import grammar

STRANGER = "127.0.1.1"
MANY, FEW = 200, 4


class Nothing:
    """A judge that is never asked."""

    async def judge(self, _identity: object, _peer: Peer, _purpose: str) -> None:
        """No peer proves its identity here."""

    def describe(self, _identity: object, _peer: Peer) -> bytes | None:
        """There is nothing to describe."""
        return None

    def delivered(self, _identity: object, _peer: Peer, _purpose: str) -> None:
        """Does not happen."""

    def undelivered(self, _identity: object, _peer: Peer) -> None:
        """Does not happen."""


class Site:
    """A listener that is not started yet, and the connections that wait for it."""

    def __init__(self, stack: ExitStack, expected: int, room: int | None = None) -> None:
        self.ended: list[tuple[Useless, str]] = []
        self.over = asyncio.Event()
        self._stack = stack
        self._expected = expected
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        listening.settimeout(0)
        self._address = listening.getsockname()
        tls = TLS(Priority(grammar.PRIORITY), Credentials())
        self._listener = Listener(listening, tls, Nothing(), room)
        self._listener.on_useless = self._note

    def _note(self, kind: Useless, peer: Peer) -> None:
        self.ended.append((kind, peer.address))
        if len(self.ended) == self._expected:
            self.over.set()

    def connect(self, source: str, said: bytes, number: int) -> None:
        """So many connections from an address say this, and nothing more."""
        for _number in range(number):
            sock = socket.create_connection(self._address, source_address=(source, 0))
            self._stack.enter_context(sock).sendall(said)
            sock.shutdown(socket.SHUT_WR)

    async def serve(self) -> None:
        """Serve until all have ended."""
        self._listener.start()
        await self.over.wait()
        await self._listener.stop()


@pytest.mark.parametrize("other", ["127.0.1.2", "127.0.2.1"])
@pytest.mark.parametrize("said", [grammar.GREETING, b"nonsense\n"])
async def test_other_address_does_not_wait_behind_a_crowd(other: str, said: bytes) -> None:
    """Two hundred connections come first; four of another address are through before most.

    After a greeting each needs a second turn, in which the server sees that the peer has ended.
    """
    with ExitStack() as stack:
        site = Site(stack, MANY + FEW)
        site.connect(STRANGER, said, MANY)
        site.connect(other, said, FEW)
        await site.serve()
    addresses = [address for _kind, address in site.ended]
    assert addresses.count(STRANGER) == MANY
    assert max(place for place, address in enumerate(addresses) if address == other) < MANY * 2 // 3


async def test_no_connection_makes_room_before_its_first_turn() -> None:
    """However many come at the same time: else those that wait longest would have none."""
    with ExitStack() as stack:
        site = Site(stack, MANY, room=64)
        site.connect(STRANGER, b"nonsense\n", MANY)
        await site.serve()
    assert site.ended == [(Useless.FAILED, STRANGER)] * MANY
