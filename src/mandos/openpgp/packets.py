# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads from a message's headers how it is encrypted, and to which kinds of keys.

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
#: Each recipient may cost a computation, each hidden one as many as the secret key has parts.
RECIPIENT_LIMIT, HIDDEN_LIMIT = 16, 4
_HIDDEN = bytes(8)  # RFC 9580, section 5.1.8
#: Version 1, a cipher of AES (7 to 9), mode OCB.
_AES_OCB = frozenset(bytes((1, cipher, 2)) for cipher in (7, 8, 9))


class MalformedError(PeerError):
    """The bytes are not an encrypted OpenPGP message."""


class Outline:
    """A message's encrypted data packet type and its recipients' public-key algorithms.

    ``head`` is how the data packet begins: a packet of type 20 says there how it is encrypted.
    """

    __slots__ = ("algorithms", "data_packet", "head")

    def __init__(self, data_packet: int, algorithms: frozenset[int], head: bytes) -> None:
        self.data_packet = data_packet
        self.algorithms = algorithms
        self.head = head

    def strange_cipher(self) -> str:
        """How a packet of type 20 is encrypted, when that is not AES-OCB; else empty."""
        if self.data_packet != GNUPG_OCB or self.head in _AES_OCB:
            return ""
        version, cipher, mode = (*self.head, 0, 0, 0)[:3]
        return f"version {version}, cipher {cipher}, mode {mode}"


def outline(message: bytes) -> Outline:
    """Read a binary message's packet headers up to its encrypted data.

    Raises MalformedError when there is no encrypted data among the first packets.
    """
    algorithms: set[int] = set()
    recipients = hidden = 0
    for _count, (kind, body) in zip(range(_PACKET_LIMIT), _packets(message), strict=False):
        if kind in _ENCRYPTED_DATA:
            return Outline(kind, frozenset(algorithms), body[:3])
        if kind not in _BEFORE_DATA:
            raise MalformedError(f"not an encrypted OpenPGP message: it has a packet {kind}")
        if kind == PKESK:
            recipients += 1
            hidden += body[1:9] == _HIDDEN
        if recipients > RECIPIENT_LIMIT or hidden > HIDDEN_LIMIT:
            raise MalformedError("an OpenPGP message for too many recipients")
        if kind == PKESK and len(body) > 9 and body[0] == 3:
            algorithms.add(body[9])
    raise MalformedError("an OpenPGP message without encrypted data")


def body(packet: bytes) -> bytes:
    """The body of a single packet, after its header.  Raises MalformedError."""
    for _kind, content in _packets(packet):
        return content
    raise MalformedError("an empty OpenPGP packet")


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
