# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps so many connections open and replaces those that the server ends, until it is killed.

``strangers.py silent|garbage ADDRESS PORT COUNT``.  Silent ones send nothing; the others send
random bytes, half of them after a right greeting.  Prints "ready" when the first COUNT are open.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys

GREETING = b"1\r\n"
_GARBAGE = 1024


class Strangers:
    """The connections of one attacker."""

    def __init__(self, address: tuple[str, int], *, silent: bool) -> None:
        self._address = address
        self._silent = silent
        self._opened = 0
        self._selector = selectors.DefaultSelector()

    def attack(self, count: int) -> None:
        """Keep so many connections open without end."""
        for _number in range(count):
            self._open()
        print("ready", flush=True)
        while True:
            for key, events in self._selector.select():
                self._attend(key.data, events)

    def _open(self) -> None:
        sock = socket.create_connection(self._address)
        sock.settimeout(0)
        self._opened += 1
        events = selectors.EVENT_READ if self._silent else selectors.EVENT_WRITE
        self._selector.register(sock, events, sock)

    def _attend(self, sock: socket.socket, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                sock.send(GREETING * (self._opened % 2) + os.urandom(_GARBAGE))
                self._selector.modify(sock, selectors.EVENT_READ, sock)
            elif sock.recv(_GARBAGE):
                return
            else:
                self._replace(sock)
        except OSError:
            self._replace(sock)

    def _replace(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()
        self._open()


if __name__ == "__main__":
    kind, host, port, many = sys.argv[1:]
    Strangers((host, int(port)), silent=kind == "silent").attack(int(many))
