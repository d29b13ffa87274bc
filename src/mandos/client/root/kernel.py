# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root's requests to the kernel: interfaces on and off, routes (rtnetlink(7)), settings in /proc.

Interfaces are meant by their index, so that a rename in between does no harm.
"""

from __future__ import annotations

import errno
import os
import struct

from mandos.lean_stdlib import socket

# From linux/netlink.h, linux/rtnetlink.h and linux/if.h.
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port ID
_ERROR = 2
_REQUEST, _ACKNOWLEDGE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400
_NEW_LINK, _NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 16, 24, 25, 26
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change mask
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_NUMBER = struct.Struct("=i")
_DESTINATION, _OUT = 1, 4
_UP = 0x1
_WHOLE_ROUTE = 0x2000  # a flag of a question for a route: answer with the entry of the table
_MAIN_TABLE, _BY_BOOT, _ON_LINK, _UNICAST = 254, 3, 253, 1
_ANSWER_LIMIT = 1 << 16
#: Seconds for an answer, which the kernel gives before the request returns.
_PATIENCE = 5.0


class Kernel:
    """A socket for requests that the kernel acknowledges; OSError says why it does not."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.settimeout(_PATIENCE)
        self._sequence = 0

    def switch_on(self, interface: int) -> None:
        """Switch an interface on."""
        self._request(_NEW_LINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, interface, _UP, _UP))

    def switch_off(self, interface: int) -> None:
        """Switch an interface off."""
        self._request(_NEW_LINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, interface, 0, _UP))

    def add_route(self, address: bytes, interface: int) -> None:
        """Reach one host (packed address) over an interface; FileExistsError if it has a route."""
        self._request(_NEW_ROUTE, _CREATE | _EXCLUSIVE, _host_route(address, interface))

    def has_route(self, address: bytes) -> bool:
        """Whether a route is meant for this host or its network, even one that forbids it.

        A default route does not count: the router may know no way, and the host be a neighbour.
        """
        bits, family = len(address) * 8, _family(address)
        asked = _ROUTE.pack(family, bits, 0, 0, 0, 0, 0, 0, _WHOLE_ROUTE)
        try:
            told = self._request(_GET_ROUTE, 0, asked + _attribute(_DESTINATION, address))
        except OSError as error:
            return error.errno != errno.ENETUNREACH
        return len(told) <= _HEADER.size + 1 or told[_HEADER.size + 1] > 0  # the prefix's length

    def remove_route(self, address: bytes, interface: int) -> None:
        """Take such a route away."""
        self._request(_DELETE_ROUTE, 0, _host_route(address, interface))

    def close(self) -> None:
        """Close the socket; the settings stay."""
        self._socket.close()

    def _request(self, kind: int, flags: int, body: bytes) -> bytes:
        """Return the kernel's message before its acknowledgement of the request; empty if none."""
        self._sequence += 1
        length = _HEADER.size + len(body)
        flags |= _REQUEST | _ACKNOWLEDGE
        message = _HEADER.pack(length, kind, flags, self._sequence, 0) + body
        self._socket.sendto(message, (0, 0))
        told = b""
        while not self._is_answered(datagram := self._socket.recv(_ANSWER_LIMIT)):
            told = datagram
        return told

    def _is_answered(self, datagram: bytes) -> bool:
        _length, kind, _flags, sequence, _port = _HEADER.unpack_from(datagram)
        if (kind, sequence) != (_ERROR, self._sequence):
            return False
        code = -_NUMBER.unpack_from(datagram, _HEADER.size)[0]
        if code:
            raise OSError(code, os.strerror(code))
        return True


def _host_route(address: bytes, interface: int) -> bytes:
    bits = len(address) * 8
    return (
        _ROUTE.pack(_family(address), bits, 0, 0, _MAIN_TABLE, _BY_BOOT, _ON_LINK, _UNICAST, 0)
        + _attribute(_DESTINATION, address)
        + _attribute(_OUT, _NUMBER.pack(interface))
    )


def _family(address: bytes) -> int:
    if len(address) not in (4, 16):
        raise OSError(errno.EAFNOSUPPORT, "no such address family")
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def read_setting(path: str) -> bytes:
    """A setting of the kernel's; nothing where there is none."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is expensive at boot
            return file.read(100)
    except OSError:
        return b""


def write_setting(path: str, value: bytes) -> None:
    """Change a setting, where the kernel lets us."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(file, value)
    except OSError:
        pass
    finally:
        os.close(file)
