# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mDNS reader and writer against the zeroconf library, and against noise."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf._dns import (
    DNSAddress,
    DNSPointer,
    DNSQuestion,
    DNSRecord,
    DNSService,
    DNSText,
)
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf._protocol.outgoing import DNSOutgoing

from mandos.discovery import messages
from mandos.discovery.browse import FOLLOW_UP_INTERVAL, Browser
from mandos.discovery.messages import MessageError, Question, encode_name, read_message, write_query

IN, RESPONSE = 1, 0x8400
SERVICE = "_mandos._tcp.local."

labels = st.text(
    st.characters(codec="ascii", exclude_characters=".", min_codepoint=33), min_size=1, max_size=20
)
names = st.lists(labels, min_size=1, max_size=6).map(lambda parts: ".".join(parts) + ".")
shared_names = st.sampled_from([SERVICE, f"Mandos.{SERVICE}", "host.local.", "local."]) | names
ports = st.integers(0, 65535)
classes = st.sampled_from([IN, IN | 0x8000])
ttls = st.integers(0, 2**31 - 1)
types = st.sampled_from([messages.A, messages.PTR, messages.TXT, messages.AAAA, messages.SRV])


def addresses(kind: int, size: int) -> st.SearchStrategy[DNSRecord]:
    """Return address records of one family."""
    data = st.binary(min_size=size, max_size=size)
    return st.builds(DNSAddress, shared_names, st.just(kind), classes, ttls, data)


records = st.one_of(
    st.builds(DNSPointer, shared_names, st.just(messages.PTR), classes, ttls, shared_names),
    st.builds(
        DNSService,
        shared_names,
        st.just(messages.SRV),
        classes,
        ttls,
        ports,
        ports,
        ports,
        shared_names,
    ),
    st.builds(DNSText, shared_names, st.just(messages.TXT), classes, ttls, st.binary(max_size=40)),
    addresses(messages.A, 4),
    addresses(messages.AAAA, 16),
)


def wire(name: str) -> bytes:
    """Return a name of zeroconf in our form."""
    return encode_name(*name.removesuffix(".").split("."))


def written(answers: list[DNSRecord], additionals: list[DNSRecord]) -> bytes:
    """Return a response that zeroconf writes."""
    message = DNSOutgoing(RESPONSE)
    for record in answers:
        message.add_answer_at_time(record, 0)
    for record in additionals:
        message.add_additional_answer(record)
    return message.packets()[0]


def as_ours(record: DNSRecord) -> tuple[bytes, int, int, bytes, int]:
    """Return what a record of zeroconf should be when we read it."""
    data, port = b"", 0
    if isinstance(record, DNSPointer):
        data = wire(record.alias)
    elif isinstance(record, DNSService):
        data, port = wire(record.server), record.port
    elif isinstance(record, DNSText):
        data = record.text
    elif isinstance(record, DNSAddress):
        data = record.address
    return wire(record.name), record.type, int(record.ttl), data, port


@given(st.lists(st.tuples(names, types, st.booleans()), max_size=8))
def test_zeroconf_reads_the_queries_we_write(asked: list[tuple[str, int, bool]]) -> None:
    """Name, type and the wish for a direct answer arrive unchanged."""
    query = write_query(Question(wire(name), type_, unicast=qu) for name, type_, qu in asked)
    message = DNSIncoming(query)
    assert message.valid
    assert message.is_query()
    got = [(question.name, question.type, question.unique) for question in message.questions]
    assert got == asked


@given(st.lists(st.tuples(names, types, st.booleans()), max_size=8))
def test_we_read_the_queries_zeroconf_writes(asked: list[tuple[str, int, bool]]) -> None:
    """The reader returns the questions of a compressed query."""
    message = DNSOutgoing(0)
    for name, type_, qu in asked:
        message.add_question(DNSQuestion(name, type_, IN | (0x8000 if qu else 0)))
    read = read_message(message.packets()[0])
    assert not read.response
    got = [(question.name, question.type, question.unicast) for question in read.questions]
    assert got == [(wire(name), type_, qu) for name, type_, qu in asked]


@given(st.lists(records, max_size=8), st.lists(records, max_size=4))
def test_we_read_the_responses_zeroconf_writes(
    answers: list[DNSRecord], additionals: list[DNSRecord]
) -> None:
    """Every record of a compressed response is read as zeroconf itself reads it."""
    packet = written(answers, additionals)
    oracle = DNSIncoming(packet)
    read = read_message(packet)
    assert read.response
    got = [(one.name, one.type, one.ttl, one.data, one.port) for one in read.records]
    assert got == [as_ours(record) for record in oracle.answers()]


