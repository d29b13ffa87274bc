# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The groups of the key exchange in a server's first message, as the wire has them (RFC 8446)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from mandos.tls import limits
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session, WouldBlock
from mandos.wire import grammar

#: Numbers of groups and extensions: RFC 8446, sections 4.2 and 4.2.7.
SECP256R1, SECP384R1, SECP521R1, X25519, X448 = 0x17, 0x18, 0x19, 0x1D, 0x1E
SUPPORTED_GROUPS, KEY_SHARE = 10, 51
#: Bytes before the session ID: record and handshake headers, version, random number.
_BEFORE = 5 + 4 + 2 + 32


def _extensions(hello: bytes) -> Iterator[tuple[int, bytes]]:
    """The extensions of a ClientHello: RFC 8446, section 4.1.2."""
    at = _BEFORE
    for width in "BHB":  # session ID, cipher suites, compression methods
        (size,) = struct.unpack_from(f"!{width}", hello, at)
        at += struct.calcsize(f"!{width}") + size
    at += 2
    while at < len(hello):
        kind, size = struct.unpack_from("!HH", hello, at)
        yield kind, hello[at + 4 : at + 4 + size]
        at += 4 + size


def _offer(priority: str) -> tuple[list[int], list[int]]:
    """The groups that a server with this priority supports, and those of its key shares."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        session = Session(Priority(priority), Credentials(), ours.fileno(), is_server=False)
        with pytest.raises(WouldBlock):
            session.handshake()
        session.close()
        extensions = dict(_extensions(theirs.recv(1 << 14)))
    groups = [number for (number,) in struct.iter_unpack("!H", extensions[SUPPORTED_GROUPS][2:])]
    shares, at = [], 2
    while at < len(extensions[KEY_SHARE]):
        number, size = struct.unpack_from("!HH", extensions[KEY_SHARE], at)
        shares.append(number)
        at += 4 + size
    return groups, shares


def test_cheapest_group_is_offered_first() -> None:
    """The default has one key share, for X25519, and offers every curve that clients may have."""
    groups, shares = _offer(limits.bounded(grammar.PRIORITY))
    assert shares == [X25519]
    assert groups[0] == X25519
    assert {SECP256R1, SECP384R1, SECP521R1, X448} <= set(groups)


def test_priority_of_an_administrator_decides_alone() -> None:
    """A priority string that is not the default is used as it is."""
    own = f"{grammar.PRIORITY}:-GROUP-ALL:+GROUP-SECP384R1:+GROUP-X25519"
    assert _offer(limits.bounded(own)) == ([SECP384R1, X25519], [SECP384R1])
