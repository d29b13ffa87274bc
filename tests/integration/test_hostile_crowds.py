# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of hostile connections, and the three kinds of refusal, at the program mandos."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import select
import socket
import statistics
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from asking import ask
from programs import Program

from mandos.errors import PeerError
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.keys import generate_tls_key, key_id_of_public_pem
from mandos.tls.session import Session, WouldBlock
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Key = tuple[bytes, bytes]

SECRET = b"an encrypted password"
#: What else belongs to the sections of the clients that are refused.
REFUSED = {"disabled": "enabled = no\n", "denied": "approved_by_default = no\n"}
#: The most memory, in KiB, for connections that wait for their first turn: 1024 of them at most.
#: Connections that left 4 KiB behind each would exceed it.
GROWTH = 16 * 1024
#: Connections before the first look at the memory: then every kind has come many times.
FIRST = 1000
#: Times that each kind of refusal is measured.
TIMES = 40
#: The slowest kind of refusal may take so many times as long as the fastest.
ALIKE = 3.0


class Running:
    """A server with one healthy client, one that is disabled, and one that is always denied."""

    def __init__(self, program: Program, port: int, keys: dict[str, Key]) -> None:
        self.program, self.port, self.keys = program, port, keys
        assert program.process.stderr
        program.wait_for("serving 3 clients")
        self._reader = threading.Thread(target=program.process.stderr.read)
        self._reader.start()

    def close(self) -> None:
        """End the server."""
        self.program.end()
        self._reader.join()

    @property
    def peak(self) -> int:
        """The most memory that the server has held until now, in KiB: proc(5), VmHWM."""
        status = Path(f"/proc/{self.program.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1])

    def ask(self, key: Key) -> bytes:
        """Ask as an honest client does."""
        return ask(("::1", self.port, 0), key)


@pytest.fixture
def running() -> Iterator[Running]:
    """A server on a port of its own."""
    keys = {name: generate_tls_key("ed25519") for name in ("well", *REFUSED)}
    secret = base64.b64encode(SECRET).decode()
    sections = [
        f"[{name}]\nkey_id = {key_id_of_public_pem(key[1])}\nsecret = {secret}\n"
        f"checker = true\n{REFUSED.get(name, '')}"
        for name, key in keys.items()
    ]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        conf = folder / "clients.conf"
        conf.write_text("\n".join(sections), encoding="utf-8")
        conf.chmod(0o600)
        listening = stack.enter_context(
            socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=1024)
        )
        number = listening.fileno()
        options = ("--no-zeroconf", "--no-dbus", "--socket", str(number))
        program = stack.enter_context(Program(folder, *options, descriptors=(number,)))
        stack.enter_context(
            contextlib.closing(server := Running(program, listening.getsockname()[1], keys))
        )
        yield server


def _closes(_sock: socket.socket) -> None:
    """Say nothing."""


def _resets(sock: socket.socket) -> None:
    """Leave with a reset: socket(7), SO_LINGER."""
    sock.sendall(grammar.GREETING)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _no_greeting(sock: socket.socket) -> None:
    sock.sendall(os.urandom(200))


def _garbage(sock: socket.socket) -> None:
    sock.sendall(grammar.GREETING + os.urandom(1000))
    sock.shutdown(socket.SHUT_WR)


def _endless_record(sock: socket.socket) -> None:
    """A record of handshake that says that it is the largest, and stops in the middle."""
    sock.sendall(grammar.GREETING + b"\x16\x03\x03\x40\x00" + bytes(5000))
    sock.shutdown(socket.SHUT_WR)


def _half_a_line(sock: socket.socket) -> None:
    sock.sendall(grammar.GREETING[:-1])
    sock.shutdown(socket.SHUT_WR)


HOSTILE: tuple[Callable[[socket.socket], None], ...] = (
    _closes, _resets, _no_greeting, _garbage, _endless_record, _half_a_line,
)  # fmt: skip


@pytest.mark.parametrize("count", [4000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_hostile_connections_leave_no_memory_behind(running: Running, count: int) -> None:
    """Each goes its way alone or with a hundred others, and the server is as large as before."""
    _attack(running.port, FIRST)
    before = running.peak
    _attack(running.port, count)
    assert running.ask(running.keys["well"]) == SECRET
    assert running.peak <= before + GROWTH


def _attack(port: int, count: int) -> None:
    for first in range(0, count, 100):
        with contextlib.ExitStack() as stack:
            for number in range(first, min(first + 100, count)):
                sock = stack.enter_context(socket.create_connection(("::1", port), timeout=60))
                with contextlib.suppress(OSError):  # the server may have ended it already
                    HOSTILE[number % len(HOSTILE)](sock)


def test_unknown_disabled_and_denied_look_alike(running: Running) -> None:
    """A holder of a key cannot see from bytes or time which of the three he met.

    The times begin when the handshake is over, and the kinds take turns; a median that is
    different by more than ALIKE would need work, or a wait, that only one kind has.
    """
    keys = {"unknown": generate_tls_key("ed25519")} | {name: running.keys[name] for name in REFUSED}
    for key in keys.values():
        with pytest.raises(PeerError, match="closed the connection without a secret"):
            running.ask(key)
    taken: dict[str, list[float]] = {name: [] for name in keys}
    endings = set()
    for _turn in range(TIMES):
        for name, key in keys.items():
            seconds, ending = _refused(running.port, key)
            taken[name].append(seconds)
            endings.add(ending)
    assert len(endings) == 1
    medians = {name: statistics.median(times) for name, times in taken.items()}
    assert max(medians.values()) <= ALIKE * min(medians.values()), medians


def _refused(port: int, key: Key) -> tuple[float, bytes]:
    """The seconds from the end of the handshake to the end, and what came in clear and hidden."""
    credentials = Credentials()
    credentials.load_raw_key(key[1], key[0])
    with socket.create_connection(("::1", port), timeout=60) as sock:
        sock.sendall(grammar.GREETING)
        sock.settimeout(0)
        priority = Priority(grammar.PRIORITY)
        with contextlib.closing(
            Session(priority, credentials, sock.fileno(), is_server=True)
        ) as session:
            _patiently(sock, session.handshake)
            began = time.perf_counter()
            data = _patiently(sock, session.receive)
            return time.perf_counter() - began, bytes(data or b"")


def _patiently(sock: socket.socket, call: Callable[[], bytes | None]) -> bytes | None:
    while True:
        try:
            return call()
        except WouldBlock:
            select.select([sock], [], [], 60)
