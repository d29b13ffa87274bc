# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of a Mandos connection as state machines; two tables have all transitions.

The shell around a machine does the input and output: it feeds events, finds the next step in
``state``, and gives up when ``deadline`` passes.  Every mistake of the peer, and any call that the
state does not allow, raises ProtocolError and leaves the machine in FAILED.
"""

from __future__ import annotations

from mandos.errors import PeerError
from mandos.wire import grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class ProtocolError(PeerError):
    """The peer does not follow the protocol, or the conversation is over."""


class Refused(PeerError):  # noqa: N818 - it is the protocol's word for a reply, not a defect
    """The server closed the connection without a secret."""


# States.  The server passes through them in the first order, the client in the second.
CONNECT = "connect"
GREETING = "greeting"
HANDSHAKE = "handshake"
JUDGE = "judge"
SEND = "send"
RECEIVE = "receive"
CLOSE = "close"
DONE = "done"
FAILED = "failed"

# Events.
CONNECTED = "connected"
GREETED = "greeted"
AUTHENTICATED = "authenticated"
GRANTED = "granted"
DENIED = "denied"
SENT = "sent"
RECEIVED = "received"
CLOSED = "closed"

SERVER_TRANSITIONS = {
    (GREETING, GREETED): HANDSHAKE,
    (HANDSHAKE, AUTHENTICATED): JUDGE,
    (JUDGE, GRANTED): SEND,
    (JUDGE, DENIED): CLOSE,
    (SEND, SENT): CLOSE,
    (CLOSE, CLOSED): DONE,
}
CLIENT_TRANSITIONS = {
    (CONNECT, CONNECTED): GREETING,
    (GREETING, GREETED): HANDSHAKE,
    (HANDSHAKE, AUTHENTICATED): RECEIVE,
    (RECEIVE, RECEIVED): RECEIVE,
    (RECEIVE, CLOSED): DONE,
}

#: Seconds that each state may take; a judgement takes as long as an approval does.
SERVER_TIMES = {
    GREETING: grammar.GREETING_TIME,
    HANDSHAKE: grammar.HANDSHAKE_TIME,
    SEND: grammar.TRANSFER_TIME,
    CLOSE: grammar.CLOSE_TIME,
}
CLIENT_TIMES = {
    CONNECT: grammar.CONNECT_TIME,
    GREETING: grammar.GREETING_TIME,
    HANDSHAKE: grammar.HANDSHAKE_TIME,
    RECEIVE: grammar.APPROVAL_TIME,
}

#: The purposes that a greeting of version 2 may name.
_CHECKS = (grammar.REHEARSAL.encode(), grammar.STATUS.encode())
_FOREVER = float("inf")


class _Conversation:
    """The common part of both ends: a state that only the table can change, and its deadline."""

    __slots__ = ("_table", "_times", "deadline", "state")

    def __init__(
        self,
        first: str,
        table: Mapping[tuple[str, str], str],
        times: Mapping[str, float],
        now: float,
    ) -> None:
        self._table = table
        self._times = times
        self._enter(first, now)

    def _enter(self, state: str, now: float) -> None:
        self.state = state
        self.deadline = now + self._times.get(state, _FOREVER)

    def _happened(self, event: str, now: float) -> None:
        state = self._table.get((self.state, event))
        if state is None:
            raise self.fail(f"{event!r} cannot happen in state {self.state!r}")
        if state != self.state:
            self._enter(state, now)

    @property
    def is_over(self) -> bool:
        """Whether the conversation is over."""
        return self.state in (DONE, FAILED)

    def fail(self, why: str) -> ProtocolError:
        """End the conversation; returns the error for the caller to raise."""
        self._enter(FAILED, 0.0)
        return ProtocolError(why)

    def hung_up(self) -> ProtocolError:
        """End the conversation because the peer is gone."""
        return self.fail(f"the peer hung up ({self.state})")

    def too_late(self) -> ProtocolError:
        """End the conversation because the current state has taken too long."""
        return self.fail(f"the peer took too long ({self.state})")

    def check_time(self, now: float) -> None:
        """Raise ProtocolError when the current state has taken too long."""
        if now >= self.deadline:
            raise self.too_late()


class ServerConversation(_Conversation):
    """The Mandos server's end of one connection.

    ``purpose`` says what the client asks for; it is valid once the greeting is complete.
    """

    __slots__ = ("_line", "purpose")

    def __init__(self, now: float) -> None:
        super().__init__(GREETING, SERVER_TRANSITIONS, SERVER_TIMES, now)
        self._line = b""
        self.purpose = grammar.SECRET

    def receive(self, data: bytes, now: float) -> None:
        """Take the next bytes of the greeting, in any portions; empty means end of stream.

        A client says nothing after the line before the server has begun the handshake, so more
        bytes than the line come from something else than a client.
        """
        if self.state != GREETING:
            raise self.fail(f"bytes cannot be received in state {self.state!r}")
        if not data:
            raise self.hung_up()
        self._line += data
        line, end, rest = self._line.partition(b"\n")
        if len(line) + len(end) > grammar.GREETING_LIMIT:
            raise self.fail(f"the greeting is longer than {grammar.GREETING_LIMIT} bytes")
        if not end:
            return
        self._read_greeting(line)
        if rest:
            raise self.fail("the peer went on after its greeting without waiting for the server")
        self._happened(GREETED, now)

    def _read_greeting(self, line: bytes) -> None:
        """Read the version and, of version 2, the purpose; other fields are ignored."""
        version, purpose = (*line.split()[:2], b"", b"")[:2]
        if not version.isdigit():
            raise self.fail(f"the greeting does not start with a number: {line[:40]!r}")
        if int(version) == grammar.CHECK_VERSION:
            if purpose not in _CHECKS:
                raise self.fail(f"the greeting asks for something unknown: {line[:40]!r}")
            self.purpose = purpose.decode()
        elif int(version) != grammar.VERSION:
            raise self.fail(f"protocol version {version[:20].decode()} is not supported")

    def authenticated(self, now: float) -> None:
        """Go on to judging: the TLS handshake has proved the client's identity."""
        self._happened(AUTHENTICATED, now)

    def judged(self, *, granted: bool, now: float) -> None:
        """Go on to sending when the client may have its secret, else to closing."""
        self._happened(GRANTED if granted else DENIED, now)

    def sent(self, now: float) -> None:
        """Go on to closing: the whole secret is written."""
        self._happened(SENT, now)

    def closed(self, now: float) -> None:
        """End in order: close_notify is written."""
        self._happened(CLOSED, now)


