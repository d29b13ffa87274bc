# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers that want a server's time: ``hostile_program.py KIND ADDRESS PORT COUNT``.

COUNT of them connect again and again, until the program is killed.  Kinds:

``keys``      show an RSA key with an exponent of 4096 bits
``unknown``   finish the handshake with a key that no client has
``messages``  begin a handshake message of 16 MiB, and send it as long as the server takes it
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import sys
import threading
from typing import TYPE_CHECKING

from harness.hostile_keys import expensive_key
from mandos.tls import keys
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session, TLSError, WouldBlock
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable

    Attack = Callable[[socket.socket], None]

#: Seconds that a server may take for anything.
PATIENCE = 20.0
#: A record of TLS 1.2 with the most that one may carry (RFC 8446, section 5.1), and the beginning
#: of a ServerHello of 16 MiB less one byte.
_RECORD = b"\x16\x03\x03\x40\x00"
_BEGIN = b"\x02\xff\xff\xff"


def _shake_hands(key: tuple[bytes, bytes]) -> Attack:
    """A stranger with this key, private and public."""

    def attack(sock: socket.socket) -> None:
        sock.settimeout(0)
        credentials = Credentials()
        credentials.load_raw_key(key[1], key[0])
        session = Session(Priority(grammar.PRIORITY), credentials, sock.fileno(), is_server=True)
        with contextlib.closing(session):
            while True:
                try:
                    session.handshake()
                    session.receive()
                except WouldBlock:
                    if not select.select([sock], [], [], PATIENCE)[0]:
                        return
                else:
                    return

    return attack


def _send_message(sock: socket.socket) -> None:
    """Send one handshake message without end, after the server's ClientHello."""
    sock.recv(1 << 14)
    sock.sendall(_RECORD + _BEGIN.ljust(1 << 14, b"\0"))
    while True:
        sock.sendall(_RECORD + bytes(1 << 14))


def _for_ever(address: tuple[str, int], attack: Attack) -> None:
    for number in itertools.count():
        with (
            contextlib.suppress(OSError, TLSError),  # the server ends it, or is down
            socket.create_connection(address, timeout=PATIENCE) as sock,
        ):
            sock.sendall(grammar.GREETING)
            attack(sock)
        if number == 0:
            print("ready", flush=True)  # noqa: T201 - it is a program


def main() -> None:
    """Attack until killed."""
    kind, host, port, count = sys.argv[1:]
    attacks: dict[str, Callable[[], Attack]] = {
        "keys": lambda: _shake_hands(expensive_key()),
        "unknown": lambda: _shake_hands(keys.generate_tls_key("ed25519")),
        "messages": lambda: _send_message,
    }
    attack = attacks[kind]()
    for _stranger in range(int(count)):
        threading.Thread(target=_for_ever, args=((host, int(port)), attack)).start()


if __name__ == "__main__":
    main()
