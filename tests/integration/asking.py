# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An honest client's request, with any key."""

from __future__ import annotations

import select
import socket
import time

from mandos.client.unprivileged.attempt import Attempt
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session
from mandos.wire import grammar


def _attempt(
    address: tuple[str, int, int], key: tuple[bytes, bytes], priority: str, greeting: bytes
) -> Attempt:
    credentials = Credentials()
    credentials.load_raw_key(key[1], key[0])

    def session(sock: socket.socket) -> Session:
        return Session(Priority(priority), credentials, sock.fileno(), is_server=True)

    return Attempt(address, session, time.monotonic(), greeting)


def ask(
    address: tuple[str, int, int],
    key: tuple[bytes, bytes],
    priority: str = grammar.PRIORITY,
    greeting: bytes = grammar.GREETING,
) -> bytes:
    """What a server gives to the holder of this TLS key; raises PeerError if nothing."""
    attempt = _attempt(address, key, priority, greeting)
    try:
        while (sealed := attempt.advance(time.monotonic())) is None:
            with select.epoll() as epoll:
                epoll.register(attempt.socket, attempt.waits_for)
                assert epoll.poll(30)
    finally:
        attempt.close()
    return sealed
