# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a server how it sees this machine: a request that is no boot, and starts nothing.

Servers that do not know such requests, the original's among them, close the connection at once.
"""

from __future__ import annotations

import json
import select
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mandos.client.unprivileged.attempt import Attempt
from mandos.errors import PeerError
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session
from mandos.wire import grammar
from mandos.wire.conversation import Refused

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mandos.check.servers import Server
    from mandos.client.unprivileged.attempt import SessionMaker
    from mandos.key_source import KeySource

#: Seconds for the whole conversation.
_TIME = 10.0
#: Seconds between two looks whether it is over.
_LOOK = 0.1


class UnreachedError(PeerError):
    """The server does not answer."""


class UnknownRequestError(PeerError):
    """The server does not know such requests."""


class UnknownKeyError(PeerError):
    """The server has no client with this key."""


def ask(
    server: Server, keys: KeySource, priority: str, over: Callable[[], bool] = bool
) -> dict[str, Any]:
    """The server's description of the machine with the TLS key in ``keys``.

    ``docs/protocol.md`` lists its fields.  Ends soon after ``over()``.  Raises one of the errors
    above.
    """
    credentials = Credentials()
    credentials.load_raw_key(*keys.tls_pair())
    answered = False

    def session(sock: socket.socket) -> Session:
        nonlocal answered
        answered = True  # the connection stands, and the greeting is sent
        return Session(Priority(priority), credentials, sock.fileno(), is_server=True)

    try:
        return description(_conversation(server, session, over))
    except Refused as error:
        raise UnknownKeyError("the server has no client with this machine's key") from error
    except PeerError as error:
        kind = UnknownRequestError if answered else UnreachedError
        raise kind(str(error)) from error


def description(text: bytes) -> dict[str, Any]:
    """Read the answer of a server, which may be anything.  Raises UnknownRequestError."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnknownRequestError("the server's answer is no JSON") from error
    if not isinstance(found, dict):
        raise UnknownRequestError("the server's answer is no description of a client")
    return found


def _conversation(server: Server, session: SessionMaker, over: Callable[[], bool]) -> bytes:
    """Hold the conversation of the client at boot, with another greeting."""
    where = (server.address[0], server.address[1], server.scope)
    end = time.monotonic() + _TIME
    attempt = Attempt(where, session, time.monotonic(), grammar.STATUS_GREETING)
    with closing(attempt):
        while (answer := attempt.advance(time.monotonic())) is None:
            wait = min(end, attempt.deadline) - time.monotonic()
            if wait <= 0 or over():
                raise PeerError("no answer in time")
            with select.epoll() as epoll:
                epoll.register(attempt.socket, attempt.waits_for)
                epoll.poll(min(wait, _LOOK))
        return answer
