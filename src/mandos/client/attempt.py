# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One conversation with one server over a non-blocking socket."""

from __future__ import annotations

import errno
import os
import selectors
import socket

from mandos.errors import PeerError
from mandos.tls.session import Session, TLSError, WouldBlock
from mandos.wire import conversation
from mandos.wire.conversation import ClientConversation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mandos.tls.credentials import Credentials, Priority

#: A server that is switched off while an approval is pending is noticed after 30 seconds; small
#: writes go out at once.
_TCP_OPTIONS = (
    (socket.TCP_NODELAY, 1),
    (socket.TCP_KEEPIDLE, 10),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 4),
)


class Attempt:
    """Asks one server for the sealed password.

    ``advance`` is called when the socket is ready for ``waits_for``; it returns the sealed
    password once it is complete, and raises PeerError when this server gives none.
    """

    __slots__ = ("_conversation", "_credentials", "_outgoing", "_priority", "_session", "socket",
                 "waits_for")  # fmt: skip

    def __init__(
        self,
        address: tuple[str, int, int],
        priority: Priority,
        credentials: Credentials,
        now: float,
    ) -> None:
        """Begin to connect to (numeric address, port, interface index or 0)."""
        host, port, scope = address
        self._priority = priority
        self._credentials = credentials
        self._conversation = ClientConversation(now)
        self._outgoing = b""
        self._session: Session | None = None
        self.waits_for = selectors.EVENT_WRITE
        is_ipv6 = ":" in host
        self.socket = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET)
        self.socket.settimeout(0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _TCP_OPTIONS:
            self.socket.setsockopt(socket.IPPROTO_TCP, option, value)
        status = self.socket.connect_ex((host, port, 0, scope) if is_ipv6 else (host, port))
        if status not in (0, errno.EINPROGRESS):
            self.close()
            raise PeerError(f"cannot connect: {os.strerror(status)}")

    @property
    def deadline(self) -> float:
        """When ``advance`` has to be called at the latest."""
        return self._conversation.deadline

    def advance(self, now: float) -> bytes | None:
        """Go as far as possible without waiting."""
        try:
            self._conversation.check_time(now)
            while True:
                sealed = self._step(now)
                if sealed is not None:
                    return sealed
        except (BlockingIOError, WouldBlock):
            return None
        except TLSError as error:
            self._conversation.fail("TLS")
            raise PeerError(f"TLS failed: {error}{self._alert(error)}") from error
        except OSError as error:
            raise self._conversation.fail(
                f"connection lost: {error.strerror} ({self._conversation.state})"
            ) from error

    def close(self) -> None:
        """Free everything; a conversation under way ends."""
        if self._session:
            self._session.close()
        self.socket.close()

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
        self.waits_for = selectors.EVENT_WRITE
        status = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            raise self._conversation.fail(f"cannot connect: {os.strerror(status)}")
        try:
            self.socket.getpeername()
        except OSError:
            raise BlockingIOError from None
        self._outgoing = self._conversation.connected(now)

    def _greet(self, now: float) -> None:
        self._outgoing = self._outgoing[self.socket.send(self._outgoing) :]
        if not self._outgoing:
            self._session = Session(
                self._priority, self._credentials, self.socket.fileno(), is_server=True
            )
            self._conversation.greeted(now)

    def _handshake(self, now: float) -> None:
        session = self._tls()
        try:
            session.handshake()
        except WouldBlock:
            self._await(session)
            raise
        self._conversation.authenticated(now)

    def _receive(self, now: float) -> bytes | None:
        session = self._tls()
        try:
            data = session.receive()
        except WouldBlock:
            self._await(session)
            raise
        return self._conversation.receive(data, now)

    def _await(self, session: Session) -> None:
        self.waits_for = selectors.EVENT_WRITE if session.wants_write else selectors.EVENT_READ

    def _tls(self) -> Session:
        assert self._session is not None  # noqa: S101 - the conversation's table holds it
        return self._session

    def _alert(self, error: TLSError) -> str:
        if self._session is None or "ALERT" not in error.name:
            return ""
        return f": {self._session.alert()}"
