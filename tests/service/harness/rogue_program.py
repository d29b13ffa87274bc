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
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.stranger_parts import (
    AAAA,
    CARD,
    HEADER,
    PTR,
    RECORD,
    Judge,
    mdns_socket,
    name,
    record,
    server,
)
from mandos.server.requests.connection import TLS
from mandos.server.requests.listener import Listener
from mandos.tls.credentials import Credentials, Priority
from mandos.wire import grammar

FIRST_PORT = 20000
_TARGET = name("rogue", "local")


def _announcement(ports: list[int], address: bytes) -> bytes:
    records = [server(f"M{port:x}", _TARGET, port) for port in ports]
    records.append(record(_TARGET, AAAA, address))
    return HEADER.pack(0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def _dear() -> bytes:
    """A name of 126 labels, and as many pointers to it as a message takes."""
    head = b"\x01a" * 126 + b"\0" + RECORD.pack(16, 1, 1, 0)
    one = b"\xc0\x0c" + RECORD.pack(PTR, 1, 1, 2) + b"\xc0\x0c"
    return HEADER.pack(0, 0x8400, 0, 501, 0, 0) + head + one * 500


def _own_address() -> bytes:
    rows = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    return bytes.fromhex(next(row[0] for row in rows if row[5] == CARD and row[0][:4] == "fe80"))


async def _announce(way: str, count: int, pause: float) -> None:
    sock, address = mdns_socket(), _own_address()
    group = ("ff02::fb", 5353, 0, socket.if_nametoindex(CARD))
    for turn in itertools.count():
        first = FIRST_PORT + (turn * count % 40000 if way == "ports" else 0)
        ports = list(range(first, first + count))
        packet = _dear() if way == "names" else _announcement(ports, address)
        with contextlib.suppress(BlockingIOError):
            sock.sendto(packet, group)
        await asyncio.sleep(pause)


def _secret(file: str) -> bytes:
    return Path(file).read_bytes() if file else bytes(16 << 20)


async def _main(way: str, count: str, pause: str, file: str = "") -> None:
    tls = TLS(Priority(grammar.PRIORITY), Credentials())
    judge = Judge(way, _secret(file))
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
