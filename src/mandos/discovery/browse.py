# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Browses for servers: packets and the time in, endpoints and queries out (RFC 6763).

A server is known once its SRV record and an address of the target are; missing records are asked
for at once.  A record stays known until a goodbye takes it back or newer records push it
out: a machine that waits at boot has nothing to lose by trying an old address.
All memory is bounded.  No socket and no clock; early boot uses it, so it imports almost nothing.
"""

from __future__ import annotations

import os

from mandos.discovery.messages import (
    AAAA,
    PTR,
    SRV,
    A,
    MessageError,
    Question,
    encode_name,
    first_label,
    read_message,
    write_query,
)
from mandos.lean_stdlib import socket
from mandos.wire import grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator

    from mandos.discovery.messages import Record

    _Index = dict[Hashable, dict["_ServiceInstance", None]]

PORT = 5353
SERVICE = f"{grammar.SERVICE_TYPE}.local"
INSTANCE = grammar.SERVICE_NAME

#: Seconds from one query to the next; the last one repeats for ever.
INTERVALS = (0.05, 0.1, 0.25, 0.6, 1.0, 2.0, 4.0, 8.0, 10.0)
#: Questions about records missing in a packet are asked at once, but no oftener than this.
FOLLOW_UP_INTERVAL = 0.02

MAX_SERVERS = 256
MAX_ADDRESSES = 16
#: Of one packet: servers and endpoints that are taken as new, and pairs of an address record and a
#: server that it may be for.  A server that announces more is known after some more packets.
MAX_NEW_SERVERS, MAX_NEW_ENDPOINTS, MAX_MATCHES = 4, 16, 256
MAX_QUERY = 1200  # bytes; fits every link without fragments


class Endpoint:
    """Where a server listens; ``interface`` is 0 unless the address is link-local IPv6.

    ``heard_on`` is the interface that this was heard on, for every kind of address.
    """

    __slots__ = ("address", "heard_on", "interface", "name", "port")

    def __init__(
        self, address: str, port: int, interface: int, name: str, heard_on: int = 0
    ) -> None:
        self.address = address
        self.port = port
        self.interface = interface
        self.name = name
        self.heard_on = heard_on

    @property
    def family(self) -> int:
        """The address family of a socket to it."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    @property
    def sockaddr(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address for ``connect`` of such a socket."""
        if self.family == socket.AF_INET6:
            return (self.address, self.port, 0, self.interface)
        return (self.address, self.port)

    def _key(self) -> tuple[str, int, int, str]:
        return (self.address, self.port, self.interface, self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        scope = f"%{self.interface}" if self.interface else ""
        return f"<{self.name!r} at {self.address}{scope} port {self.port}>"


class _ServiceInstance:
    """An instance on one interface: only heard of (no target), or with its SRV record."""

    __slots__ = ("addresses", "instance", "interface", "key", "port", "source", "target")

    def __init__(
        self, interface: int, instance: bytes, target: bytes = b"", port: int = 0, source: str = ""
    ) -> None:
        self.interface = interface
        self.instance = instance
        self.target = target
        self.port = port
        #: The first sender of a record about it.
        self.source = source
        self.addresses: dict[bytes, None] = {}
        self.key = (interface, instance.lower(), target.lower(), port)

    def missing(self) -> Iterator[Question]:
        """Questions for the missing records; for IPv6 too where only IPv4 is known."""
        if not self.target:
            yield Question(self.instance, SRV)
            return
        if not any(len(address) == 16 for address in self.addresses):
            yield Question(self.target, AAAA)
        if not self.addresses:
            yield Question(self.target, A)

    def endpoint(self, address: bytes) -> Endpoint:
        family = socket.AF_INET6 if len(address) == 16 else socket.AF_INET
        scope = self.interface if _is_link_local6(address) else 0
        text = socket.inet_ntop(family, address)
        return Endpoint(text, self.port, scope, first_label(self.instance), self.interface)


class Browser:
    """All servers of a service on the links that packets come from.

    It asks for every instance (PTR) and at once for the SRV record of the default one, so that
    the usual server is found by a single answer.
    """

    __slots__ = (
        "_by_instance",
        "_by_source",
        "_by_target",
        "_follow_up_from",
        "_instance",
        "_interval",
        "_next",
        "_servers",
        "_service",
        "_wanted",
    )

    def __init__(self, service: str = SERVICE, default_instance: str = INSTANCE) -> None:
        labels = service.split(".")
        self._service = encode_name(*labels).lower()
        self._instance = encode_name(default_instance, *labels)
        self._servers: dict[tuple[int, bytes, bytes, int], _ServiceInstance] = {}
        #: The same by interface and instance, by interface and target, and by source.
        self._by_instance: _Index = {}
        self._by_target: _Index = {}
        self._by_source: _Index = {}
        self._wanted: dict[_ServiceInstance, None] = {}
        self._follow_up_from = 0.0
        self._next = 0.0
        self._interval = 0

    @property
    def endpoints(self) -> list[Endpoint]:
        """Every endpoint known now."""
        return [
            server.endpoint(address)
            for server in self._servers.values()
            for address in server.addresses
        ]

    def restart(self) -> None:
        """Ask at once, and fast again: the network has changed."""
        self._next = 0.0
        self._interval = 0

    def next_time(self, now: float) -> float:
        """When :meth:`next_query` will have something to send; never before ``now``."""
        due = min(self._next, self._follow_up_from) if self._wanted else self._next
        return max(due, now)

    def next_query(self, now: float) -> bytes | None:
        """Return the query that is due, to be sent on every interface, if one is."""
        if now >= self._next:
            self._next = now + INTERVALS[self._interval]
            self._interval = min(self._interval + 1, len(INTERVALS) - 1)
            self._wanted.clear()
            return self.query()
        if self._wanted and now >= self._follow_up_from:
            self._follow_up_from = now + FOLLOW_UP_INTERVAL
            wanted, self._wanted = self._wanted, {}
            return _query(_missing(wanted))
        return None

    def query(self) -> bytes:
        """Ask for every instance, the default one, and all that is missing."""
        basic = [Question(self._service, PTR), Question(self._instance, SRV)]
        return _query(basic + _missing(self._servers.values()))

    def receive(self, packet: bytes, interface: int, source: tuple[str, int]) -> list[Endpoint]:
        """Take a packet from ``source`` (address, port); return the endpoints that it adds.

        A packet is ignored if it is no response of a responder (RFC 6762 section 6: from port
        5353), is malformed or holds nothing about the service.
        """
        if source[1] != PORT:
            return []
        try:
            message = read_message(packet)
        except MessageError:
            return []
        if not message.response:
            return []
        room = MAX_NEW_SERVERS
        for record in message.records:
            if record.type == PTR and record.name.lower() == self._service:
                room -= self._hear_instance(record, interface, source[0], room)
        room = MAX_NEW_SERVERS
        for record in message.records:
            if record.type == SRV and self._is_instance(record.name):
                room -= self._hear_server(record, interface, source[0], room)
        local = source[0] == "::1" or source[0].startswith("127.")
        addresses = [
            record
            for record in message.records
            if record.type in {A, AAAA} and _is_usable(record.data, local=local)
        ]
        return self._hear_addresses(addresses, interface)

    def _is_instance(self, name: bytes) -> bool:
        return name[1 + name[0] :].lower() == self._service

    def _hear_instance(self, record: Record, interface: int, source: str, room: int) -> int:
        """Take a PTR record; returns how many servers it adds, of at most ``room``."""
        known = self._by_instance.get((interface, record.data.lower()), {})
        if not record.ttl:
            for server in list(known):
                self._forget(server)
        elif room and not known and self._is_instance(record.data):
            self._add(_ServiceInstance(interface, record.data, source=source))
            return 1
        return 0

    def _hear_server(self, record: Record, interface: int, source: str, room: int) -> int:
        """Take an SRV record; returns as above."""
        server = _ServiceInstance(interface, record.name, record.data, record.port, source)
        if not record.ttl:
            self._forget(server)
        elif room and record.port and server.key not in self._servers:
            self._forget(_ServiceInstance(interface, record.name))
            self._add(server)
            return 1
        return 0

    def _hear_addresses(self, records: Iterable[Record], interface: int) -> list[Endpoint]:
        """Take address records; returns the endpoints that they add."""
        pairs = (
            (record, server)
            for record in records
            for server in self._by_target.get((interface, record.name.lower()), ())
        )
        found: list[Endpoint] = []
        for number, (record, server) in enumerate(pairs):
            if number == MAX_MATCHES:
                break
            if not record.ttl:
                server.addresses.pop(record.data, None)
            elif record.data not in server.addresses and len(found) < MAX_NEW_ENDPOINTS:
                self._add_address(server, record.data)
                found.append(server.endpoint(record.data))
        return found

    def _add_address(self, server: _ServiceInstance, address: bytes) -> None:
        if len(server.addresses) == MAX_ADDRESSES:
            del server.addresses[next(iter(server.addresses))]
        server.addresses[address] = None
        if server in self._wanted and not any(server.missing()):
            del self._wanted[server]

    def _add(self, server: _ServiceInstance) -> None:
        """Remember a server, in place of another when there are too many; ask about it.

        That is the oldest one of the source with the most servers.
        """
        self._servers[server.key] = server
        self._wanted[server] = None
        for index, key in self._indexes(server):
            index.setdefault(key, {})[server] = None
        if len(self._servers) > MAX_SERVERS:
            largest = max(self._by_source.values(), key=len)
            self._forget(next(iter(largest)))

    def _forget(self, server: _ServiceInstance) -> None:
        known = self._servers.pop(server.key, None)
        if known is None:
            return
        self._wanted.pop(known, None)
        for index, key in self._indexes(known):
            del index[key][known]
            if not index[key]:
                del index[key]

    def _indexes(self, server: _ServiceInstance) -> Iterator[tuple[_Index, Hashable]]:
        interface, instance, target, _port = server.key
        yield self._by_instance, (interface, instance)
        yield self._by_target, (interface, target)
        yield self._by_source, server.source


def _query(questions: list[Question]) -> bytes:
    """Write a query like no other: the zeroconf library drops one that it has just seen."""
    return write_query(questions, int.from_bytes(os.urandom(2), "big"))


def _missing(servers: Collection[_ServiceInstance]) -> list[Question]:
    """Questions about these servers, the newest first, as far as they fit into a query."""
    chosen: dict[tuple[bytes, int], Question] = {}
    size = 0
    for server in reversed(list(servers)):
        for question in server.missing():
            size += len(question.name) + 4
            if size <= MAX_QUERY:
                chosen[question.name, question.type] = question
    return list(chosen.values())


def _is_link_local6(address: bytes) -> bool:
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def _is_usable(address: bytes, *, local: bool) -> bool:
    """Tell whether a connection may be tried: one host, and this one only if it said so itself."""
    if len(address) == 4:
        return 0 < address[0] < 224 and (local or address[0] != 127)
    if address.startswith(bytes(10)):  # ::, ::1, and IPv4 in disguise
        return local and address == bytes(15) + b"\x01"
    return address[0] != 0xFF
