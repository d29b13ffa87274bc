# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that ask a server on this host: ``crowd_program.py PORT FOLDER [NAME…]``.

Those that are named ask once; otherwise all that have keys in the folder ask in turn, for ever.
One process for all, since thousands of requests are to be made; it speaks the protocol by itself,
over the product's TLS room.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session, TLSError, WouldBlock
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")

THREADS = 3
#: Seconds between two requests of a thread, so that the machine has time for others.
PAUSE = 0.02
#: Seconds that a server may take for anything.
PATIENCE = 20.0


class Client:
    """A client with its keys, and the secret that it ought to get."""

    def __init__(self, folder: Path, name: str, patience: float = PATIENCE) -> None:
        self.name = name
        self._patience = patience
        self._secret = (folder / f"{name}.secret").read_bytes()
        self._credentials = Credentials()
        public, private = (folder / f"{name}.{ending}" for ending in ("pub", "key"))
        self._credentials.load_raw_key(public.read_bytes(), private.read_bytes())

    def ask(self, port: int, address: str = "::1") -> str:
        """What it gets: ``got``, ``nothing``, ``part`` or ``wrong``; raises OSError or TLSError."""
        with socket.create_connection((address, port), timeout=self._patience) as sock:
            sock.sendall(grammar.GREETING)
            sock.settimeout(0)
            data = self._received(sock)
        if data == self._secret:
            return "got"
        if self._secret.startswith(data):
            return "part" if data else "nothing"
        return "wrong"

    def _received(self, sock: socket.socket) -> bytes:
        priority = Priority(grammar.PRIORITY)
        with contextlib.closing(
            Session(priority, self._credentials, sock.fileno(), is_server=True)
        ) as session:
            _patiently(sock, session, session.handshake, self._patience)
            data = b""
            try:
                while piece := _patiently(sock, session, session.receive, self._patience):
                    data += piece
            except (OSError, TLSError):
                if not data:
                    raise  # else the server was killed or paused when it had sent the secret
            return data


def _patiently(
    sock: socket.socket, session: Session, call: Callable[[], _Result], seconds: float
) -> _Result:
    while True:
        try:
            return call()
        except WouldBlock:
            writing, reading = ([sock], []) if session.wants_write else ([], [sock])
            if not any(select.select(reading, writing, [], seconds)):
                raise TimeoutError from None


def _for_ever(port: int, clients: list[Client]) -> None:
    while True:
        client = random.choice(clients)  # noqa: S311 - no secret
        with contextlib.suppress(OSError, TLSError):  # the server is being killed all the time
            _tell(client.ask(port), client)
        time.sleep(PAUSE)


def _tell(outcome: str, client: Client) -> None:
    """In one piece, whatever other threads print."""
    print(f"{outcome} {client.name}\n", end="", flush=True)  # noqa: T201 - it is a program


def main() -> None:
    """Ask."""
    port, folder, names = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    for name in names:
        client = Client(folder, name)
        _tell(client.ask(port), client)
    if names:
        return
    clients = [Client(folder, path.stem) for path in sorted(folder.glob("*.key"))]
    threads = [threading.Thread(target=_for_ever, args=(port, clients)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
