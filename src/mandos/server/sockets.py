# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The listening socket, as the settings ask for it, and peers' addresses as people write them."""

from __future__ import annotations

import errno
import logging
import os
import socket
from typing import TYPE_CHECKING

from mandos.errors import AdministratorError, MachineError
from mandos.interfaces import interface_index

if TYPE_CHECKING:
    from mandos.server.settings import ServerSettings

log = logging.getLogger(__name__)

_BACKLOG = 1024


def open_socket(settings: ServerSettings) -> socket.socket:
    """The listening socket that the settings ask for: their own, an inherited one, or a new one.

    Raises MachineError when the port is taken or the address is not there.
    """
    if settings.socket is not None:
        return _inherited(settings.socket)
    family = socket.AF_INET6 if settings.use_ipv6 else socket.AF_INET
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise MachineError(
            f"this machine has no {'IPv6' if settings.use_ipv6 else 'IPv4'}: {error.strerror}",
            "set use_ipv6 = no in mandos.conf" if settings.use_ipv6 else None,
        ) from error
    try:
        _configure(listening, settings)
    except BaseException:
        listening.close()
        raise
    return listening


def _inherited(descriptor: int) -> socket.socket:
    try:
        listening = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise AdministratorError(
            f"--socket {descriptor} is not an open socket: {error.strerror}",
            "name a descriptor that the program inherits, such as 3",
        ) from error
    if listening.type != socket.SOCK_STREAM:
        listening.close()
        raise AdministratorError(f"--socket {descriptor} is not a TCP socket")
    listening.listen(_BACKLOG)
    listening.settimeout(0)
    return listening


def _configure(listening: socket.socket, settings: ServerSettings) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.use_ipv6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if settings.interface:
        _bind_to_interface(listening, settings.interface)
    try:
        listening.bind(_socket_address(settings))
    except OSError as error:
        raise _cannot_listen(settings, error) from error
    listening.listen(_BACKLOG)
    listening.settimeout(0)


def _bind_to_interface(listening: socket.socket, name: str) -> None:
    """Not fatal, as in the reference: manual page mandos(8), option --interface."""
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(name) + b"\0")
    except OSError as error:
        log.warning("cannot bind to the network interface %s: %s", name, error.strerror)


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
        errno.EACCES: "ports below 1024 need root",
        errno.EINVAL: "a link-local address needs --interface",
    }
    return MachineError(f"cannot listen on {where}: {error.strerror}", hints.get(error.errno or 0))


def describe(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """A peer's address as people write it; IPv4 in its own form even over an IPv6 socket."""
    host, port = address[0].removeprefix("::ffff:"), address[1]
    if ":" not in host:
        return f"{host}:{port}"
    return f"[{host}]:{port}"
