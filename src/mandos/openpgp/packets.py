# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An encrypted message from outside: how it is encrypted, and to which kinds of keys.

Sans-IO and without any cryptography: RFC 9580, section 4.2 (packet headers), 5.1 (public-key
encrypted session keys), 5.13 (the encrypted data), and draft-ietf-openpgp-rfc4880bis-10, section
5.16 (GnuPG's packet of type 20).  Only MalformedError leaves it.
"""

from __future__ import annotations

from mandos.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PKESK = 1
SKESK = 3
SED = 9
MARKER = 10
SEIPD = 18
GNUPG_OCB = 20
PADDING = 21

ELGAMAL = 16  # RFC 9580, section 9.1

_ENCRYPTED_DATA = frozenset((SED, SEIPD, GNUPG_OCB))
_BEFORE_DATA = frozenset((PKESK, SKESK, MARKER, PADDING))
#: A message for one client has one or two packets before its data.
_PACKET_LIMIT = 64


class MalformedError(PeerError):
    """The bytes are not an encrypted OpenPGP message."""


class Outline:
    """A message's encrypted data packet type and its recipients' public-key algorithms."""

    __slots__ = ("algorithms", "data_packet")

    def __init__(self, data_packet: int, algorithms: frozenset[int]) -> None:
        self.data_packet = data_packet
        self.algorithms = algorithms


def outline(message: bytes) -> Outline:
    """Read a binary message's packet headers up to its encrypted data.

    Raises MalformedError when there is no encrypted data among the first packets.
    """
    algorithms: set[int] = set()
    for _count, (kind, body) in zip(range(_PACKET_LIMIT), _packets(message), strict=False):
        if kind in _ENCRYPTED_DATA:
            return Outline(kind, frozenset(algorithms))
        if kind not in _BEFORE_DATA:
            raise MalformedError(f"not an encrypted OpenPGP message: it has a packet {kind}")
        if kind == PKESK and len(body) > 9 and body[0] == 3:
            algorithms.add(body[9])
    raise MalformedError("an OpenPGP message without encrypted data")


def _packets(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Packet types and bodies; the body of a partial or endless packet is only its first part."""
    rest = message
    while rest:
        if not rest[0] & 0x80:
            raise MalformedError("not an OpenPGP message")
        kind, start, end = _new_header(rest) if rest[0] & 0x40 else _old_header(rest)
        if end > len(rest):
            raise MalformedError("an OpenPGP message that was cut off")
        yield kind, rest[start:end]
        rest = rest[end:]


def _new_header(data: bytes) -> tuple[int, int, int]:
    """Packet type, start and end of the body: RFC 9580, section 4.2.1."""
    kind, first = data[0] & 0x3F, _number(data, 1, 1)
    if first < 192:
        return kind, 2, 2 + first
    if first < 224:
        return kind, 3, 3 + ((first - 192) << 8) + _number(data, 2, 1) + 192
    if first < 255:
        return kind, 2, 2 + (1 << (first & 0x1F))
    return kind, 6, 6 + _number(data, 2, 4)


def _old_header(data: bytes) -> tuple[int, int, int]:
    """Packet type, start and end of the body: RFC 9580, section 4.2.2."""
    kind, length_type = (data[0] >> 2) & 0x0F, data[0] & 3
    if length_type == 3:
        return kind, 1, len(data)
    start = 1 + (1 << length_type)
    return kind, start, start + _number(data, 1, start - 1)


def _number(data: bytes, start: int, size: int) -> int:
    if len(data) < start + size:
        raise MalformedError("an OpenPGP message that was cut off")
    return int.from_bytes(data[start : start + size])
