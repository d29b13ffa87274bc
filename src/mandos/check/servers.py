# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that the next boot would find: by Zeroconf, or by the addresses in its options."""

from __future__ import annotations

import select
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from mandos.client.settings import COMMAND_LINE, ClientOptions
from mandos.discovery.finder import Finder
from mandos.discovery.sockets import usable_interfaces
from mandos.errors import MandosError
from mandos.interfaces import interface_index, interface_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.check.relay import Address
    from mandos.client.settings import Address as GivenAddress
    from mandos.discovery.browse import Endpoint

#: Seconds of a search.  A server is heard within one; a busy link may lose some packets.
SEARCH_TIME = 3.0
#: Seconds without a further server after which the search ends.
_SETTLED = 0.8


class Server(NamedTuple):
    """A server, with the names by which a person knows it."""

    title: str
    family: int
    address: Address

    @property
    def scope(self) -> int:
        """The interface of a link-local address; 0 for all others."""
        *_rest, scope = self.address
        return scope if self.family == socket.AF_INET6 else 0

    @property
    def way(self) -> tuple[int, Address]:
        """What a socket needs to connect."""
        return self.family, self.address


class UnknownServerError(MandosError):
    """An address in the options leads to no server from here."""


def options_of(arguments: Sequence[str]) -> ClientOptions:
    """The settings that the image's client has, from its options."""
    return ClientOptions(COMMAND_LINE.parse(list(arguments)))


def search(interfaces: Sequence[str]) -> list[Server]:
    """Search by Zeroconf on those of these interfaces that exist, or on all that are usable."""
    named = [index for name in interfaces if (index := interface_index(name))]
    indexes = named or usable_interfaces()
    began = time.monotonic()
    found: dict[tuple[str, int], Server] = {}
    last = began
    with closing(Finder(indexes)) as finder:
        while (now := time.monotonic()) < began + SEARCH_TIME:
            if found and now > last + _SETTLED:
                break
            finder.tick(now)
            wait = min(finder.deadline(now), began + SEARCH_TIME) - now
            for sock in select.select(finder.sockets, [], [], max(0.0, min(wait, 0.2)))[0]:
                for endpoint in finder.readable(sock):
                    key = (endpoint.name, endpoint.heard_on)
                    server = _announced(endpoint)
                    if key not in found or _is_better(server, found[key]):
                        found[key] = server
                        last = time.monotonic()
    return list(found.values())


def given(address: GivenAddress) -> Server:
    """The server of --connect or --server; raises UnknownServerError."""
    flags = socket.AI_NUMERICHOST if address.is_numeric else 0
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
        scope = socket.if_nametoindex(address.interface) if address.interface else 0
    except OSError as error:
        raise UnknownServerError(f"{address.host}: {error.strerror}") from error
    family, _kind, _protocol, _name, where = found[0]
    if family == socket.AF_INET6:
        where = (str(where[0]), int(where[1]), 0, scope)
    title = f"{address.host}:{address.port}"
    return Server(title, family, where)  # type: ignore[arg-type]


def _announced(endpoint: Endpoint) -> Server:
    address, port, link = endpoint.address, endpoint.port, endpoint.interface
    if ":" not in address:
        title = f"{endpoint.name} at {address}:{port}"
        return Server(title, socket.AF_INET, (address, port))
    where = f"{address}%{interface_name(link)}" if link else address
    title = f"{endpoint.name} at [{where}]:{port}"
    return Server(title, socket.AF_INET6, (address, port, 0, link))


def _is_better(one: Server, other: Server) -> bool:
    """Link-local addresses need no router and no configuration."""
    return one.address[0].startswith("fe80") and not other.address[0].startswith("fe80")
