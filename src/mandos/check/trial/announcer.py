# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Announces the relays to the virtual machine by multicast DNS, on its private link.

RFC 6762 (multicast DNS) and RFC 6763 (service discovery).  One message answers every question about
the service, since the link has one listener and all records fit into one message.
"""

from __future__ import annotations

import select
import struct
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from mandos.discovery.browse import SERVICE
from mandos.discovery.messages import (
    AAAA,
    PTR,
    SRV,
    TXT,
    MessageError,
    encode_name,
    read_message,
)
from mandos.discovery.sockets import GROUP6, PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mandos.discovery.messages import Question
    from mandos.discovery.sockets import Channel

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!2HIH")
_SRV = struct.Struct("!3H")
#: Flags of an answer: response, authoritative (RFC 6762, section 18).
_ANSWER = 0x8400
_CLASS_IN = 1
#: Seconds that a record is valid (RFC 6762, section 10).
_VALID = 120
#: More services would not fit into a message for sure.
MAX_SERVICES = 8
#: Type of a question that asks for all records of a name: RFC 1035, section 3.2.3.
_ANY = 255


class Service(NamedTuple):
    """One announced server: the name of its instance, and the port of its relay."""

    name: str
    port: int


def response(services: Sequence[Service], address: bytes, identifier: int = 0) -> bytes:
    """A message with all records of the services, whose host has this IPv6 address (packed)."""
    labels = SERVICE.split(".")
    kind = encode_name(*labels)
    host = encode_name("mandos-check", "local")
    records = []
    for service in services[:MAX_SERVICES]:
        instance = encode_name(service.name, *labels)
        records += [
            _record(kind, PTR, instance),
            _record(instance, SRV, _SRV.pack(0, 0, service.port) + host),
            _record(instance, TXT, b"\0"),
        ]
    records.append(_record(host, AAAA, address))
    return _HEADER.pack(identifier, _ANSWER, 0, len(records), 0, 0) + b"".join(records)


def _record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + _RECORD.pack(kind, _CLASS_IN, _VALID, len(data)) + data


def concerns(questions: Sequence[Question]) -> bool:
    """Whether a question asks for the service, one of its instances, or their host."""
    labels = SERVICE.split(".")
    kind, host = encode_name(*labels).lower(), encode_name("mandos-check", "local")
    return any(
        question.type in (PTR, SRV, TXT, AAAA, _ANY)
        and (question.name.lower().endswith(kind) or question.name.lower() == host)
        for question in questions
    )


class Announcer:
    """Answers on one interface (index), through a channel that was opened in its network."""

    def __init__(
        self, channel: Channel, interface: int, address: bytes, services: Sequence[Service]
    ) -> None:
        self._channel = channel
        self._interface = interface
        self._address = address
        self._services = services

    def run(self, over: Callable[[], bool]) -> None:
        """Answer until ``over()``, which is asked ten times a second; then close the channel."""
        with closing(self._channel):
            while not over():
                if select.select([self._channel.hearing], [], [], 0.1)[0]:
                    for identifier, source in self._asked():
                        self._answer(identifier, source)

    def _asked(self) -> Iterator[tuple[int, tuple[str, int]]]:
        """The question that waits, if it concerns us: its identifier and its source."""
        try:
            received = self._channel.receive(self._channel.hearing)
        except OSError:
            return
        if received is None:
            return
        packet, interface, source = received
        try:
            message = read_message(packet)
        except MessageError:
            return
        if interface == self._interface and not message.response and concerns(message.questions):
            yield int.from_bytes(packet[:2], "big"), source

    def _answer(self, identifier: int, source: tuple[str, int]) -> None:
        """Answer a question from port 5353 to the group, any other to its source (section 6.7)."""
        address, port = source
        if port == PORT:
            address, identifier = GROUP6, 0
        packet = response(self._services, self._address, identifier)
        try:
            self._channel.hearing.sendto(packet, (address, port, 0, self._interface))
        except OSError:
            return  # the machine's card is not ready; it asks again