class ClientConversation(_Conversation):
    """The Mandos client's end of one connection; the greeting says what it asks for."""

    __slots__ = ("_greeting", "_secret")

    def __init__(self, now: float, greeting: bytes = grammar.GREETING) -> None:
        super().__init__(CONNECT, CLIENT_TRANSITIONS, CLIENT_TIMES, now)
        self._greeting = greeting
        self._secret = bytearray()

    def connected(self, now: float) -> bytes:
        """Return the greeting to write: TCP is connected."""
        self._happened(CONNECTED, now)
        return self._greeting

    def greeted(self, now: float) -> None:
        """Go on to the handshake: the greeting is written."""
        self._happened(GREETED, now)

    def authenticated(self, now: float) -> None:
        """Go on to receiving: the TLS handshake is done."""
        self._happened(AUTHENTICATED, now)

    def receive(self, data: bytes, now: float) -> bytes | None:
        """Take the next bytes of the secret; at the end of the stream (no bytes) return all of it.

        Raises Refused when there was no secret at all, ProtocolError when it is too large.
        """
        if not data:
            return self._end(now)
        self._happened(RECEIVED, now)
        if not self._secret:
            self.deadline = now + grammar.TRANSFER_TIME
        self._secret += data
        if len(self._secret) > grammar.MESSAGE_LIMIT:
            self._secret.clear()
            raise self.fail(
                f"the server sent more than {grammar.MESSAGE_LIMIT} bytes, "
                "which no encrypted password needs"
            )
        return None

    def _end(self, now: float) -> bytes:
        self._happened(CLOSED, now)
        if not self._secret:
            self._enter(FAILED, 0.0)
            raise Refused("the server refused: it closed the connection without a secret")
        return bytes(self._secret)
