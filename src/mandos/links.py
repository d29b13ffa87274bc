# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's network links, as the kernel reports them and their changes: rtnetlink(7).

:class:`LinkTable` reads the kernel's messages and uses no socket; :class:`Links` is the
socket.  Messages are bounded by their datagram; malformed messages are skipped.
Early boot uses it: cheap imports only.
"""

from __future__ import annotations

import errno
import os
import struct

from mandos.errors import MachineError
from mandos.lean_stdlib import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DATAGRAM = 1 << 16  # bytes; the kernel's parts of a listing have at most half of that
_BATCH = 256  # datagrams read before others get their turn

# From linux/netlink.h, see netlink(7).
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port ID
_ERROR, _DONE = 2, 3
_REQUEST, _LISTING_BROKEN, _LIST_ALL = 0x1, 0x10, 0x300
_NUMBER = struct.Struct("=i")

# From linux/rtnetlink.h and linux/if_link.h, see rtnetlink(7).
_NEW_LINK, _DELETED_LINK, _GET_LINK, _NEW_ADDRESS, _DELETED_ADDRESS = 16, 17, 18, 20, 21
_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 addresses, IPv6 addresses
_ABOUT = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change mask
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ATTRIBUTE_KINDS = 0x3FFF  # without the flags "nested" and "byte order"
_NAME, _EXTRA, _PROPERTIES, _OTHER_NAME = 3, 29, 52, 53
_SKIP_STATISTICS = struct.pack("=HHI", 8, _EXTRA, 0x8)

# From linux/if.h, see netdevice(7).
_UP, _BROADCAST, _LOOPBACK, _POINT_TO_POINT, _RUNNING, _NOARP = 0x1, 0x2, 0x8, 0x10, 0x40, 0x80
_LOOKED_AT = _UP | _BROADCAST | _LOOPBACK | _POINT_TO_POINT | _RUNNING | _NOARP


class Link:
    """One network interface: its index, its names (the first is the proper one), its flags."""

    __slots__ = ("flags", "index", "names")

    def __init__(self, index: int, names: tuple[str, ...], flags: int) -> None:
        """Keep those of the flags of netdevice(7) that have a property here."""
        self.index = index
        self.names = names
        self.flags = flags & _LOOKED_AT

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Link) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        return f"Link{self._parts()}"

    def _parts(self) -> tuple[int, tuple[str, ...], int]:
        return self.index, self.names, self.flags

    @property
    def name(self) -> str:
        """The proper name."""
        return self.names[0]

    @property
    def up(self) -> bool:
        """Whether an administrator has switched it on."""
        return bool(self.flags & _UP)

    @property
    def running(self) -> bool:
        """Whether it can carry packets: it is up and there is a cable, a network, a peer."""
        return bool(self.flags & _RUNNING)

    @property
    def loopback(self) -> bool:
        """Whether it leads back to this machine."""
        return bool(self.flags & _LOOPBACK)

    @property
    def broadcast(self) -> bool:
        """Whether it can reach all its neighbours at once."""
        return bool(self.flags & _BROADCAST)

    @property
    def point_to_point(self) -> bool:
        """Whether it has one neighbour only."""
        return bool(self.flags & _POINT_TO_POINT)

    @property
    def noarp(self) -> bool:
        """Whether it does without address resolution."""
        return bool(self.flags & _NOARP)


class LinkTable:
    """The links by index, kept up to date by the kernel's messages.

    A listing that is under way is put in force when it is complete, so links that have gone
    unnoticed go with it.  :meth:`request` says when one has to be asked for.
    """

    __slots__ = ("_listing", "_sequence", "_stale", "changed", "links")

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}
        #: Set by every change of a link or of an address; the reader clears it.
        self.changed = False
        self._listing: dict[int, Link] | None = None
        self._sequence = 0
        self._stale = True

    def request(self) -> bytes | None:
        """The request for a listing, if one is needed and none is under way."""
        if not self._stale or self._listing is not None:
            return None
        self._stale, self._listing = False, {}
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        body = _ABOUT.pack(0, 0, 0, 0, 0) + _SKIP_STATISTICS
        length = _HEADER.size + len(body)
        return _HEADER.pack(length, _GET_LINK, _REQUEST | _LIST_ALL, self._sequence, 0) + body

    def lost(self) -> None:
        """Note that messages of the kernel were lost: this table may be wrong."""
        self._stale = True

    def receive(self, datagram: bytes) -> None:
        """Read the kernel's messages.  Raises MachineError when it refuses to list the links."""
        for kind, flags, sequence, body in messages(datagram):
            if kind in (_NEW_LINK, _DELETED_LINK):
                self._note(body, deleted=kind == _DELETED_LINK)
            elif kind in (_NEW_ADDRESS, _DELETED_ADDRESS):
                self.changed = True
            if sequence != self._sequence or self._listing is None:
                continue
            if flags & _LISTING_BROKEN:
                self.lost()
            if kind in (_DONE, _ERROR):
                self._end_listing(self._listing, body)

    def _note(self, body: memoryview, *, deleted: bool) -> None:
        if len(body) < _ABOUT.size:
            return
        family, _type, index, flags, _mask = _ABOUT.unpack_from(body)
        if family != socket.AF_UNSPEC:  # a bridge tells of its ports in its own family
            return
        names = () if deleted else _names(body[_ABOUT.size :])
        if index in self.links:
            names = names or self.links[index].names  # a wireless event has none
        link = Link(index, names, flags) if names and not deleted else None
        for table in (self.links, self._listing):
            if table is not None and table.get(index) != link:
                _set(table, index, link)
                self.changed = self.changed or table is self.links

    def _end_listing(self, listing: dict[int, Link], body: memoryview) -> None:
        self._listing = None
        code = -_NUMBER.unpack_from(body)[0] if len(body) >= _NUMBER.size else 0
        if code:
            raise MachineError(f"the kernel does not list the network links: {_reason(code)}")
        if self.links != listing:
            self.links, self.changed = listing, True


