# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the listening socket that the settings ask for, and reads the address of a peer."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mandos.errors import AdministratorError, MachineError
from mandos.interfaces import interface_index, interface_name

if TYPE_CHECKING:
    from mandos.server.config.server_conf import ServerSettings

log = logging.getLogger(__name__)

_BACKLOG = 1024
_NAME_SIZE = 16  # IFNAMSIZ, netdevice(7)

_IP_PKTINFO, _IP_PKTOPTIONS = 8, 9  # linux/in.h
_IPV6_2292PKTOPTIONS = 6  # linux/in6.h; RFC 2292 section 4.1
_CONTROL = struct.Struct("@Nii")  # struct cmsghdr, cmsg(3)
_INTERFACE = struct.Struct("@i")
_CONTROL_LIMIT = 256


class Peer(NamedTuple):
    """The peer's address: address without port and scope, port, our interface's name.

    An IPv4 address has its own form even over an IPv6 socket.  The interface is the one that the
    connection came in on, "" when the kernel does not report it.
    """

    address: str
    port: int
    interface: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


def open_socket(settings: ServerSettings) -> socket.socket:
    """The listening socket that the settings ask for: their own, an inherited one, or a new one.

    Raises MachineError when the port is taken or the address is not there.
    """
    if settings.socket is not None:
        return _inherited(settings.socket)
    listening = _new(settings)
    try:
        if settings.interface:
            _try_to_bind(listening, settings.interface)
        _configure(listening, settings)
    except BaseException:
        listening.close()
        raise
    return listening


def follow_interface(settings: ServerSettings, listening: socket.socket) -> socket.socket | None:
    """The socket to go on with when the interface of the settings has come, or come back.

    A socket is bound to an interface's index.  Once that interface has gone, the socket receives
    nothing, even when another interface takes its name.  Returns this socket, bound by now; or a
    new one on the same port, beside this one; or None when the present one is right.  Raises
    MachineError when neither works.
    """
    index, bound = interface_index(settings.interface), _bound_to(listening)
    if not index or index == bound:
        return None
    try:
        _bind_to_interface(listening, settings.interface)
    except MachineError:
        if bound:
            return _open_beside(settings, listening)
        raise
    return listening


def _open_beside(settings: ServerSettings, listening: socket.socket) -> socket.socket:
    """Another socket on the port of one that is bound to an interface that has gone."""
    fresh = _new(settings)
    try:
        _bind_to_interface(fresh, settings.interface)
        _configure(fresh, replace(settings, port=listening.getsockname()[1]))
    except BaseException:
        fresh.close()
        raise
    return fresh


def _bound_to(listening: socket.socket) -> int:
    """Index of the interface that a socket is bound to, 0 for none, -1 for one that has gone."""
    try:
        name = listening.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _NAME_SIZE)
    except OSError:
        return -1
    name = name.partition(b"\0")[0]
    return (interface_index(os.fsdecode(name)) or -1) if name else 0


def _new(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if settings.use_ipv6 else socket.AF_INET
    try:
        return socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise MachineError(
            f"this machine has no {'IPv6' if settings.use_ipv6 else 'IPv4'}: {error.strerror}",
            "set use_ipv6 = no in mandos.conf" if settings.use_ipv6 else None,
        ) from error


def _inherited(descriptor: int) -> socket.socket:
    try:
        listening = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise AdministratorError(
            f"--socket {descriptor} is not an open socket: {error.strerror}",
            "name a descriptor that the program inherits, such as 3",
        ) from error
    family, kind = listening.family, listening.type
    if kind != socket.SOCK_STREAM or family not in (socket.AF_INET, socket.AF_INET6):
        listening.close()
        raise AdministratorError(
            f"--socket {descriptor} is not a TCP socket", "bind it to a TCP port"
        )
    listening.listen(_BACKLOG)
    listening.settimeout(0)
    return listening


def _configure(listening: socket.socket, settings: ServerSettings) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.use_ipv6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listening.bind(_socket_address(settings))
    except OSError as error:
        raise _cannot_listen(settings, error) from error
    listening.listen(_BACKLOG)
    listening.settimeout(0)


def _try_to_bind(listening: socket.socket, interface: str) -> None:
    """Not fatal, as in the reference: manual page mandos(8), option --interface."""
    try:
        _bind_to_interface(listening, interface)
    except MachineError as error:
        log.warning("%s", error)


def _bind_to_interface(listening: socket.socket, interface: str) -> None:
    """SO_BINDTODEVICE, socket(7); without rights only once, and since Linux 5.7."""
    name = os.fsencode(interface) + b"\0"
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
    except OSError as error:
        raise MachineError(
            f"cannot bind to the network interface {interface}: {error.strerror}",
            "Linux before 5.7 lets only root do so" if error.errno == errno.EPERM else None,
        ) from error


def _socket_address(settings: ServerSettings) -> tuple[str, int] | tuple[str, int, int, int]:
    host, _percent, scope = settings.address.partition("%")
    if not settings.use_ipv6:
        return (host, settings.port)
    return (host or "::", settings.port, 0, interface_index(scope or settings.interface))


def _cannot_listen(settings: ServerSettings, error: OSError) -> MachineError:
    where = f"{settings.address or 'any address'} port {settings.port or 'any'}"
    hints = {
        errno.EADDRINUSE: f"another program has it; see: ss -ltnp sport = :{settings.port}",
        errno.EADDRNOTAVAIL: "no interface of this machine has that address; see: ip address",
        errno.EACCES: "ports below 1024 need root, or CAP_NET_BIND_SERVICE",
        errno.EINVAL: "a link-local address needs --interface",
    }
    return MachineError(f"cannot listen on {where}: {error.strerror}", hints.get(error.errno or 0))


def peer_of(sock: socket.socket, address: tuple[str, int] | tuple[str, int, int, int]) -> Peer:
    """The peer of an accepted connection, from the result of accept(2) and the kernel's data."""
    index = _scope(address) or _arrived_on(sock)
    return Peer(_plain(address[0]), address[1], interface_name(index) if index else "")


def _scope(address: tuple[str, int] | tuple[str, int, int, int]) -> int:
    """The interface of a link-local address, 0 for any other (ipv6(7), sin6_scope_id)."""
    return address[3] if len(address) == 4 else 0


def _plain(host: str) -> str:
    """An address without its scope; an IPv4-mapped one (RFC 4291 section 2.5.5.2) without that."""
    host = host.partition("%")[0]
    inner = host.removeprefix("::ffff:")
    return inner if "." in inner and ":" not in inner else host


def _arrived_on(sock: socket.socket) -> int:
    """Index of the interface that a connection came in on, 0 when the kernel does not report it."""
    over6 = sock.family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if over6 else socket.IPPROTO_IP
    wanted, asked, told, offset = (
        (socket.IPV6_RECVPKTINFO, _IPV6_2292PKTOPTIONS, socket.IPV6_PKTINFO, 16)
        if over6
        else (_IP_PKTINFO, _IP_PKTOPTIONS, _IP_PKTINFO, 0)
    )
    try:
        sock.setsockopt(level, wanted, 1)
        options = sock.getsockopt(level, asked, _CONTROL_LIMIT)
    except OSError:
        return 0
    offset += _CONTROL.size
    if len(options) < offset + _INTERFACE.size:
        return 0
    if _CONTROL.unpack_from(options)[1:] != (level, told):
        return 0
    return int(_INTERFACE.unpack_from(options, offset)[0])
