# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One conversation with one server over a non-blocking socket."""

from __future__ import annotations

import errno
import os

from mandos.client.unprivileged.loop import READ, WRITE
from mandos.errors import PeerError
from mandos.lean_stdlib import socket
from mandos.wire import conversation, grammar
from mandos.wire.conversation import ClientConversation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from mandos.tls.session import Session

    _Result = TypeVar("_Result")
    #: Makes a session over a connected socket; called when the handshake is next, since loading
    #: GnuTLS takes a while and the server has to load something, too.
    SessionMaker = Callable[[socket.socket], Session]

#: A server that is switched off while an approval is pending is noticed after 30 seconds; small
#: writes go out at once.
_TCP_OPTIONS = (
    (socket.TCP_NODELAY, 1),
    (socket.TCP_KEEPIDLE, 10),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 4),
)


#: Errors of connect(2) before there is a network, or where no route leads to the server.
_NO_WAY = frozenset(
    (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.ENODEV, errno.EHOSTUNREACH)
)


class UnreachableError(PeerError):
    """There is no way to the server, as yet."""


class Attempt:
    """Asks one server for the encrypted password.

    ``advance`` is called when the socket is ready for ``waits_for``; it returns the encrypted
    password once it is complete, and raises PeerError when this server gives none.
    """

    __slots__ = ("_conversation", "_make_session", "_outgoing", "_session", "socket", "waits_for")

    def __init__(
        self,
        address: tuple[str, int, int],
        make_session: SessionMaker,
        now: float,
        greeting: bytes = grammar.GREETING,
    ) -> None:
        """Begin to connect to (numeric address, port, interface index or 0).

        Raises PeerError when that is impossible at once, and OSError without sockets.
        """
        host, port, scope = address
        self._make_session = make_session
        self._conversation = ClientConversation(now, greeting)
        self._outgoing = b""
        self._session: Session | None = None
        self.waits_for = WRITE
        is_ipv6 = ":" in host
        self.socket = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET)
        self.socket.settimeout(0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _TCP_OPTIONS:
            self.socket.setsockopt(socket.IPPROTO_TCP, option, value)
        status = self.socket.connect_ex((host, port, 0, scope) if is_ipv6 else (host, port))
        if status not in (0, errno.EINPROGRESS):
            self.close()
            raise _connect_error(status)

    @property
    def deadline(self) -> float:
        """When ``advance`` has to be called at the latest."""
        return self._conversation.deadline

    def advance(self, now: float) -> bytes | None:
        """Go as far as possible without waiting."""
        try:
            self._check_time(now)
            while True:
                sealed = self._step(now)
                if sealed is not None:
                    return sealed
        except BlockingIOError:  # of the socket, or of TLS over it
            return None
        except OSError as error:
            raise self._conversation.fail(
                f"connection lost: {error.strerror} ({self._conversation.state})"
            ) from error

    def close(self) -> None:
        """Free everything; a conversation under way ends."""
        if self._session:
            self._session.close()
        self.socket.close()

    def _check_time(self, now: float) -> None:
        late = now >= self._conversation.deadline
        if late and self._conversation.state == conversation.CONNECT:
            raise self._conversation.fail(
                f"no answer within {grammar.CONNECT_TIME:g} seconds: no machine has this "
                "address, or a firewall drops packets to this port"
            )
        self._conversation.check_time(now)

    def _step(self, now: float) -> bytes | None:
        state = self._conversation.state
        if state == conversation.CONNECT:
            self._connect(now)
        elif state == conversation.GREETING:
            self._greet(now)
        elif state == conversation.HANDSHAKE:
            self._handshake(now)
        else:
            return self._receive(now)
        return None

    def _connect(self, now: float) -> None:
        self.waits_for = WRITE
        status = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            self._conversation.fail("connect")
            raise _connect_error(status)
        try:
            self.socket.getpeername()
        except OSError:
            raise BlockingIOError from None
        self._outgoing = self._conversation.connected(now)

    def _greet(self, now: float) -> None:
        self._outgoing = self._outgoing[self.socket.send(self._outgoing) :]
        if not self._outgoing:
            self._session = self._make_session(self.socket)
            self._conversation.greeted(now)

    def _handshake(self, now: float) -> None:
        session = self._tls()
        self._by_tls(session, session.handshake)
        self._conversation.authenticated(now)

    def _receive(self, now: float) -> bytes | None:
        session = self._tls()
        return self._conversation.receive(self._by_tls(session, session.receive), now)

    def _by_tls(self, session: Session, step: Callable[[], _Result]) -> _Result:
        """Do a step, and set the event to wait for next."""
        try:
            return step()
        except BlockingIOError:
            self.waits_for = WRITE if session.wants_write else READ
            raise
        except PeerError as error:
            self._conversation.fail("TLS")
            alert = f": {session.alert()}" if "ALERT" in str(error) else ""
            raise PeerError(f"TLS failed: {error}{alert}") from error

    def _tls(self) -> Session:
        assert self._session is not None  # noqa: S101 - the conversation's table holds it
        return self._session


def _connect_error(status: int) -> PeerError:
    kind = UnreachableError if status in _NO_WAY else PeerError
    return kind(f"cannot connect: {os.strerror(status)}")
