# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger on the link: ``rogue_program.py WAY COUNT PAUSE [FILE]``.

Announces COUNT servers on eth0 in each PAUSE of so many seconds.  They do this to each client that
comes: ``hang`` after the handshake, send 16 MiB (``big``), send the contents of FILE (``send``); or
there is none, and the announced ports are ever new (``ports``); or each packet is as dear to read
as can be, and announces none (``names``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import sys
from pathlib import Path

from mandos.server.life.sealed_secret import SealedSecret
from mandos.server.requests.connection import TLS
from mandos.server.requests.listener import Listener
from mandos.tls.credentials import Credentials, Priority
from mandos.wire import grammar

CARD = "eth0"
FIRST_PORT = 20000
_RECORD = struct.Struct("!2HIH")
_HEADER = struct.Struct("!6H")
_PTR, _AAAA, _SRV = 12, 28, 33


def _name(*labels: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


_TARGET = _name("rogue", "local")


def _record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + _RECORD.pack(kind, 0x8001, 120, len(data)) + data


def _announcement(ports: list[int], address: bytes) -> bytes:
    records = [
        _record(
            _name(f"M{port:x}", "_mandos", "_tcp", "local"),
            _SRV,
            struct.pack("!3H", 0, 0, port) + _TARGET,
        )
        for port in ports
    ]
    records.append(_record(_TARGET, _AAAA, address))
    return _HEADER.pack(0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def _dear() -> bytes:
    """A name of 126 labels, and as many pointers to it as a message takes."""
    head = b"\x01a" * 126 + b"\0" + _RECORD.pack(16, 1, 1, 0)
    one = b"\xc0\x0c" + _RECORD.pack(_PTR, 1, 1, 2) + b"\xc0\x0c"
    return _HEADER.pack(0, 0x8400, 0, 501, 0, 0) + head + one * 500


def _own_address() -> bytes:
    rows = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    return bytes.fromhex(next(row[0] for row in rows if row[5] == CARD and row[0][:4] == "fe80"))


class Judge:
    """What its servers have for everybody."""

    def __init__(self, way: str, file: str) -> None:
        self._way = way
        self._secret = Path(file).read_bytes() if file else bytes(16 << 20)

    async def judge(self, *_who: object) -> SealedSecret | None:
        """Hang, or send."""
        if self._way == "hang":
            await asyncio.Event().wait()
        return SealedSecret(self._secret)

    def describe(self, *_who: object) -> bytes | None:
        """Describe nobody."""
        return None

    def delivered(self, *_who: object) -> None:
        """It does not care."""

    undelivered = delivered


def _sender() -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sock.bind(("", 5353))
    return sock


async def _announce(way: str, count: int, pause: float) -> None:
    sock, address = _sender(), _own_address()
    group = ("ff02::fb", 5353, 0, socket.if_nametoindex(CARD))
    for turn in itertools.count():
        first = FIRST_PORT + (turn * count % 40000 if way == "ports" else 0)
        ports = list(range(first, first + count))
        packet = _dear() if way == "names" else _announcement(ports, address)
        with contextlib.suppress(BlockingIOError):
            sock.sendto(packet, group)
        await asyncio.sleep(pause)


async def _main(way: str, count: str, pause: str, file: str = "") -> None:
    tls = TLS(Priority(grammar.PRIORITY), Credentials())
    judge = Judge(way, file)
    listeners = []
    for port in range(
        FIRST_PORT, FIRST_PORT + (int(count) if way in {"hang", "big", "send"} else 0)
    ):
        sock = socket.create_server(("::", port), family=socket.AF_INET6, backlog=50)
        sock.setblocking(False)  # noqa: FBT003 - that is its signature
        listeners.append(Listener(sock, tls, judge))
        listeners[-1].start()
    print("rogue is ready", flush=True)  # noqa: T201 - that is for the test
    await _announce(way, int(count), float(pause))


asyncio.run(_main(*sys.argv[1:]))
