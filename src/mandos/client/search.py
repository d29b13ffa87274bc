# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the addresses of servers come from: the command line, or Zeroconf.

Both searches have the same three methods: ``tick`` does what is due, ``hear`` reads from a socket
that the search has registered with the loop's selector, and both return the addresses that should
be asked now; ``deadline`` says when the next ``tick`` is due.  Interfaces that appear later are
taken in.
"""

from __future__ import annotations

import selectors

from mandos.interfaces import interface_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from mandos.client.settings import Address

    #: A numeric address, a port, an interface index (0 unless the address is link-local), and
    #: the name of the service: one server may have several addresses.
    Target = tuple[str, int, int, str]

    class Search(Protocol):
        """What both searches are."""

        def deadline(self, now: float) -> float:
            """When to call ``tick``."""

        def tick(self, now: float) -> list[Target]:
            """Do what is due; return the servers to ask now."""

        def hear(self, listener: socket.socket) -> list[Target]:
            """Read from a socket that is ready; return the servers to ask now."""

        def close(self) -> None:
            """End the search."""


#: How often, in seconds, to look whether an interface has appeared.
_LOOK_TIME = 1.0
_FOREVER = float("inf")


class DirectSearch:
    """The one server that the command line names; its interface may still have to appear."""

    __slots__ = ("_address", "_due")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._due = 0.0

    def deadline(self, now: float) -> float:  # noqa: ARG002 - as the other search
        """When to call ``tick``."""
        return self._due

    def tick(self, now: float) -> list[Target]:
        """Return the address, once its interface is there."""
        if now < self._due:
            return []
        name = self._address.interface
        index = interface_index(name)
        if name and not index:
            self._due = now + _LOOK_TIME
            return []
        self._due = _FOREVER
        return [(self._address.host, self._address.port, index, "")]

    def hear(self, listener: socket.socket) -> list[Target]:  # noqa: ARG002 - likewise
        """Nothing: this search has no sockets."""
        return []

    def close(self) -> None:
        """Nothing is open."""


class ZeroconfSearch:
    """Every server that announces itself on the wanted interfaces (all usable ones by default)."""

    __slots__ = ("_due", "_finder", "_interfaces", "_names", "_usable_interfaces")

    def __init__(
        self,
        names: Sequence[str],
        selector: selectors.BaseSelector,
        debug: Callable[[str], None],
    ) -> None:
        from mandos.discovery import finder, sockets  # noqa: PLC0415 - --connect does without

        self._names = names
        self._usable_interfaces = sockets.usable_interfaces
        self._finder = finder.Finder((), debug)
        self._interfaces: set[int] = set()
        self._due = 0.0
        for listener in self._finder.sockets:
            selector.register(listener, selectors.EVENT_READ)

    def deadline(self, now: float) -> float:
        """When to call ``tick``."""
        return min(self._due, self._finder.deadline(now))

    def tick(self, now: float) -> list[Target]:
        """Take in new interfaces and send the questions that are due."""
        if now >= self._due:
            self._due = now + _LOOK_TIME
            self._look()
        self._finder.tick(now)
        return []

    def hear(self, listener: socket.socket) -> list[Target]:
        """Read what came in; returns the servers that are new or announce themselves again."""
        return [
            (endpoint.address, endpoint.port, endpoint.interface, endpoint.name)
            for endpoint in self._finder.readable(listener)
        ]

    def close(self) -> None:
        """Stop listening."""
        self._finder.close()

    def _look(self) -> None:
        usable = set(self._named() if self._names else self._usable_interfaces())
        for index in usable - self._interfaces:
            self._finder.add_interface(index)
        self._interfaces = usable

    def _named(self) -> Iterator[int]:
        for name in self._names:
            index = interface_index(name)
            if index:
                yield index
