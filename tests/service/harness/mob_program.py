# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers on the link who do everything at once: ``mob_program.py HOSTS FILE [WAY …]``.

Sends at most PACKETS packets and BYTES bytes a second, from HOSTS addresses of eth0 in turn, to the
group and to those who ask.  Half of the packets announce nine servers each, on addresses of these
hosts; a quarter has names that are expensive to read, a quarter many addresses for one name.

A server hangs after the handshake (``hang``), sends 16 MiB (``big``) or the contents of FILE
(``send``), or there is none at its port, which is another one each time (``dead``).  Without a WAY
there are all of them, and each host changes it.  There are at most CONNECTIONS connections of each.

Every second it prints how much it has sent, and how many connections there were of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.stranger_parts import (
    AAAA,
    CARD,
    HEADER,
    RECORD,
    TXT,
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKETS, BYTES, CONNECTIONS = 1000, 1_000_000, 64
PACKET = BYTES // PACKETS
PORTS = {"hang": 20000, "big": 20001, "send": 20002}
WAYS = (*PORTS, "dead")
#: The first of the ports without a server, and how many there are.
DEAD_PORTS = (21000, 40000)
#: Seconds from one look at the clock to the next, and of packets that may be made up for.
PAUSE, CATCH_UP = 0.005, 0.1
_QUERY = 0x8000


def address(number: int) -> str:
    """The address of a host; all are in one multicast group of neighbour discovery."""
    return f"fe80::bad:{number:x}:0:1"


def _packet(records: list[bytes]) -> bytes:
    """A message of the largest size that the budget has room for."""
    body = b"".join(records)
    filler = bytes(PACKET - HEADER.size - len(body) - 1 - RECORD.size)
    body += record(b"\0", TXT, filler)
    return HEADER.pack(0, 0x8400, 0, len(records) + 1, 0, 0) + body


def _host(number: int, target: bytes) -> bytes:
    return record(target, AAAA, socket.inet_pton(socket.AF_INET6, address(number)))


def _announcements(hosts: int, ways: Sequence[str]) -> Iterator[bytes]:
    """As many servers as a packet takes; the kind of a host changes when it comes round."""
    ports = [PORTS.get(way, 0) for way in ways]
    first, dead = DEAD_PORTS
    for turn in itertools.count():
        records: list[bytes] = []
        for count in range(4 * turn, 4 * turn + 9):
            number = count % hosts
            port = ports[(count // hosts + number) % len(ports)] or first + count % dead
            target = name(f"r{number:x}", "local")
            records += [server(f"M{count:x}", target, port), _host(number, target)]
        yield _packet(records)


def _long_names() -> Iterator[bytes]:
    record = b"\x01a" * 126 + b"\0" + RECORD.pack(TXT, 1, 1, 0)
    while True:
        yield _packet([record] * (PACKET // len(record)))


def _many_addresses(hosts: int, port: int) -> Iterator[bytes]:
    target = name("r", "local")
    for turn in itertools.count():
        numbers = [(turn * 20 + count) % hosts for count in range(20)]
        announced = server(f"M{turn:x}", target, port)
        yield _packet([announced, *(_host(number, target) for number in numbers)])


class Sender:
    """Sends packets at the permitted rate, and notes who asks."""

    def __init__(self, hosts: int, ways: Sequence[str]) -> None:
        self.packets = self.bytes = 0
        self._hosts = [socket.inet_pton(socket.AF_INET6, address(n)) for n in range(hosts)]
        announcements = _announcements(hosts, ways)
        kinds = (
            announcements,
            _long_names(),
            announcements,
            _many_addresses(hosts, PORTS.get(ways[0], DEAD_PORTS[0])),
        )
        self._content = (next(kind) for kind in itertools.cycle(kinds))
        self._card = socket.if_nametoindex(CARD)
        self._group = ("ff02::fb", 5353, 0, self._card)
        self._asker = self._group
        self._socket = _open()
        asyncio.get_running_loop().add_reader(self._socket, self._hear)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            packet, source = self._socket.recvfrom(9000)
            if not packet[2] & _QUERY >> 8 and source[1] != self._group[1]:
                self._asker = source

    async def run(self) -> None:
        """Never ends."""
        begin = time.monotonic()
        while True:
            passed = time.monotonic() - begin
            # Packets that could not be sent in time are made up for soon, or not at all.
            behind = int(PACKETS * passed) - self.packets
            if behind > PACKETS * CATCH_UP:
                begin += passed - (self.packets + 1) / PACKETS
                behind = 1
            for _ in range(behind):
                self._send(next(self._content))
            await asyncio.sleep(PAUSE)

    def _send(self, packet: bytes) -> None:
        assert len(packet) <= PACKET, "beyond the budget"
        source = self._hosts[self.packets % len(self._hosts)] + struct.pack("=i", self._card)
        where = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source)
        to = self._asker if self.packets // 4 % 2 else self._group
        self.packets += 1
        with contextlib.suppress(OSError):
            self._socket.sendmsg([packet], [where], 0, to)
            self.bytes += len(packet)


def _open() -> socket.socket:
    sock = mdns_socket()
    group = socket.inet_pton(socket.AF_INET6, "ff02::fb")
    member = group + struct.pack("=i", socket.if_nametoindex(CARD))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    sock.setblocking(False)  # noqa: FBT003 - that is its signature
    return sock


async def _main(hosts: int, message: bytes, ways: Sequence[str]) -> None:
    tls = TLS(Priority(grammar.PRIORITY), Credentials())
    secrets = {"hang": b"-", "big": bytes(16 << 20), "send": message}
    judges = {way: Judge(way, secret) for way, secret in secrets.items()}
    for way, judge in judges.items():
        sock = socket.create_server(("::", PORTS[way]), family=socket.AF_INET6, backlog=64)
        sock.setblocking(False)  # noqa: FBT003 - as above
        Listener(sock, tls, judge, CONNECTIONS).start()
    sender = Sender(hosts, ways or WAYS)
    sending = asyncio.create_task(sender.run())
    print("rogue is ready", flush=True)  # noqa: T201 - this and the next are for the test
    while not sending.done():
        await asyncio.sleep(1)
        asked = " ".join(f"{way} {judge.asked}" for way, judge in judges.items())
        print(f"packets {sender.packets} bytes {sender.bytes} {asked}", flush=True)  # noqa: T201
    await sending


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3:]))
