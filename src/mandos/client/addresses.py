# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the addresses of this machine's interfaces, as the kernel reports them: rtnetlink(7).

The kernel also reports whether it made an address itself (for the link, or from a router's
announcement): IFA_PROTO, which Linux has from 5.18 on.  Loaded where it is needed.
"""

from __future__ import annotations

import struct

from mandos.lean_stdlib import socket
from mandos.links import attributes, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# From linux/netlink.h, linux/rtnetlink.h and linux/if_addr.h.
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port ID
_ERROR, _DONE, _NEW_ADDRESS, _GET_ADDRESS = 2, 3, 20, 22
_REQUEST, _LIST_ALL = 0x1, 0x300
_ABOUT = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix, flags, scope, index
_NUMBER = struct.Struct("=I")
_ADDRESS, _FLAGS, _MADE_BY = 1, 8, 11
_OPTIMISTIC, _UNUSABLE = 0x04, 0x40 | 0x08  # not yet, or not any more: its uniqueness is in doubt
_THE_KERNEL = frozenset((b"\x01", b"\x02", b"\x03"))  # for loopback, by a router, for the link
_DATAGRAM = 1 << 16
#: Datagrams of a listing at most, and seconds for each.
_LIMIT, _PATIENCE = 1 << 10, 5.0


class Address:
    """One address of one interface: ``text`` is packed; ``foreign``: the kernel did not make it."""

    __slots__ = ("foreign", "interface", "packed", "usable")

    def __init__(self, interface: int, packed: bytes, *, usable: bool, foreign: bool) -> None:
        self.interface = interface
        self.packed = packed
        self.usable = usable
        self.foreign = foreign


def addresses() -> list[Address]:
    """All addresses of all interfaces.  Raises OSError when the kernel does not list them."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    listing = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    try:
        listing.settimeout(_PATIENCE)
        length = _HEADER.size + _ABOUT.size
        head = _HEADER.pack(length, _GET_ADDRESS, _REQUEST | _LIST_ALL, 1, 0)
        listing.sendto(head + _ABOUT.pack(0, 0, 0, 0, 0), (0, 0))
        return list(_read(listing))
    finally:
        listing.close()


def _read(listing: socket.socket) -> Iterator[Address]:
    for _turn in range(_LIMIT):
        for kind, _flags, _sequence, body in messages(listing.recv(_DATAGRAM)):
            if kind in (_DONE, _ERROR):
                return
            if kind == _NEW_ADDRESS and len(body) >= _ABOUT.size:
                yield _address(body)


def _address(body: memoryview) -> Address:
    family, _prefix, flags, _scope, interface = _ABOUT.unpack_from(body)
    about = {kind: bytes(value) for kind, value in attributes(body[_ABOUT.size :])}
    if len(about.get(_FLAGS, b"")) == _NUMBER.size:
        flags = _NUMBER.unpack(about[_FLAGS])[0]
    return Address(
        interface,
        about.get(_ADDRESS, b""),
        usable=not flags & _UNUSABLE or bool(flags & _OPTIMISTIC),
        foreign=family != socket.AF_INET6 or about.get(_MADE_BY) not in _THE_KERNEL,
    )
