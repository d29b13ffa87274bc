# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets of multicast DNS on Linux, and the kernel's news about interfaces.

Per address family there are two sockets for all interfaces.  One *asks*: it sends from a port of
its own, so a responder answers it directly and without delay (RFC 6762 section 6.7).  One *hears*
the group on port 5353, beside any other program that does: announcements, and answers where a
packet filter lets nothing else in.  No rights are needed.  Early boot uses it: cheap imports only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from mandos.discovery.messages import MAX_MESSAGE
from mandos.lean_stdlib import socket

PORT = 5353
GROUP4, GROUP6 = "224.0.0.251", "ff02::fb"

_GROUPS = {socket.inet_aton(GROUP4), socket.inet_pton(socket.AF_INET6, GROUP6)}

_IP_PKTINFO = 8  # linux/in.h; the socket module has no name for it
_PKTINFO4 = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16si")
_IP_RECVTTL, _IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 12, 51, 52  # linux/in.h, linux/in6.h
_NUMBER = struct.Struct("=i")
#: No router can have passed a packet on that still has this many hops to live (RFC 5082).
_ALL_HOPS = 255

_SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFNETMASK = 0x8913, 0x8915, 0x891B  # linux/sockios.h
_UP, _BROADCAST, _LOOPBACK, _POINTOPOINT, _RUNNING, _NOARP = 0x1, 0x2, 0x8, 0x10, 0x40, 0x80
_FLAGS_LOOKED_AT = _UP | _BROADCAST | _LOOPBACK | _POINTOPOINT | _RUNNING | _NOARP
_IF_INET6 = "/proc/net/if_inet6"
_TENTATIVE = 0x40  # linux/if_addr.h


class Channel:
    """Multicast DNS over one address family: send on an interface, receive with the interface."""

    __slots__ = ("asking", "family", "hearing")

    def __init__(self, family: int) -> None:
        """Open both sockets; raise OSError when the kernel lacks the family."""
        self.family = family
        self.asking = _open(family, 0)
        try:
            self.hearing = _open(family, PORT)
        except OSError:
            self.asking.close()
            raise

    @property
    def title(self) -> str:
        """Name of the family, for messages."""
        return "IPv6" if self.family == socket.AF_INET6 else "IPv4"

    def join(self, interface: int) -> None:
        """Hear the group on an interface; raise OSError when the interface cannot."""
        if self.family == socket.AF_INET6:
            member = socket.inet_pton(self.family, GROUP6) + struct.pack("=i", interface)
            level, option = socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP
        else:
            member = socket.inet_aton(GROUP4) + bytes(4) + struct.pack("=i", interface)
            level, option = socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP
        try:
            self.hearing.setsockopt(level, option, member)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # joined already
                raise

    def send(self, packet: bytes, interface: int, *, publicly: bool) -> None:
        """Send a query to the group; raise OSError while the interface cannot.

        ``publicly`` asks once more, from port 5353: then the answer goes to the group, later.
        Every packet has another identifier: the zeroconf library answers the first of equal ones
        only, and that answer may be the one that does not come through.
        """
        if self.family == socket.AF_INET6:
            where = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(bytes(16), interface))
            group: tuple[str, int] = (GROUP6, PORT)
        else:
            if not addresses4(interface):  # the kernel would take another interface's address
                raise OSError(errno.EADDRNOTAVAIL, "no address")
            where = (socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO4.pack(interface, bytes(4), bytes(4)))
            group = (GROUP4, PORT)
        for sender in (self.asking, self.hearing) if publicly else (self.asking,):
            sender.sendmsg([os.urandom(2), packet[2:]], [where], 0, group)

    def receive(self, sock: socket.socket) -> tuple[bytes, int, tuple[str, int]] | None:
        """Return the next packet, its interface and its source (address, port).

        None stands for one to ignore: cut off, or a direct answer from beyond the link
        (RFC 6762 section 11).  Raise BlockingIOError when none is waiting.  A neighbour may answer
        from an address that is in no network of ours; then its hop limit shows that it is one.
        """
        room = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(_NUMBER.size)
        packet, control, flags, source = sock.recvmsg(MAX_MESSAGE, room)
        interface, destination = _packet_information(control)
        address = str(source[0]).partition("%")[0]
        if flags & socket.MSG_TRUNC or not interface:
            return None
        if (
            destination in _GROUPS
            or _hops_left(control) == _ALL_HOPS
            or is_on_link(address, interface)
        ):
            return packet, interface, (address, source[1])
        return None

    def close(self) -> None:
        """Close both sockets, which leaves the groups."""
        self.asking.close()
        self.hearing.close()


