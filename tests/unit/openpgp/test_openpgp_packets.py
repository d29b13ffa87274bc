# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OpenPGP message seen from outside: headers of every form, and rubbish."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.openpgp import packets
from mandos.openpgp.packets import MalformedError, outline

PKESK_BODY = b"\x03" + b"KEYIDKEY" + b"\x01" + b"mpi"


def _new(kind: int, body: bytes) -> bytes:
    return bytes((0xC0 | kind, len(body))) + body


@pytest.mark.parametrize("kind", [packets.SED, packets.SEIPD, packets.GNUPG_OCB])
def test_names_the_data_packet(kind: int) -> None:
    """The encrypted data's packet type and the recipients' algorithms are found."""
    elgamal = PKESK_BODY[:9] + b"\x10"
    message = _new(1, PKESK_BODY) + _new(1, elgamal) + _new(10, b"PGP") + _new(kind, b"data")
    about = outline(message)
    assert about.data_packet == kind
    assert about.algorithms == {1, packets.ELGAMAL}


@pytest.mark.parametrize(
    "header",
    [
        b"\x84\x0d",
        b"\x85\x00\x0d",
        b"\x86\x00\x00\x00\x0d",
        b"\xc1\x0d",
        b"\xc1\xff\x00\x00\x00\x0d",
    ],
    ids=["old, 1", "old, 2", "old, 4", "new, 1", "new, 5"],
)
@pytest.mark.parametrize(
    "data",
    [b"\xd2\x01x", b"\xd2\xc0\x00" + bytes(192), b"\xd2\xe9" + bytes(512), b"\xd2\xe0x\x01y"],
    ids=["new, 1", "new, 2", "partial", "partial, smallest"],
)
def test_reads_every_length(header: bytes, data: bytes) -> None:
    """Lengths of RFC 9580, sections 4.2.1 and 4.2.2."""
    assert len(PKESK_BODY) == 0x0D
    about = outline(header + PKESK_BODY + data)
    assert (about.data_packet, about.algorithms) == (packets.SEIPD, frozenset({1}))


def test_reads_an_endless_packet() -> None:
    """The old format's indeterminate length reaches to the end."""
    assert outline(b"\xa7anything").data_packet == packets.SED


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"", "without encrypted data"),
        (b"GET / HTTP/1.0\r\n", "not an OpenPGP message"),
        (b"\xd2", "cut off"),
        (b"\xd2\x05abc", "cut off"),
        (b"\xd2\xff\x00", "cut off"),
        (_new(11, b"literal"), "has a packet 11"),
        (_new(1, PKESK_BODY), "without encrypted data"),
        (_new(10, b"PGP") * 64 + _new(18, b"data"), "without encrypted data"),
    ],
)
def test_refuses_what_is_not_encrypted(message: bytes, complaint: str) -> None:
    """What cannot be a secret is refused with the reason, after at most 64 packets."""
    with pytest.raises(MalformedError, match=complaint):
        outline(message)


@given(st.binary(max_size=300) | st.lists(st.sampled_from([1, 3, 10, 18, 20])).map(bytes))
def test_only_one_error_escapes(message: bytes) -> None:
    """Whatever the bytes, there is an outline or a MalformedError."""
    with contextlib.suppress(MalformedError):
        assert outline(message).data_packet in {9, 18, 20}