@given(st.binary(max_size=600))
def test_noise_is_an_answer_or_one_error(noise: bytes) -> None:
    """Arbitrary bytes raise MessageError or nothing."""
    with contextlib.suppress(MessageError):
        read_message(noise)


@given(
    st.lists(records, min_size=1, max_size=8).map(lambda answers: written(answers, [])),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    st.integers(0, 600),
)
def test_damaged_packets_are_an_answer_or_one_error(
    packet: bytes, changes: list[tuple[int, int]], end: int
) -> None:
    """Changed bytes and a cut end raise MessageError or nothing, from reader and browser."""
    damaged = bytearray(packet)
    for where, value in changes:
        damaged[where % len(damaged)] = value
    for one in (bytes(damaged), bytes(damaged[:end])):
        with contextlib.suppress(MessageError):
            read_message(one)
        Browser().receive(one, 3, ("fe80::1", 5353))


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # to itself
        b"\x01a\xc0\x0c",  # to its own label
        b"\xc0\x20" + bytes(30),  # forward
        b"\x40" + bytes(70),  # no label length
        b"\xc0",
        b"\x3f" + b"a" * 20,
        (b"\x3f" + b"a" * 63) * 4 + b"\0",
    ],
)
def test_bad_names_are_refused(name: bytes) -> None:
    """Loops, forward pointers, unknown labels and names that are too long or cut off."""
    with pytest.raises(MessageError):
        read_message(bytes([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + name + b"\0\x01\0\x01")


def test_limits_of_a_message() -> None:
    """Too long, too many records, an error code: all refused."""
    header = bytes([0, 0, 0x84, 0])
    for packet in (
        header + bytes(9000),
        header + bytes([0, 0, 2, 0, 2, 0, 2, 0]),
        bytes([0, 0, 0x84, 3]) + bytes(8),
    ):
        with pytest.raises(MessageError):
            read_message(packet)


def test_pointer_chains_are_bounded() -> None:
    """A name behind many pointers is refused: a packet of such names would cost seconds."""
    header = bytes([0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0])
    hops = [23, *range(24, 1000, 2)]  # the first leads to a root name at offset 23
    chain = b"\0" + b"".join((0xC000 | hop).to_bytes(2, "big") for hop in hops)
    unknown = b"\0" + bytes([0, 99, 0, 1, 0, 0, 0, 0]) + len(chain).to_bytes(2, "big") + chain
    text = bytes([0, messages.TXT, 0, 1, 0, 0, 0, 0, 0, 0])
    near, far = ((0xC000 | hop).to_bytes(2, "big") for hop in (hops[9], hops[-1]))
    assert [one.name for one in read_message(header + unknown + near + text).records] == [b"\0"]
    with pytest.raises(MessageError, match="leads nowhere"):
        read_message(header + unknown + far + text)


HOST = f"Mandos.{SERVICE}", "host.local."
ANSWER: list[DNSRecord] = [
    DNSPointer(SERVICE, messages.PTR, IN, 4500, HOST[0]),
    DNSService(HOST[0], messages.SRV, IN | 0x8000, 120, 0, 0, 4711, HOST[1]),
    DNSAddress(
        HOST[1], messages.AAAA, IN | 0x8000, 120, socket.inet_pton(socket.AF_INET6, "fe80::5")
    ),
]


@given(st.lists(st.sampled_from(ANSWER), max_size=12))
def test_any_order_of_records_ends_in_the_endpoint(said: list[DNSRecord]) -> None:
    """One record a packet, in any order, repeated or lost: asking for the rest completes it."""
    browser, found = Browser(), 0
    for record in said:
        found += len(browser.receive(written([record], []), 3, ("fe80::1", 5353)))
    now = 0.0
    while not browser.endpoints:
        now = browser.next_time(now)
        assert now <= FOLLOW_UP_INTERVAL * 10
        query = browser.next_query(now)
        assert query is not None
        for question in DNSIncoming(query).questions:
            for record in ANSWER:
                if (record.name, record.type) == (question.name, question.type):
                    found += len(browser.receive(written([record], []), 3, ("fe80::1", 5353)))
    assert found == 1
    assert [one.address for one in browser.endpoints] == ["fe80::5"]
