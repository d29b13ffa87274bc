# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network with one cable, which leads to the virtual machine; nothing else is on it.

It is a network namespace (network_namespaces(7)) with a tap device, and gone when the last process
and the last socket in it are.  Packets of the virtual machine have no way out: only the relays,
which listen inside and connect outside, carry bytes between both.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from mandos import process
from mandos.check import private_root
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable

#: The tap device, and its address on the link.
TAP = "mandos"
ADDRESS = "fe80::4d:616e:646f:73"
_TUN = "/dev/net/tun"
# From linux/if_tun.h.
_SET_INTERFACE, _SET_PERSISTENT, _SET_OWNER = 0x400454CA, 0x400454CB, 0x400454CC
_IS_TAP, _NO_PACKET_INFORMATION = 0x2, 0x1000
_REQUEST = struct.Struct("16sH22x")  # struct ifreq: a name and flags
_TIME = 10.0

_Result = TypeVar("_Result")


class PrivateLink:
    """A network of its own; ``owner`` is the user (number) that may attach a machine to the tap.

    ``do`` calls a function inside of it.  Sockets that are opened there stay there, whoever uses
    them.  One thread is inside until ``close``, so a process that is started there can be bound to
    this thread's life.
    """

    def __init__(self, owner: int) -> None:
        self._inside = ThreadPoolExecutor(max_workers=1)
        try:
            self.do(private_root.leave_the_network)
            self.do(lambda: _make_tap(owner))
            self.index = self.do(lambda: socket.if_nametoindex(TAP))
        except OSError as error:
            self.close()
            raise MachineError(f"no private network can be made: {error}") from error
        except MachineError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(self, work: Callable[[], _Result]) -> _Result:
        """Call a function inside of this network, and return its result."""
        return self._inside.submit(work).result()

    def listen(self) -> socket.socket:
        """A listening TCP socket inside, at any free port of every IPv6 address."""
        return self.do(lambda: socket.create_server(("::", 0), family=socket.AF_INET6))

    def listen_at(self, address: str, port: int) -> socket.socket:
        """A listening TCP socket at an address, which the link's end gets; raises OSError."""
        self.give_address(address)
        if ":" in address:
            where = (address, port, 0, self.index)
            return self.do(lambda: socket.create_server(where, family=socket.AF_INET6))
        return self.do(lambda: socket.create_server((address, port)))

    def give_address(self, address: str) -> None:
        """Let the link's end have an address, from which every other one is a neighbour's."""
        version = "-6" if ":" in address else "-4"
        length, flags = ("128", ["nodad"]) if ":" in address else ("32", [])
        self._ip("address", "replace", f"{address}/{length}", "dev", TAP, *flags)
        self._ip(version, "route", "replace", "default", "dev", TAP)

    def _ip(self, *words: str) -> None:
        self.do(lambda: process.run(["ip", *words], timeout=_TIME).require_success())

    def close(self) -> None:
        """Leave it; harmless when repeated."""
        self._inside.shutdown()


def _make_tap(owner: int) -> None:
    """Make the tap device, with a link-local address, and switch it on: tap(4) of the kernel."""
    tun = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = _IS_TAP | _NO_PACKET_INFORMATION
        fcntl.ioctl(tun, _SET_INTERFACE, _REQUEST.pack(TAP.encode(), flags))
        fcntl.ioctl(tun, _SET_OWNER, owner)
        fcntl.ioctl(tun, _SET_PERSISTENT, 1)
    finally:
        os.close(tun)
    for words in (
        ("link", "set", "dev", TAP, "up"),
        ("address", "add", f"{ADDRESS}/64", "dev", TAP, "nodad"),
    ):
        process.run(["ip", *words], timeout=_TIME).require_success()
