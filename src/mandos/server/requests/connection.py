# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection of the server: one request in, at most one secret out.

The TLS library works on the socket itself; this coroutine waits for the socket where the library
cannot, and holds every wait to the conversation's deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from mandos.server.life.sealed_secret import SealedSecret
from mandos.server.requests.peer_identity import RawKeyAuthenticator, UnidentifiedError
from mandos.server.requests.turns import source_of
from mandos.tls import limits
from mandos.tls.session import Session, TLSError, WouldBlock
from mandos.wire import grammar
from mandos.wire.conversation import GREETING, HANDSHAKE, ServerConversation

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mandos.server.requests.peer_identity import Authenticator, PeerIdentity
    from mandos.server.requests.sockets import Peer
    from mandos.server.requests.turns import Turns
    from mandos.tls.credentials import Credentials, Priority


log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class TLS(NamedTuple):
    """Values that all sessions of the server share; ``authenticator`` identifies their peers."""

    priority: Priority
    credentials: Credentials
    authenticator: Authenticator = RawKeyAuthenticator()


class Judge(Protocol):
    """The protocol of the judge that decides which peer gets which secret."""

    async def judge(self, identity: PeerIdentity, peer: Peer, purpose: str) -> SealedSecret | None:
        """The secret for the peer of this identity, or None to refuse; ``peer`` is for people.

        The purpose is ``grammar.SECRET`` or ``grammar.REHEARSAL``.
        """

    def describe(self, identity: PeerIdentity, peer: Peer) -> bytes | None:
        """The server's view of this client, or None if there is no such client."""

    def delivered(self, identity: PeerIdentity, peer: Peer, purpose: str) -> None:
        """The secret has been written, whole."""

    def undelivered(self, identity: PeerIdentity, peer: Peer) -> None:
        """The connection broke before the secret had been written."""


class Connection:
    """Serves one accepted, non-blocking socket; raises PeerError when the peer is at fault."""

    def __init__(
        self, sock: socket.socket, peer: Peer, tls: TLS, judge: Judge, turns: Turns
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._peer = peer
        self._tls = tls
        self._judge = judge
        self._turns = turns
        self._source = source_of(peer)
        self._session: Session
        self._ending = contextlib.ExitStack()
        self._ending.callback(sock.close)
        self._said = 0
        self._conversation = ServerConversation(self._loop.time())

    @property
    def authenticated(self) -> bool:
        """Whether the peer has proved its identity."""
        return self._conversation.state not in (GREETING, HANDSHAKE)

    def close(self) -> None:
        """Free the session and close the socket."""
        self._ending.close()

    async def serve(self) -> None:
        """Hold the whole conversation."""
        await self._begin()
        try:
            await self._greeting()
            await self._when_ready(self._session.handshake, grammar.HANDSHAKE_PIECES)
        except TLSError as error:
            why = limits.refusal(self._session.pointer) or error
            raise self._conversation.fail(f"TLS handshake failed: {why}") from error
        identity = self._identified()
        self._conversation.authenticated(self._loop.time())
        answer = await self._answer(identity)
        self._conversation.judged(granted=answer is not None, now=self._loop.time())
        try:
            if isinstance(answer, SealedSecret):
                await self._deliver(answer, identity)
            elif answer is not None:
                await self._send(answer)
            await self._when_ready(self._session.say_goodbye)
        except TLSError as error:
            raise self._conversation.fail(f"the connection broke: {error}") from error
        self._conversation.closed(self._loop.time())

    async def _answer(self, identity: PeerIdentity) -> SealedSecret | bytes | None:
        """The answer to what the greeting asked for; None to refuse."""
        if self._conversation.purpose == grammar.STATUS:
            return self._judge.describe(identity, self._peer)
        return await self._judged(identity)

    async def _begin(self) -> None:
        """Wait for the first turn, and make the session."""
        await self._turns.begin(self._source)
        if self._loop.time() > self._conversation.deadline:
            raise self._conversation.too_late()
        priority, credentials, _authenticator = self._tls
        descriptor = self._socket.fileno()
        self._session = Session(priority, credentials, descriptor, is_server=False)
        self._ending.callback(self._session.close)
        limits.install(self._session.pointer)

    async def _judged(self, identity: PeerIdentity) -> SealedSecret | None:
        """Wait for the judge, but not longer than the peer does."""
        descriptor = self._socket.fileno()
        try:
            async with asyncio.timeout(None) as patience:
                self._loop.add_reader(descriptor, self._listen, patience)
                try:
                    purpose = self._conversation.purpose
                    return await self._judge.judge(identity, self._peer, purpose)
                finally:
                    self._loop.remove_reader(descriptor)
        except TimeoutError as error:
            raise self._conversation.hung_up() from error

    def _listen(self, patience: asyncio.Timeout) -> None:
        """Read from a waiting client; anything but a few messages of TLS's own ends its wait."""
        self._said += 1
        try:
            self._session.receive()
        except WouldBlock:
            if self._said <= grammar.WAITING_PIECES:
                return
            log.debug("%s: says too much while it waits", self._peer)
        except TLSError as error:
            log.debug("%s: %s", self._peer, error)
        self._loop.remove_reader(self._socket.fileno())
        patience.reschedule(self._loop.time())

    async def _deliver(self, secret: SealedSecret, identity: PeerIdentity) -> None:
        try:
            await self._send(secret.data)
        except BaseException:
            self._judge.undelivered(identity, self._peer)
            raise
        self._judge.delivered(identity, self._peer, self._conversation.purpose)

    def _identified(self) -> PeerIdentity:
        try:
            return self._tls.authenticator.identify(self._session)
        except UnidentifiedError as error:
            raise self._conversation.fail(str(error)) from error

    async def _greeting(self) -> None:
        receive = partial(self._socket.recv, grammar.GREETING_LIMIT)
        while self._conversation.state == GREETING:
            try:
                data = await self._when_ready(receive)
            except OSError as error:
                raise self._conversation.hung_up() from error
            self._conversation.receive(data, self._loop.time())

    async def _send(self, secret: bytes) -> None:
        rest = memoryview(secret)
        while rest:
            rest = rest[await self._when_ready(partial(self._session.send, rest)) :]
        self._conversation.sent(self._loop.time())

    async def _when_ready(self, call: Callable[[], _Result], times: float = math.inf) -> _Result:
        """Call until the call does not block, as long as the conversation's state may last.

        ``times`` is how often at most.
        """
        try:
            return call()
        except BlockingIOError:
            pass
        try:
            async with asyncio.timeout_at(self._conversation.deadline):
                while times > 0:
                    times -= 1
                    await self._ready(writable=self._session.wants_write)
                    with contextlib.suppress(BlockingIOError):
                        return call()
        except TimeoutError as error:
            raise self._conversation.too_late() from error
        raise self._conversation.fail("the peer sent its part in too many pieces")

    async def _ready(self, *, writable: bool) -> None:
        """Wait for the socket, and for a turn as long as the peer has not proved its identity."""
        descriptor = self._socket.fileno()
        woken: asyncio.Future[None] = self._loop.create_future()
        add, remove = (
            (self._loop.add_writer, self._loop.remove_writer)
            if writable
            else (self._loop.add_reader, self._loop.remove_reader)
        )

        def wake() -> None:
            remove(descriptor)
            if not self.authenticated:
                self._turns.ask(self._source, woken)
            elif not woken.done():
                woken.set_result(None)

        add(descriptor, wake)
        try:
            await woken
        except asyncio.CancelledError:
            remove(descriptor)
            self._turns.forget(self._source, woken)
            raise