class Links:
    """The machine's links, followed from now on; not usable by several threads."""

    __slots__ = ("_socket", "_table")

    def __init__(self) -> None:
        """Open the socket and ask for the first listing, which the next update will read.

        Raises MachineError where no netlink socket is to be had.
        """
        self._table = LinkTable()
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        except OSError as error:
            raise _unusable(error) from error
        try:
            self._socket.bind((0, _GROUPS))
            self._ask()
        except OSError as error:
            self._socket.close()
            raise _unusable(error) from error

    @property
    def by_index(self) -> dict[int, Link]:
        """The links, as of the last update."""
        return self._table.links

    def named(self, name: str) -> Link | None:
        """The link with this name, proper or not."""
        return next((link for link in self.by_index.values() if name in link.names), None)

    def fileno(self) -> int:
        """The descriptor to wait at until it can be read; -1 after the end."""
        return self._socket.fileno()

    def update(self) -> bool:
        """Read all waiting messages; True when a link, or some link's addresses, have changed.

        Raises MachineError when the kernel no longer reports changes; then close it.
        """
        try:
            for _turn in range(_BATCH):
                if not self._read():
                    break
        except OSError as error:
            raise _unusable(error) from error
        changed, self._table.changed = self._table.changed, False
        return changed

    def close(self) -> None:
        """End; harmless when repeated."""
        self._socket.close()

    def _read(self) -> bool:
        """Read a datagram; False when there is none."""
        try:
            datagram, _control, flags, source = self._socket.recvmsg(_DATAGRAM)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._table.lost()
        else:
            if source[0] == 0:  # from the kernel, not from another program
                self._table.receive(datagram)
                if flags & socket.MSG_TRUNC:
                    self._table.lost()
        self._ask()
        return True

    def _ask(self) -> None:
        request = self._table.request()
        if request is not None:
            self._socket.sendto(request, (0, 0))


def messages(datagram: bytes) -> Iterator[tuple[int, int, int, memoryview]]:
    """Type, flags, sequence number and body of each message that is whole (netlink(7))."""
    rest = memoryview(datagram)
    while len(rest) >= _HEADER.size:
        length, kind, flags, sequence, _port = _HEADER.unpack_from(rest)
        if not _HEADER.size <= length <= len(rest):
            return
        yield kind, flags, sequence, rest[_HEADER.size : length]
        rest = rest[_aligned(length) :]


def attributes(rest: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Kind and value of each attribute that is whole (rtnetlink(7))."""
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if not _ATTRIBUTE.size <= length <= len(rest):
            return
        yield kind & _ATTRIBUTE_KINDS, rest[_ATTRIBUTE.size : length]
        rest = rest[_aligned(length) :]


def _names(found: memoryview) -> tuple[str, ...]:
    """The proper name of a link, then its other ones; nothing when it has no proper one."""
    proper, others = "", []
    for kind, value in attributes(found):
        if kind == _NAME:
            proper = _text(value)
        elif kind == _PROPERTIES:
            others += [_text(one) for kind, one in attributes(value) if kind == _OTHER_NAME]
    return (proper, *others) if proper else ()


def _text(value: memoryview) -> str:
    return os.fsdecode(bytes(value).partition(b"\0")[0])


def _aligned(length: int) -> int:
    return length + 3 & ~3


def _set(table: dict[int, Link], index: int, link: Link | None) -> None:
    if link is None:
        table.pop(index, None)
    else:
        table[index] = link


def _reason(code: int) -> str:
    """The meaning of an error number; hostile ones are no C integers."""
    return os.strerror(code) if 0 < code < 1 << 12 else f"error {code}"


def _unusable(error: OSError) -> MachineError:
    return MachineError(f"cannot follow the network links: {error.strerror}")
