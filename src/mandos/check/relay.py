# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries one connection of a client in a network of its own to a real server.

The greeting passes in clear text, before TLS begins, so the relay can replace it: that is how the
client of an existing image takes part in a rehearsal that it knows nothing of.  The rest is end to
end between client and server, and the relay holds no key.
"""

from __future__ import annotations

import contextlib
import select
import socket
from typing import TYPE_CHECKING

from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable

    Address = tuple[str, int] | tuple[str, int, int, int]

#: Seconds for the connection to the server.
CONNECT_TIME = grammar.CONNECT_TIME
_PIECE = 1 << 16


class Relay:
    """One relay; ``failure`` says why the server was not reached.

    ``used`` says that a client has sent more than its greeting.
    """

    def __init__(
        self, listening: socket.socket, family: int, server: Address, greeting: bytes
    ) -> None:
        self._listening = listening
        self._family = family
        self._server = server
        self._greeting = greeting
        self.failure = ""
        self.used = False

    def run(self, over: Callable[[], bool]) -> None:
        """Carry connections, one after the other, until ``over()``: asked ten times a second."""
        self._listening.settimeout(0.1)
        while not over():
            with contextlib.suppress(TimeoutError):
                client, _address = self._listening.accept()
                with client:
                    self._carry(client, over)

    def _carry(self, client: socket.socket, over: Callable[[], bool]) -> None:
        reached = False
        try:
            with socket.socket(self._family, socket.SOCK_STREAM) as server:
                server.settimeout(CONNECT_TIME)
                server.connect(self._server)
                reached = True
                client.settimeout(CONNECT_TIME)
                said = client.recv(len(grammar.GREETING), socket.MSG_WAITALL)
                server.sendall(self._greeting if said == grammar.GREETING else said)
                self._join(client, server, over)
        except OSError as error:
            if self.used or not reached:  # else the client has reset the connection: it gave up
                self.failure = error.strerror or str(error)

    def _join(self, client: socket.socket, server: socket.socket, over: Callable[[], bool]) -> None:
        """Carry both directions until one side has closed each."""
        open_ways = {client: server, server: client}
        for sock in open_ways:
            sock.settimeout(CONNECT_TIME)
        while open_ways and not over():
            for here in select.select(list(open_ways), [], [], 0.1)[0]:
                if data := here.recv(_PIECE):
                    self.used = self.used or here is client
                    open_ways[here].sendall(data)
                    continue
                with contextlib.suppress(OSError):
                    open_ways.pop(here).shutdown(socket.SHUT_WR)
