# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay between a rehearsed client and its server: which of both has failed."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from mandos.check.relay import Relay
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: SO_LINGER with no time: the connection is reset when it is closed, socket(7).
AT_ONCE = struct.pack("ii", 1, 0)


@pytest.fixture
def ways() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The relay's listening socket, and the server's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        yield listening, server


def _carried(
    ways: tuple[socket.socket, socket.socket], act: Callable[[socket.socket, socket.socket], None]
) -> Relay:
    """A relay through which one connection has gone, which ``act`` has used."""
    listening, server = ways
    relay = Relay(listening, socket.AF_INET, server.getsockname(), grammar.REHEARSAL_GREETING)
    over = threading.Event()
    running = threading.Thread(target=relay.run, args=(over.is_set,))
    running.start()
    try:
        with socket.create_connection(listening.getsockname()) as client:
            client.sendall(grammar.GREETING)
            peer, _address = server.accept()
            with peer:
                greeting = peer.recv(len(grammar.REHEARSAL_GREETING), socket.MSG_WAITALL)
                assert greeting == grammar.REHEARSAL_GREETING
                act(client, peer)
    finally:
        over.set()
        running.join()
    return relay


def test_client_that_gives_up(ways: tuple[socket.socket, socket.socket]) -> None:
    """A client that resets its connection before TLS has not asked; the server is well."""

    def act(client: socket.socket, peer: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        client.close()
        assert peer.recv(1) == b""

    relay = _carried(ways, act)
    assert (relay.used, relay.failure) == (False, "")


def test_client_that_asks(ways: tuple[socket.socket, socket.socket]) -> None:
    """Bytes after the greeting are a request."""

    def act(client: socket.socket, peer: socket.socket) -> None:
        client.sendall(b"\x16")
        assert peer.recv(1) == b"\x16"

    relay = _carried(ways, act)
    assert (relay.used, relay.failure) == (True, "")


def test_server_that_is_not_there(ways: tuple[socket.socket, socket.socket]) -> None:
    """The reason is kept."""
    listening, server = ways
    relay = Relay(listening, socket.AF_INET, server.getsockname(), grammar.REHEARSAL_GREETING)
    server.close()
    with socket.create_connection(listening.getsockname()):
        relay.run(lambda: bool(relay.failure))
    assert (relay.used, relay.failure) == (False, "Connection refused")
