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

    async def judge(self, _identity: object, _peer: Peer) -> None:
        """No peer proves its identity here."""

    def delivered(self, _identity: object, _peer: Peer) -> None:
        """Does not happen."""

    def undelivered(self, _identity: object, _peer: Peer) -> None:
        """Does not happen."""


@pytest.mark.parametrize("other", ["127.0.1.2", "127.0.2.1"])
@pytest.mark.parametrize("said", [grammar.GREETING, b"nonsense\n"])
async def test_other_address_does_not_wait_behind_a_crowd(other: str, said: bytes) -> None:
    """Two hundred connections come first; four of another address are through before most.

    After a greeting each needs a second turn, in which the server sees that the peer has ended.
    """
    ended: list[str] = []
    over = asyncio.Event()

    def note(_kind: Useless, peer: Peer) -> None:
        ended.append(peer.address)
        if len(ended) == MANY + FEW:
            over.set()

    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        listening.settimeout(0)
        address = listening.getsockname()
        for source in [STRANGER] * MANY + [other] * FEW:
            sock = socket.create_connection(address, source_address=(source, 0))
            stack.enter_context(sock).sendall(said)
            sock.shutdown(socket.SHUT_WR)
        listener = Listener(listening, TLS(Priority(grammar.PRIORITY), Credentials()), Nothing())
        listener.on_useless = note
        listener.start()
        await over.wait()
        await listener.stop()
    last = len(ended) - ended[::-1].index(other)
    assert last < MANY * 2 // 3
    assert ended.count(STRANGER) == MANY