def usable_interfaces() -> list[int]:
    """Indexes of the interfaces to browse when none is named.

    Up and running, broadcast-capable, not loopback, not point-to-point, not without ARP.
    """
    return [
        index
        for index, name in socket.if_nameindex()
        if _flags(name) & _FLAGS_LOOKED_AT == _UP | _RUNNING | _BROADCAST
    ]


def is_running(interface: int) -> bool:
    """Whether an interface is up and has a carrier, so that packets can leave."""
    try:
        return _flags(socket.if_indextoname(interface)) & (_UP | _RUNNING) == _UP | _RUNNING
    except OSError:  # gone
        return False


def loopback_interfaces() -> list[int]:
    """Indexes of the loopback interfaces that are up."""
    return [
        index
        for index, name in socket.if_nameindex()
        if _flags(name) & (_UP | _LOOPBACK) == _UP | _LOOPBACK
    ]


def addresses4(interface: int) -> list[tuple[bytes, bytes]]:
    """First IPv4 address of an interface with its netmask, packed; empty when it has none."""
    try:
        name = socket.if_indextoname(interface)
        return [(_ask_kernel(_SIOCGIFADDR, name)[20:24], _ask_kernel(_SIOCGIFNETMASK, name)[20:24])]
    except OSError:
        return []


def addresses6(interface: int) -> list[tuple[bytes, bytes]]:
    """IPv6 addresses of an interface with their netmasks, packed; those not usable yet excepted."""
    try:
        with open(_IF_INET6, "rb") as table:  # noqa: PTH123 - pathlib is expensive at boot
            rows = [line.split() for line in table]
    except OSError:
        return []
    return [
        (bytes.fromhex(row[0].decode()), _netmask6(int(row[2], 16)))
        for row in rows
        if int(row[1], 16) == interface and not int(row[4], 16) & _TENTATIVE
    ]


def is_on_link(address: str, interface: int) -> bool:
    """Tell whether a source belongs to the interface's own link (RFC 6762 section 11)."""
    if ":" in address:
        source = socket.inet_pton(socket.AF_INET6, address)
        if source[0] == 0xFE and source[1] & 0xC0 == 0x80:
            return True
        own = addresses6(interface)
    else:
        source = socket.inet_aton(address)
        own = addresses4(interface)
    return any(_masked(source, mask) == _masked(mine, mask) for mine, mask in own)


def _open(family: int, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sock.bind(("", port))
    except OSError:
        sock.close()
        raise
    return sock


def _packet_information(control: list[tuple[int, int, bytes]]) -> tuple[int, bytes]:
    """Interface and destination address of a received packet (ipv6(7), ip(7))."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            destination, interface = _PKTINFO6.unpack(data)
            return interface, destination
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            interface, _, destination = _PKTINFO4.unpack(data)
            return interface, destination
    return 0, b""


def _hops_left(control: list[tuple[int, int, bytes]]) -> int:
    """Hop limit or time to live of a received packet (ipv6(7), ip(7)); 0 when unknown."""
    kinds = {(socket.IPPROTO_IPV6, _IPV6_HOPLIMIT), (socket.IPPROTO_IP, socket.IP_TTL)}
    told = [data for level, kind, data in control if (level, kind) in kinds]
    return int(_NUMBER.unpack(told[0])[0]) if told else 0


def _ask_kernel(request: int, name: str) -> bytes:
    """One of the netdevice(7) ioctls; the answer is a struct ifreq."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        return fcntl.ioctl(sock, request, struct.pack("16s24x", name.encode()))
    finally:
        sock.close()


def _flags(name: str) -> int:
    try:
        return int.from_bytes(_ask_kernel(_SIOCGIFFLAGS, name)[16:18], "little")
    except OSError:  # gone since it was listed
        return 0


def _netmask6(length: int) -> bytes:
    return ((1 << 128) - (1 << 128 - length)).to_bytes(16, "big")


def _masked(address: bytes, mask: bytes) -> bytes:
    return bytes(a & m for a, m in zip(address, mask, strict=True))
