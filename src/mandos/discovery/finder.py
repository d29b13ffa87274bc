# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The browser with its sockets: the whole of discovery as a client's selector loop sees it.

Register ``sockets`` for reading; call :meth:`Finder.readable` for each that is, and
:meth:`Finder.tick` whenever :meth:`Finder.deadline` has come.  Interfaces and families that are
missing, not ready or gone never raise: they are reported to ``debug``, and asked again.
"""

from __future__ import annotations

import errno
import time

from mandos.discovery.browse import Browser
from mandos.discovery.pace import FairPace
from mandos.discovery.sockets import Channel
from mandos.lean_stdlib import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mandos.discovery.browse import Endpoint

#: An interface that was just brought up has no address at first (RFC 4862 section 5.4): a query
#: that could not leave is tried again after RETRY, for at most PATIENCE after the last change.
RETRY, PATIENCE = 0.1, 10.0

#: Queries that only ask for a direct answer, before the answers of the group are asked for as well:
#: it is slower, but gets through where a packet filter lets in nothing but port 5353.
DIRECT_QUERIES = 3

MAX_PACKETS = 16  # taken from a socket at once, so that a flood cannot starve the caller
#: Bytes of packets that are read at once, and in each second: of one source, and of all together.
#: The work for a packet grows with its bytes; each counts for PACKET_COST more than it has.  Others
#: are dropped unread.  1 000 packets and 1 MB a second of many sources are read whole.  One source
#: has less, so that it leaves room for others when it floods, but enough for 1 000 packets as small
#: as those of a server: who sends in the name of a server's address does not silence it.
PACKET_COST = 512
PACE_OF_EACH, PACE_OF_ALL = (1.0e6, 1.0e6), (1.6e6, 1.6e6)
MAX_SOURCES = 2048

_GONE = {errno.ENODEV, errno.ENXIO}


class Finder:
    """Finds servers on the given interfaces (indexes), for as long as it is open."""

    def __init__(
        self, interfaces: Iterable[int], debug: Callable[[str], object] = lambda _message: None
    ) -> None:
        self._browser = Browser()
        self._debug = debug
        self._pace = FairPace(PACE_OF_EACH, PACE_OF_ALL, MAX_SOURCES)
        self._told: set[str] = set()
        self._interfaces: dict[int, None] = {}
        self._unsent: set[tuple[Channel, int]] = set()
        self._retry_at = self._patient_until = 0.0
        self._queries = 0
        self._channels = [
            channel
            for family in (socket.AF_INET6, socket.AF_INET)
            if (channel := self._open(family)) is not None
        ]
        self.sockets = [
            sock for channel in self._channels for sock in (channel.asking, channel.hearing)
        ]
        for interface in interfaces:
            self.add_interface(interface)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Every endpoint known now; those that a server took back are gone."""
        return self._browser.endpoints

    def add_interface(self, interface: int) -> None:
        """Use one interface more; ask at the next tick."""
        self._interfaces[interface] = None
        for channel in self._channels:
            try:
                channel.join(interface)
            except OSError as error:
                self._tell(interface, f"cannot hear {channel.title}", error)
        self.refresh()

    def refresh(self) -> None:
        """Ask at the next tick, and fast again: something has changed."""
        self._patient_until = 0.0
        self._queries = 0
        self._browser.restart()

    def deadline(self, now: float) -> float:
        """When :meth:`tick` has something to do; never before ``now``."""
        due = self._browser.next_time(now)
        return min(due, max(now, self._retry_at)) if self._unsent else due

    def tick(self, now: float) -> None:
        """Send the queries that are due."""
        query = self._browser.next_query(now)
        self._patient_until = self._patient_until or now + PATIENCE
        if query is not None:
            targets = {(channel, index) for channel in self._channels for index in self._interfaces}
        elif self._unsent and now >= self._retry_at:
            query, targets = self._browser.query(), self._unsent
        else:
            return
        self._queries += 1
        failed = {target for target in targets if not self._send(query, *target)}
        self._unsent = failed if now < self._patient_until else set()
        self._retry_at = now + RETRY

    def readable(self, sock: socket.socket) -> list[Endpoint]:
        """Take the packets that wait; return the endpoints found new (or anew after a goodbye)."""
        channel = next(one for one in self._channels if sock in {one.asking, one.hearing})
        found: list[Endpoint] = []
        for _ in range(MAX_PACKETS):
            try:
                received = channel.receive(sock)
            except BlockingIOError:
                break
            except OSError as error:  # of an earlier query, such as an ICMP answer
                self._debug(f"discovery: {channel.title}: {error.strerror}")
                continue
            if (
                received is not None
                and received[1] in self._interfaces
                and self._pace.take(
                    received[2][0], time.monotonic(), PACKET_COST + len(received[0])
                )
            ):
                found += self._browser.receive(*received)
        return found

    def close(self) -> None:
        """Close all sockets."""
        for channel in self._channels:
            channel.close()

    def _open(self, family: int) -> Channel | None:
        try:
            return Channel(family)
        except OSError as error:
            title = "IPv6" if family == socket.AF_INET6 else "IPv4"
            self._debug(f"discovery: no {title}: {error.strerror}")
            return None

    def _send(self, query: bytes, channel: Channel, interface: int) -> bool:
        """Send on one interface; return whether it has gone out, or never will."""
        try:
            channel.send(query, interface, publicly=self._queries > DIRECT_QUERIES)
        except OSError as error:
            self._tell(interface, f"cannot ask over {channel.title}", error)
            if error.errno in _GONE:
                self._interfaces.pop(interface, None)
            return error.errno in _GONE
        return True

    def _tell(self, interface: int, what: str, error: OSError) -> None:
        """Report a failure once: it is tried again and again."""
        message = f"discovery: interface {interface}: {what}: {error.strerror}"
        if message not in self._told:
            self._told.add(message)
            self._debug(message)
