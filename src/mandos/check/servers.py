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

    from mandos.check.names import Resolver
    from mandos.check.relay import Address
    from mandos.client.settings import Address as GivenAddress
    from mandos.discovery.browse import Endpoint

#: Seconds of a search.  A server is heard within one; a busy link may lose some packets.
SEARCH_TIME = 3.0
#: Seconds without a further server after which the search ends.
_SETTLED = 0.8
#: Seconds of a wait for answers.
_LOOK = 0.2


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
    found: dict[tuple[str, int], Server] = {}
    end = settled = time.monotonic() + SEARCH_TIME
    with closing(Finder(indexes)) as finder:
        while True:
            now = time.monotonic()
            finder.tick(now)
            wait = min(finder.deadline(now), settled, now + _LOOK) - now
            # A process that was held up hears the answers that came meanwhile before it ends.
            if _hear(finder, max(0.0, wait), found):
                settled = min(end, time.monotonic() + _SETTLED)
            elif now >= settled:
                break
            if now >= end:
                break
    return list(found.values())


def _hear(finder: Finder, wait: float, found: dict[tuple[str, int], Server]) -> bool:
    """Wait for answers for so many seconds at most; say whether they had another server."""
    news = False
    for sock in select.select(finder.sockets, [], [], wait)[0]:
        for endpoint in finder.readable(sock):
            key = (endpoint.name, endpoint.heard_on)
            server = _announced(endpoint)
            if key not in found or _is_better(server, found[key]):
                found[key] = server
                news = True
    return news


def given(address: GivenAddress, resolver: Resolver) -> list[Server]:
    """The server of --connect or --server, by each of its addresses.

    Names are looked up as in the image.  Raises UnknownServerError or UnknownNameError.
    """
    zone = f"%{address.interface}" if address.interface else ""
    host = f"[{address.host}{zone}]" if ":" in address.host else address.host
    named = f"{host}:{address.port}"
    if address.is_numeric:
        return [_at(address, address.host, named)]
    hosts = resolver.look_up(address.host)
    return [_at(address, host, f"{named} at {host}") for host in hosts]


def _at(address: GivenAddress, host: str, title: str) -> Server:
    try:
        scope = socket.if_nametoindex(address.interface) if address.interface else 0
    except OSError as error:
        raise UnknownServerError(f"{title}: {address.interface}: {error.strerror}") from error
    if ":" in host:
        return Server(title, socket.AF_INET6, (host, address.port, 0, scope))
    return Server(title, socket.AF_INET, (host, address.port))


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
