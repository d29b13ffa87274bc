# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the addresses of servers come from: the command line, or Zeroconf.

Both searches are parts of the loop, and call ``found`` with the servers that should be asked now;
``network_changed`` is called at every change of the network.
"""

from __future__ import annotations

import time

from mandos.client.notices import notice
from mandos.client.selection import Narrowing
from mandos.client.settings import is_link_local
from mandos.client.unprivileged.loop import FOREVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator
    from typing import Protocol

    from mandos.client.settings import Address
    from mandos.client.unprivileged.loop import Loop
    from mandos.client.unprivileged.resolver import Lookup
    from mandos.client.unprivileged.usable_links import UsableLinks
    from mandos.discovery.browse import Endpoint
    from mandos.links import Link

    Found = Callable[[Iterable["Target"]], None]

    class Search(Protocol):
        """Interface of both searches."""

        def deadline(self, now: float) -> float:
            """When to call ``tick``."""

        def tick(self, now: float) -> object:
            """Do the work that is due."""

        def network_changed(self) -> None:
            """Take new interfaces and addresses in."""

        def close(self) -> None:
            """End the search."""

    class Asker(Protocol):
        """Asks the servers that a search finds."""

        def learn(self, targets: Iterable[Target]) -> object:
            """Take in servers that were just found."""

        def remind(self, targets: Iterable[Target]) -> object:
            """Take in servers that were found before, in case they were forgotten."""


#: Seconds until a name is looked up again: it may lead elsewhere in the meantime.
_RENEWAL = 60.0
#: Seconds until servers that were forgotten for others are named again.
_REMINDER = 5.0
#: Seconds from the beginning after which the client reports that a name cannot be looked up: the
#: network may still be coming up.
_LOOK_UP_TIME = 8.0
_NO_NAME_SERVER = (
    "trying on (in an initial RAM disk without a name server, give the server's address instead)"
)


class Target:
    """A server to ask.

    Numeric address, port, interface index (0 unless the address is link-local), the name of the
    service (one server may have several addresses; empty when unknown), and the interfaces that
    it may be reached over where no route leads to it.
    """

    __slots__ = ("host", "links", "name", "port", "scope")

    def __init__(
        self, host: str, port: int, scope: int = 0, name: str = "", links: tuple[int, ...] = ()
    ) -> None:
        self.host = host
        self.port = port
        self.scope = scope
        self.name = name
        self.links = links

    @property
    def address(self) -> tuple[str, int, int]:
        """Where to connect to; equal for equal servers."""
        return self.host, self.port, self.scope


class DirectSearch:
    """One server that the command line names; a link-local one without an interface is on any.

    The same holds for one on an interface that does not come, or has no carrier.
    """

    def __init__(
        self,
        address: Address,
        watch: Callable[[], UsableLinks],
        found: Found,
        loop: Loop,
        retry: float,
        say: Callable[[str], object],
    ) -> None:
        self._address = address
        self._say = say
        self._narrowing = Narrowing([address.interface] if address.interface else [])
        self._tell_from = time.monotonic() + _LOOK_UP_TIME
        self._told = ""
        self._watch = watch
        self._found = found
        self._loop = loop
        self._retry = max(retry, 1.0)
        self._hosts = [address.host] if address.is_numeric else []
        self._lookup: Lookup | None = None
        self._due = 0.0

    def deadline(self, now: float) -> float:  # noqa: ARG002 - as every part of the loop
        """When to call ``tick``."""
        lookup = self._lookup.deadline if self._lookup else FOREVER
        return min(self._due, lookup, self._narrowing.deadline)

    def tick(self, now: float) -> None:
        """Begin the search, or look the name up again."""
        if self._lookup and now >= self._lookup.deadline:
            self._lookup.give_up()
        self._look_at_links(now)
        if now < self._due:
            return
        self._due = FOREVER
        if self._address.is_numeric:
            self._tell()
        else:
            self._look_up()

    def network_changed(self) -> None:
        """Try again: an impossible search may be possible now."""
        self._look_at_links(time.monotonic())
        if self._hosts:
            self._tell()
        elif self._lookup is None:
            self._due = 0.0

    def close(self) -> None:
        """End a look-up."""
        if self._lookup:
            self._lookup.close()

    def _tell(self) -> None:
        self._found(list(self._targets()))

    def _targets(self) -> Iterator[Target]:
        address = self._address
        for host in self._hosts:
            if is_link_local(host):
                for index in self._scopes():
                    yield Target(host, address.port, index)
            else:
                yield Target(host, address.port, links=tuple(self._watch().usable))

    def _look_at_links(self, now: float) -> None:
        narrowing = self._narrowing
        if narrowing.wide or not any(map(is_link_local, self._hosts)):
            return
        if narrowing.look(self._watch().all, now):
            where = f"{self._address.host}%{self._address.interface}"
            why = "there is no such interface, or it has no link; trying the address on all"
            self._say(notice(f"{where}: {why}"))
            self._tell()

    def _scopes(self) -> list[int]:
        narrowing = self._narrowing
        usable = self._watch().usable
        return [
            index for index, link in usable.items() if narrowing.wide or narrowing.names_it(link)
        ]

    def _look_up(self) -> None:
        from mandos.client.unprivileged.resolver import Lookup  # noqa: PLC0415 - addresses do without

        self._lookup = Lookup(self._address.host, self._loop, self._learn)

    def _learn(self, hosts: list[str], why: str) -> None:
        self._lookup = None
        if not hosts and why != self._told and time.monotonic() >= self._tell_from:
            self._told = why
            self._say(notice(f"cannot look up {self._address.host}: {why}; {_NO_NAME_SERVER}"))
        self._hosts = hosts or self._hosts
        self._due = time.monotonic() + (_RENEWAL if self._hosts else self._retry)
        self._tell()


class ZeroconfSearch:
    """Every server that announces itself on the interfaces in use."""

    def __init__(
        self,
        watch: Callable[[], UsableLinks],
        asker: Asker,
        loop: Loop,
        debug: Callable[[str], None],
    ) -> None:
        from mandos.discovery.finder import Finder  # noqa: PLC0415 - --connect does without

        self._watch = watch
        self._asker = asker
        self._reminder = 0.0
        self._finder = Finder((), debug)
        self._interfaces: dict[int, Link] = {}
        for listener in self._finder.sockets:
            loop.watch(listener.fileno(), lambda one=listener: self._hear(one))  # type: ignore[misc]
        self.network_changed()

    def deadline(self, now: float) -> float:
        """When to call ``tick``."""
        return min(self._finder.deadline(now), max(now, self._reminder))

    def tick(self, now: float) -> None:
        """Send the questions that are due; name again the servers that were forgotten."""
        self._finder.tick(now)
        if now >= self._reminder:
            self._reminder = now + _REMINDER
            self._asker.remind(map(_target, self._finder.endpoints))

    def network_changed(self) -> None:
        """Ask on interfaces that can be used from now on, and where an address has come."""
        usable = self._watch().usable
        for index in usable.keys() - self._interfaces.keys():
            self._finder.add_interface(index)
        self._interfaces = usable
        self._finder.refresh()

    def close(self) -> None:
        """Stop listening."""
        self._finder.close()

    def _hear(self, listener: socket.socket) -> None:
        self._asker.learn(map(_target, self._finder.readable(listener)))


def _target(found: Endpoint) -> Target:
    return Target(found.address, found.port, found.interface, found.name, (found.heard_on,))
