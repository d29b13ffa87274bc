# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of rtnetlink messages against noise, whole messages and broken ones."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from mandos.errors import MachineError
from mandos.links import LinkTable

lengths = st.integers(0, 80) | st.integers(0, 2**32 - 1)
kinds = st.sampled_from([2, 3, 16, 17, 20, 21]) | st.integers(0, 2**16 - 1)
attribute_kinds = st.sampled_from([3, 52, 52 | 0x8000, 53]) | st.integers(0, 2**16 - 1)
flags = st.sampled_from([0, 2, 0x10]) | st.integers(0, 2**16 - 1)
sequences = st.integers(0, 3)


@st.composite
def attributes(draw: st.DrawFn) -> bytes:
    """Return an attribute, mostly of the right length."""
    value = draw(st.binary(max_size=20) | st.deferred(attributes))
    length = draw(st.just(4 + len(value)) | st.integers(0, 2**16 - 1))
    return struct.pack("=HH", length, draw(attribute_kinds)) + value + bytes(-len(value) % 4)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Return a message about one of a few links, mostly of the right length."""
    about = struct.pack("=BxHiII", 0, 1, draw(st.integers(-1, 3)), draw(st.integers(0, 255)), 0)
    body = draw(st.binary(max_size=40) | st.just(about))
    body += b"".join(draw(st.lists(attributes(), max_size=3)))
    length = draw(st.just(16 + len(body)) | lengths)
    header = struct.pack("=IHHII", length, draw(kinds), draw(flags), draw(sequences), 0)
    return header + body + bytes(-len(body) % 4)


datagrams = st.lists(messages(), max_size=6).map(b"".join) | st.binary(max_size=300)


@given(st.lists(datagrams, max_size=4))
def test_any_bytes(received: list[bytes]) -> None:
    """One error class at most; what is known stays well-formed, and a listing can be asked for."""
    table = LinkTable()
    for datagram in received:
        table.request()
        with contextlib.suppress(MachineError):
            table.receive(datagram)
        assert len(table.links) <= sum(map(len, received)) // 36
        for index, link in table.links.items():
            assert link.index == index
            assert all(isinstance(name, str) for name in link.names)
            assert link.name


@given(st.lists(messages(), max_size=4), st.lists(messages(), max_size=4))
def test_datagrams_do_not_depend_on_each_other(first: list[bytes], second: list[bytes]) -> None:
    """What is cut off ends with its datagram: the next one is read from its beginning."""
    apart, broken = LinkTable(), LinkTable()
    for table, noise in ((apart, b""), (broken, b"\xff" * 15)):
        table.request()
        for datagram in (b"".join(first) + noise, b"".join(second) + noise):
            with contextlib.suppress(MachineError):
                table.receive(datagram)
    assert apart.links == broken.links
