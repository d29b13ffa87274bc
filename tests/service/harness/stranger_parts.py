# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The common parts of programs that play strangers: packets, a socket, servers that lie."""

from __future__ import annotations

import asyncio
import socket
import struct

from mandos.server.life.sealed_secret import SealedSecret

CARD = "eth0"
RECORD = struct.Struct("!2HIH")
HEADER = struct.Struct("!6H")
PTR, TXT, AAAA, SRV = 12, 16, 28, 33


def name(*labels: str) -> bytes:
    """Encode a name, without pointers."""
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    """A record that replaces others of its name and kind."""
    return owner + RECORD.pack(kind, 0x8001, 120, len(data)) + data


def server(label: str, target: bytes, port: int) -> bytes:
    """The SRV record of a server."""
    data = struct.pack("!3H", 0, 0, port) + target
    return record(name(label, "_mandos", "_tcp", "local"), SRV, data)


def mdns_socket() -> socket.socket:
    """A socket at the port of mDNS, beside others."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sock.bind(("", 5353))
    return sock


class Judge:
    """Hangs (``hang``), or sends the same secret to every client; ``asked`` counts them."""

    def __init__(self, way: str, secret: bytes) -> None:
        self._way = way
        self._secret = secret
        self.asked = 0

    async def judge(self, *_who: object) -> SealedSecret | None:
        """Hang, or send."""
        self.asked += 1
        if self._way == "hang":
            await asyncio.Event().wait()
        return SealedSecret(self._secret)

    def describe(self, *_who: object) -> bytes | None:
        """Describe no client."""
        return None

    def delivered(self, *_who: object) -> None:
        """It does not care."""

    undelivered = delivered
