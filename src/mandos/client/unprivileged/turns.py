# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fair turns: which server is asked next, which gives its connection up, which is forgotten.

A stranger can announce any number of servers, so servers are counted by the host that they are on:
a connection proves that its other end has that address, while any machine can claim a name or a
port.  The host that has the fewest connections is next; of several, the one that was asked longest
ago; of several that were never asked, one by lot.

A server may be silent for an hour, until an administrator approves.  It keeps its connection while
there is room.  Where there is none, one of the host that has most gives way to a host that has two
fewer; or one whose turn is over to a host that has fewer, or to another server of its own host.  It
is asked again later, and its next turn is twice as long: an honest server that needs time gets it
at last.  Some connections are kept for first turns, so that a server that comes late need not wait
until long turns are over.

There are more places in memory than hosts and connections of the strangers that the client has to
stand (``HOSTS``).  So among that many there is always a host with two servers of which one is idle,
and that one is forgotten for a server on a new host, which therefore always finds a place and is
asked before any host is asked twice.  Where there are more hosts, a new server takes a place by
lot, which strangers cannot foresee: of A servers asked and R announced in a second, each
announcement of a server leads to its turn with a chance of at least A / (A + R), at any moment.
"""

from __future__ import annotations

from mandos.client.unprivileged.known_server import lot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeVar

    from mandos.client.unprivileged.known_server import Host, KnownServer

    _Item = TypeVar("_Item")

#: Hosts among which every server finds a place, and connections at once; places for both.
HOSTS, AT_ONCE = 1100, 64
PLACES = HOSTS + AT_ONCE
#: How many connections servers may have whose turn is longer than the first.
LONG_AT_ONCE = 48
#: Seconds between two looks at the servers that are due later.
_LOOK = 0.05
_NEVER = float("inf")


class _Host:
    """The servers of one host: all, those that may be asked now, and when one was asked last."""

    __slots__ = ("connections", "due", "key", "servers")

    def __init__(self, *, named: bool) -> None:
        self.servers: dict[KnownServer, None] = {}
        #: Of first turns, and of longer ones.
        self.due: tuple[dict[KnownServer, None], dict[KnownServer, None]] = ({}, {})
        #: Servers that the administrator named come first and count for nothing.
        self.connections = -1 if named else 0
        #: The host with the lowest key is next.
        self.key = (self.connections, 0.0, lot())

    def connect(self, change: int, asked: float | None = None) -> None:
        """Count a connection."""
        _connections, before, order = self.key
        if self.connections >= 0:
            self.connections += change
        self.key = (self.connections, before if asked is None else asked, order)


class Turns:
    """All servers that are remembered; the caller has the clock.

    ``busy`` are those that are being asked, or whose answer is being opened.
    """

    __slots__ = ("_crowds", "_hosts", "_later", "_next_look", "_ready", "_when", "busy", "count")

    def __init__(self) -> None:
        self.busy: dict[KnownServer, None] = {}
        #: How many servers have a place in memory; the administrator's do without.
        self.count = 0
        self._hosts: dict[Host | None, _Host] = {}
        #: Hosts by their number of servers.
        self._crowds: dict[int, dict[_Host, None]] = {}
        #: Hosts with servers that may be asked now: for a first turn, and for a longer one.
        self._ready: tuple[dict[_Host, None], dict[_Host, None]] = ({}, {})
        self._later: dict[KnownServer, None] = {}
        self._next_look = _NEVER
        #: When a server can be asked next, if that is known.
        self._when: float | None = None

    def add(self, server: KnownServer, now: float) -> None:
        """Remember a server."""
        host = self._hosts.get(server.host)
        if host is None:
            host = self._hosts[server.host] = _Host(named=server.host is None)
        host.servers[server] = None
        self._count(host, len(host.servers) - 1)
        self.wait(server, now)

    def remove(self, server: KnownServer) -> None:
        """Forget a server that is not busy."""
        host = self._hosts[server.host]
        self._unready(server, host)
        del host.servers[server]
        self._count(host, len(host.servers) + 1)
        if not host.servers:
            del self._hosts[server.host]

    def move(self, server: KnownServer, host: Host | None, now: float) -> None:
        """Count a server for another host from now on."""
        busy = server in self.busy
        if busy:
            self.end(server, now)
        self.remove(server)
        server.host = host
        self.add(server, now)
        if busy:
            self.begin(server, server.asked)

    def begin(self, server: KnownServer, now: float) -> None:
        """Note that a server is asked now."""
        host = self._hosts[server.host]
        self._unready(server, host)
        server.asked = now
        server.key = (now, server.key[1])
        host.connect(1, now)
        self.busy[server] = None
        self._when = None

    def end(self, server: KnownServer, now: float) -> None:
        """Note that a server has no connection any more, and may be asked from ``begin`` on."""
        if server in self.busy:
            del self.busy[server]
            self._hosts[server.host].connect(-1)
            self._when = None
        self.wait(server, now)

    def wait(self, server: KnownServer, now: float) -> None:
        """Let a server wait that is not busy; also after its ``begin`` has changed."""
        host = self._hosts[server.host]
        if server.begin > now:
            self._unready(server, host)
            self._later[server] = None
            self._next_look = min(self._next_look, server.begin)
            return
        self._later.pop(server, None)
        ready = self._ready[server.is_long]
        host.due[server.is_long][server] = None
        if host not in ready:
            ready[host] = None
            self._when = None

    def next(self, now: float) -> tuple[KnownServer, KnownServer | None] | None:
        """The server whose turn it is, and the one that gives its connection up for it, if any."""
        self._look(now)
        for wanted in self._candidates():
            room, victim = self._room(wanted, now)
            if room <= now:
                return wanted, victim
        return None

    def when(self, now: float) -> float:
        """When ``next`` has a server."""
        if self._when is None or self._when <= now:
            rooms = (self._room(wanted, now)[0] for wanted in self._candidates())
            self._when = min(rooms, default=_NEVER)
        return min(self._when, max(now, self._next_look))

    def to_forget(self, host: Host) -> KnownServer | None:
        """The server that is forgotten for one on ``host``; None if that one has to wait.

        A server of a host that has most, if it has more than that host would have; else another one
        of the same host; and where all hosts have one, that of any host.
        """
        same = self._hosts.get(host)
        count = len(same.servers) if same else 0
        larger = [size for size in sorted(self._crowds, reverse=True) if size > max(1, count)]
        for size in larger:
            if victim := self._by_lot(self._crowds[size]):
                return victim
        return self._by_lot((same,) if same else self._crowds.get(1, ()))

    def _count(self, host: _Host, before: int) -> None:
        """Sort a host by its number of servers; the administrator's do not count."""
        if host.connections < 0:
            return
        after = len(host.servers)
        self.count += after - before
        if before:
            del self._crowds[before][host]
            if not self._crowds[before]:
                del self._crowds[before]
        if after:
            self._crowds.setdefault(after, {})[host] = None

    def _unready(self, server: KnownServer, host: _Host) -> None:
        self._later.pop(server, None)
        for due, ready in zip(host.due, self._ready, strict=True):
            due.pop(server, None)
            if not due and host in ready:
                del ready[host]

    def _look(self, now: float) -> None:
        """Find those that may be asked by now."""
        if now < self._next_look:
            return
        self._next_look = _NEVER
        for server in [one for one in self._later if one.begin <= now]:
            self.wait(server, now)
        first = min((one.begin for one in self._later), default=_NEVER)
        self._next_look = max(first, now + _LOOK)

    def _candidates(self) -> Iterator[KnownServer]:
        """The next server for a first turn, and that for a longer one; first the host in front."""
        ready = [(min(hosts, key=_key), level) for level, hosts in enumerate(self._ready) if hosts]
        for host, level in sorted(ready, key=lambda row: row[0].key):
            yield min(host.due[level], key=_key)

    def _room(self, wanted: KnownServer, now: float) -> tuple[float, KnownServer | None]:
        """When a connection is free for a server, and which server gives it up if that is now."""
        long_ones = [one for one in self.busy if one.is_long]
        full = len(self.busy) >= AT_ONCE
        if wanted.host is None or not wanted.is_long or len(long_ones) < LONG_AT_ONCE:
            return self._giving_way(self.busy, wanted, now) if full else (now, None)
        return self._giving_way(long_ones, wanted, now)

    def _giving_way(
        self, busy: Iterable[KnownServer], wanted: KnownServer, now: float
    ) -> tuple[float, KnownServer | None]:
        share = self._hosts[wanted.host].connections
        able = [
            (one, self._hosts[one.host].connections)
            for one in busy
            if one.host is not None and not one.opening
        ]
        able = [row for row in able if row[1] > share or row[0].host == wanted.host]
        if not able:
            return _NEVER, None
        most = max(count for _one, count in able)
        if most >= share + 2:
            crowd = (one for one, count in able if count == most)
            return now, min(crowd, key=lambda one: one.asked)
        first = min((one for one, _count in able), key=lambda one: one.end)
        return first.end, (first if first.end <= now else None)

    def _by_lot(self, hosts: Iterable[_Host]) -> KnownServer | None:
        """An idle server of one of these hosts."""
        servers = (one for host in _from_any(hosts) for one in _from_any(host.servers))
        return next((one for one in servers if one not in self.busy), None)


def _from_any(items: Iterable[_Item]) -> list[_Item]:
    """All of them in their order, but from one on that the lot decides."""
    ordered = list(items)
    start = lot() % max(1, len(ordered))
    return ordered[start:] + ordered[:start]


def _key(one: _Host | KnownServer) -> tuple[float, ...]:
    return one.key
