# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that misbehave on purpose, each connection in a thread of its own."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from mandos.client.unprivileged.search import Target
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session, TLSError, WouldBlock
from mandos.wire import grammar

Result = TypeVar("Result")
Behaviour = Callable[[socket.socket, threading.Event], None]


class BadServer:
    """Listens on a port of its own; ``asked`` counts connections, ``over`` ends them all."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.asked = 0
        self.over = threading.Event()
        self._behaviour = behaviour
        self._listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
        self.port = int(self._listening.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def target(self) -> Target:
        """What a search would find."""
        return Target("::1", self.port)

    def close(self) -> None:
        """End every connection and the server itself."""
        self.over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _address = self._listening.accept()
            except OSError:
                return
            self.asked += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, TLSError):
            self._behaviour(sock, self.over)


@contextlib.contextmanager
def bad_server(behaviour: Behaviour) -> Iterator[BadServer]:
    """A server that behaves so, ended at the end."""
    server = BadServer(behaviour)
    try:
        yield server
    finally:
        server.close()


def silent(_sock: socket.socket, over: threading.Event) -> None:
    """Accept, and never say a word."""
    over.wait()


def hangs_up(_sock: socket.socket, _over: threading.Event) -> None:
    """Close at once."""


def web_server(sock: socket.socket, _over: threading.Event) -> None:
    """Answer the greeting as a web server does."""
    sock.recv(100)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    sock.recv(100)


def sends(data: bytes, *, then: Callable[[threading.Event], object] | None = None) -> Behaviour:
    """Hold the conversation properly, but send this; ``then`` may hold the connection open."""

    def behave(sock: socket.socket, over: threading.Event) -> None:
        sock.recv(len(grammar.GREETING), socket.MSG_WAITALL)
        sock.settimeout(0)
        with contextlib.closing(_session(sock)) as session:
            _patiently(sock, session, session.handshake, over)
            rest = memoryview(data)
            while rest:
                rest = rest[_patiently(sock, session, partial(session.send, rest), over) :]
            if then:
                then(over)
            _patiently(sock, session, session.say_goodbye, over)

    return behave


def endless(sock: socket.socket, over: threading.Event) -> None:
    """Send for as long as anybody listens."""
    sends(bytes(1 << 20) * 100)(sock, over)


def _session(sock: socket.socket) -> Session:
    return Session(Priority(grammar.PRIORITY), Credentials(), sock.fileno(), is_server=False)


def _patiently(
    sock: socket.socket, session: Session, call: Callable[[], Result], over: threading.Event
) -> Result:
    while not over.is_set():
        try:
            return call()
        except WouldBlock:
            writing, reading = ([sock], []) if session.wants_write else ([], [sock])
            select.select(reading, writing, [], 0.1)
    raise ConnectionAbortedError
