# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accepts connections and serves each in a task of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from functools import partial
from typing import TYPE_CHECKING

from mandos.errors import PeerError
from mandos.server.logs.tally import Tally
from mandos.server.requests.attack import Useless
from mandos.server.requests.connection import Connection
from mandos.server.requests.sockets import peer_of
from mandos.server.requests.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.server.requests.connection import TLS, Judge
    from mandos.server.requests.sockets import Peer

log = logging.getLogger(__name__)

#: Connections accepted before others get their turn.
_BATCH = 16
#: Seconds to wait when there is no descriptor left for another connection.
_PAUSE = 0.5
#: A peer that vanishes while it waits for an approval is noticed within 30 seconds: tcp(7).
_TCP_OPTIONS = (
    (socket.TCP_NODELAY, 1),
    (socket.TCP_KEEPIDLE, 10),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 4),
)


#: Descriptors that connections leave to checkers, administrators and the disk, where there are
#: enough: half of them otherwise.
_RESERVED = 2048
#: Connections beyond the limit that may exist for a moment, while they are being ended.
_OVERLAP = 16
#: Connections that wait for their first turn at most; an eighth of all where there is less room, so
#: that none is the oldest before it had the turns of a handshake.  The kernel keeps the others.
_BEGINNING = 1024
#: Lines about connections that failed, in a minute.
_LINES = 100


def room_for_connections() -> int:
    """How many connections may be open at once."""
    descriptors, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return descriptors - min(_RESERVED, descriptors // 2)


class Listener:
    """Accepts connections on a listening socket and serves them until it is stopped.

    If more than ``room`` are open, it ends the oldest whose peer has not proved its identity; if
    all have, the oldest of all.  ``on_useless`` is called with each that fails or is ended.
    """

    def __init__(
        self, listening: socket.socket, tls: TLS, judge: Judge, room: int | None = None
    ) -> None:
        self.on_useless: Callable[[Useless, Peer], object] = _ignore
        self._listening = listening
        self._tls = tls
        self._judge = judge
        self._room = room_for_connections() if room is None else room
        self._most = min(_BEGINNING, self._room // 8 + 1)
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        # Both in the order in which they came; the second have proved their identity.
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._proved: dict[asyncio.Task[None], Connection] = {}
        self._failures = Tally(_report_failures, _LINES)
        self._crowds = Tally(_report_crowd)
        self._lacks = Tally(_report_lack)

    @property
    def port(self) -> int:
        """The TCP port that clients connect to."""
        return int(self._listening.getsockname()[1])

    def start(self) -> None:
        """Begin to accept."""
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def renew(self, find: Callable[[socket.socket], socket.socket | None]) -> bool:
        """Continue with the socket that ``find`` returns for the present one: None for no change.

        Connections under way are kept.  Returns whether it changed; raises the errors of ``find``.
        """
        if self._listening.fileno() < 0:
            return False
        fresh = find(self._listening)
        if fresh is not None and fresh is not self._listening:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = fresh
            self.start()
        return fresh is not None

    async def stop(self) -> None:
        """Accept nothing more and end the connections under way; harmless when repeated."""
        if self._listening.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._listening)
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._failures.close()
        self._crowds.close()
        self._lacks.close()

    def _accept(self) -> None:
        for _turn in range(_BATCH):
            if len(self._tasks) > self._room + _OVERLAP or self._turns.beginning >= self._most:
                return  # cancelled connections have to end first, others have to begin
            try:
                sock, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._pause(error)
                return
            self._begin(sock, peer_of(sock, address))

    def _pause(self, error: OSError) -> None:
        """Handle an error of accept: ignore a peer that is gone, pause when descriptors run out."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            log.debug("a connection ended before it began: %s", error.strerror)
            return
        if self._lacks.passes(error.strerror or ""):
            log.error("cannot accept more connections for %g s: %s", _PAUSE, error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening)
        loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        if self._listening.fileno() >= 0:
            self.start()

    def _begin(self, sock: socket.socket, peer: Peer) -> None:
        sock.settimeout(0)
        for option, value in _TCP_OPTIONS:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if len(self._open) + len(self._proved) >= self._room:
            self._make_room(peer)
        connection = Connection(sock, peer, self._tls, self._judge, self._turns)
        task = asyncio.create_task(self._serve(connection, peer))
        self._tasks.add(task)
        self._open[task] = connection
        task.add_done_callback(partial(self._end, connection))

    def _make_room(self, peer: Peer) -> None:
        """End one connection; its descriptor is free after this turn of the loop."""
        victim = self._oldest()
        victim.cancel()
        self.on_useless(Useless.EVICTED, peer)
        if self._crowds.passes(peer.address):
            log.warning(
                "more than %d connections at once: the oldest are ended; the last one is from %s",
                *(self._room, peer.address),
            )

    def _oldest(self) -> asyncio.Task[None]:
        """The oldest connection whose peer has not proved its identity, else the oldest of all."""
        while self._open:
            task = next(iter(self._open))
            connection = self._open.pop(task)
            if not connection.authenticated:
                return task
            self._proved[task] = connection
        task = next(iter(self._proved))
        del self._proved[task]
        return task

    def _end(self, connection: Connection, task: asyncio.Task[None]) -> None:
        """Free the connection, even when its task was cancelled before it began."""
        self._tasks.discard(task)
        self._open.pop(task, None)
        self._proved.pop(task, None)
        connection.close()

    async def _serve(self, connection: Connection, peer: Peer) -> None:
        try:
            await connection.serve()
        except PeerError as error:
            self.on_useless(Useless.FAILED, peer)
            if self._failures.passes(peer.address):
                log.info("%s: %s", peer, error)
        except Exception:
            # one connection's defect must never stop the others
            log.exception("%s: internal error", peer)


def _ignore(_kind: Useless, _peer: Peer) -> None:
    """Default for ``on_useless``."""


def _report_failures(times: int, address: str) -> None:
    log.warning("%d more connections failed in a minute, most of them from %s", times, address)


def _report_lack(times: int, cause: str) -> None:
    log.error("could not take connections %d more times in a minute: %s", times, cause)


def _report_crowd(times: int, address: str) -> None:
    log.warning(
        "too many connections: %d more were ended in a minute; most came from %s", times, address
    )
