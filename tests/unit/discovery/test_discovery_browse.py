# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The browser by hand-turned time, and packets that the zeroconf library writes."""

from __future__ import annotations

import socket
import struct
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from zeroconf._dns import DNSAddress, DNSPointer, DNSService
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf._protocol.outgoing import DNSOutgoing

from mandos.discovery import messages
from mandos.discovery.announce import alternative_name
from mandos.discovery.browse import (
    FOLLOW_UP_INTERVAL,
    MAX_ADDRESSES,
    MAX_MATCHES,
    MAX_NEW_ENDPOINTS,
    MAX_NEW_SERVERS,
    MAX_SERVERS,
    Browser,
    Endpoint,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zeroconf._dns import DNSRecord

SERVICE = "_mandos._tcp.local."
NAME = f"Mandos.{SERVICE}"
SOURCE = ("fe80::1", 5353)
PTR, SRV, A, AAAA, IN, RESPONSE = 12, 33, 1, 28, 1, 0x8400


def pointer(name: str = NAME, ttl: int = 4500) -> DNSRecord:
    """Return the record that lists an instance."""
    return DNSPointer(SERVICE, PTR, IN, ttl, name)


def server(
    name: str = NAME, port: int = 4711, target: str = "host.local.", ttl: int = 120
) -> DNSRecord:
    """Return the record that says where an instance runs."""
    return DNSService(name, SRV, IN | 0x8000, ttl, 0, 0, port, target)


def address(text: str, target: str = "host.local.", ttl: int = 120) -> DNSRecord:
    """Return an address record."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    kind = AAAA if ":" in text else A
    return DNSAddress(target, kind, IN | 0x8000, ttl, socket.inet_pton(family, text))


def packet(*records: DNSRecord, flags: int = RESPONSE) -> bytes:
    """Return a message with these answers."""
    message = DNSOutgoing(flags)
    for record in records:
        message.add_answer_at_time(record, 0)
    (one,) = message.packets()
    return one


def questions(query: bytes | None) -> set[tuple[str, int]]:
    """Return what a query asks, as zeroconf reads it."""
    assert query is not None
    return {(question.name, question.type) for question in DNSIncoming(query).questions}


def texts(endpoints: Iterable[Endpoint]) -> set[tuple[str, int, int]]:
    """Return address, port and scope of endpoints."""
    return {(one.address, one.port, one.interface) for one in endpoints}


def test_first_query_leaves_at_once_and_asks_twice() -> None:
    """The service's PTR and the default instance's SRV are asked in one query, without delay."""
    browser = Browser()
    assert browser.next_time(7.0) == 7.0
    assert questions(browser.next_query(7.0)) == {(SERVICE, PTR), (NAME, SRV)}


def test_queries_slow_down_and_never_end() -> None:
    """Ten queries leave within the first half minute, then one every ten seconds."""
    browser, now, sent = Browser(), 100.0, []
    while now < 200:
        assert browser.next_query(now) is not None
        assert browser.next_query(now) is None
        sent.append(round(now - 100, 3))
        now = browser.next_time(now)
    assert sent[:9] == [0, 0.05, 0.15, 0.4, 1, 2, 4, 8, 16]
    assert {round(b - a, 3) for a, b in pairwise(sent[9:])} == {10}


def test_no_two_queries_are_alike() -> None:
    """Queries differ at least in their identifier, so that no responder takes one for an echo."""
    browser = Browser()
    assert len({browser.query() for _ in range(100)}) > 90


def test_restart_asks_at_once_again() -> None:
    """After a restart the schedule begins anew."""
    browser = Browser()
    for now in (0.0, 10.0, 20.0):
        browser.next_query(now)
    browser.restart()
    assert browser.next_time(20.0) == 20.0
    browser.next_query(20.0)
    assert browser.next_time(20.0) == 20.05


def test_one_full_answer_is_enough() -> None:
    """A packet with SRV and addresses gives endpoints; only link-local ones have a scope."""
    browser = Browser()
    answer = packet(pointer(), server(), address("fe80::5"), address("192.0.2.1"))
    found = browser.receive(answer, 3, SOURCE)
    assert texts(found) == {("fe80::5", 4711, 3), ("192.0.2.1", 4711, 0)}
    assert {one.name for one in found} == {"Mandos"}
    assert browser.receive(answer, 3, SOURCE) == []
    assert set(found) == set(browser.endpoints)


def test_same_name_on_two_links_is_two_servers() -> None:
    """What is heard on one interface does not complete what was heard on another."""
    browser = Browser()
    browser.receive(packet(server()), 3, SOURCE)
    assert browser.receive(packet(address("fe80::5")), 4, SOURCE) == []
    assert texts(browser.receive(packet(address("fe80::5")), 3, SOURCE)) == {("fe80::5", 4711, 3)}


def test_what_is_missing_is_asked_for_at_once() -> None:
    """A bare PTR leads to a question for its SRV, a bare SRV to one for addresses."""
    browser, other = Browser(), f"Other.{SERVICE}"
    browser.next_query(0.0)
    browser.receive(packet(pointer(other)), 3, SOURCE)
    assert browser.next_time(0.001) == 0.001
    assert questions(browser.next_query(0.001)) == {(other, SRV)}
    browser.receive(packet(server(other)), 3, SOURCE)
    assert browser.next_query(0.002) is None
    now = browser.next_time(0.002)
    assert now == pytest.approx(0.001 + FOLLOW_UP_INTERVAL)
    assert questions(browser.next_query(now)) == {("host.local.", A), ("host.local.", AAAA)}
    assert texts(browser.receive(packet(address("192.0.2.1")), 3, SOURCE)) == {
        ("192.0.2.1", 4711, 0)
    }


def test_what_stays_missing_is_asked_again_in_each_query() -> None:
    """A lost answer to a follow-up question is made good by the schedule."""
    browser = Browser()
    browser.receive(packet(pointer(), server()), 3, SOURCE)
    asked = questions(browser.next_query(0.0))
    assert asked == {(SERVICE, PTR), (NAME, SRV), ("host.local.", A), ("host.local.", AAAA)}


@pytest.mark.parametrize("goodbye", [pointer(ttl=0), server(ttl=0), address("fe80::5", ttl=0)])
def test_goodbye_forgets_and_a_return_is_news(goodbye: DNSRecord) -> None:
    """A record with a TTL of 0 takes the endpoint back; announced again, it is found again."""
    browser = Browser()
    answer = packet(pointer(), server(), address("fe80::5"))
    found = browser.receive(answer, 3, SOURCE)
    browser.receive(packet(goodbye), 3, SOURCE)
    assert browser.endpoints == []
    assert browser.receive(answer, 3, SOURCE) == found


def test_new_port_is_news() -> None:
    """A server that was killed and listens elsewhere now is found at the new port."""
    browser = Browser()
    browser.receive(packet(server(), address("fe80::5")), 3, SOURCE)
    found = browser.receive(packet(server(port=4712), address("fe80::5")), 3, SOURCE)
    assert texts(found) == {("fe80::5", 4712, 3)}


def test_names_compare_without_case() -> None:
    """ASCII letters of either case are the same name (RFC 6762 section 16)."""
    browser = Browser()
    records = server("MANDOS._Mandos._TCP.Local.", target="HOST.local."), address("fe80::5")
    assert texts(browser.receive(packet(*records), 3, SOURCE)) == {("fe80::5", 4711, 3)}


@pytest.mark.parametrize(
    "ignored",
    [
        packet(server(), address("fe80::5"), flags=0),
        packet(server(f"Mandos.sub.{SERVICE}"), address("fe80::5")),
        packet(server("Mandos._ipp._tcp.local."), address("fe80::5")),
        packet(server(port=0), address("fe80::5")),
        packet(server(), address("fe80::5", "other.local.")),
        packet(server(), address("ff02::5")),
        packet(server(), address("::1")),
        packet(server(), address("::ffff:192.0.2.1")),
        packet(server(), address("127.0.0.1")),
        packet(server(), address("224.0.0.1")),
        packet(server(), address("0.0.0.0")),  # noqa: S104 - the point
        packet(server(), address("fe80::5"))[:-1],
    ],
)
def test_unfit_packets_give_no_endpoint(ignored: bytes) -> None:
    """Queries, other services, addresses of nobody and broken messages are ignored."""
    browser = Browser()
    assert browser.receive(ignored, 3, SOURCE) == []
    assert browser.endpoints == []


def test_answers_come_from_the_mdns_port() -> None:
    """A response from another port is ignored (RFC 6762 section 6)."""
    browser = Browser()
    assert browser.receive(packet(server(), address("fe80::5")), 3, ("fe80::1", 5354)) == []


def test_loopback_address_is_believed_from_loopback() -> None:
    """A server on this very machine may announce a loopback address."""
    browser = Browser()
    answer = packet(server(), address("127.0.0.1"), address("::1"))
    assert texts(browser.receive(answer, 1, ("127.0.0.1", 5353))) == {
        ("127.0.0.1", 4711, 0),
        ("::1", 4711, 0),
    }


def test_flood_of_servers_is_bounded_and_hides_nobody() -> None:
    """Memory and query size stay bounded under invented names; a real server is still found."""
    browser = Browser()
    for number in range(5 * MAX_SERVERS):
        browser.receive(packet(pointer(f"x{number}.{SERVICE}")), 3, SOURCE)
    query = browser.next_query(0.0)
    assert query is not None
    assert len(query) < 1400
    assert texts(browser.receive(packet(server(), address("fe80::5")), 3, SOURCE))
    assert len(browser._servers) <= MAX_SERVERS
    assert len(browser._wanted) <= MAX_SERVERS


def test_source_that_floods_pushes_out_only_its_own() -> None:
    """An answer in two packets is put together beside one that invents servers in between."""
    browser = Browser()
    browser.receive(packet(server()), 3, SOURCE)
    for number in range(5 * MAX_SERVERS):
        browser.receive(packet(pointer(f"x{number}.{SERVICE}")), 3, ("fe80::bad", 5353))
    assert texts(browser.receive(packet(address("fe80::5")), 3, SOURCE))
    assert len(browser._servers) <= MAX_SERVERS


def test_pointers_to_one_long_name_cost_little() -> None:
    """A name is read once, however many pointers lead to it; counted in steps, not in seconds."""
    labels = b"\x01a" * 126 + b"\0"
    record = b"\xc0\x0c" + struct.pack("!2HIH", 12, 1, 1, 2) + b"\xc0\x0c"
    head = labels + struct.pack("!2HIH", 16, 1, 1, 0)
    whole = struct.pack("!6H", 0, 0x8400, 0, 100, 0, 0) + head + record * 99
    reader = messages._Reader(whole)
    assert len(reader.message().records) == 100
    assert reader._steps < 127 + 127 + 2 * 99 + 1


def test_labels_of_a_message_are_bounded() -> None:
    """Long names that are not shared are refused beyond a number of labels."""
    record = b"\x01a" * 126 + b"\0" + struct.pack("!2HIH", 16, 1, 1, 0)
    for number, fits in ((8, True), (9, False)):
        whole = struct.pack("!6H", 0, 0x8400, 0, number, 0, 0) + record * number
        if fits:
            assert len(messages.read_message(whole).records) == number
        else:
            with pytest.raises(messages.MessageError, match="too many labels"):
                messages.read_message(whole)


def test_work_for_a_packet_is_bounded() -> None:
    """Few servers, endpoints and matches of one packet; counted, not in seconds."""
    browser = Browser()
    servers = [server(f"x{number}.{SERVICE}") for number in range(20)]
    for _packet in range(20 // MAX_NEW_SERVERS):
        browser.receive(packet(*servers), 3, SOURCE)
    assert len(browser._servers) == 20
    flood = [address(f"192.0.2.{number}") for number in range(1, 41)]
    assert len(browser.receive(packet(*flood), 3, SOURCE)) == MAX_NEW_ENDPOINTS
    assert len(browser.endpoints) == MAX_NEW_ENDPOINTS
    goodbyes = [address(f"192.0.2.{number}", ttl=0) for number in range(101, 131)]
    assert len(servers) * len(goodbyes) > MAX_MATCHES
    assert browser.receive(packet(*goodbyes, address("fe80::5")), 3, SOURCE) == []


def test_one_packet_adds_few_servers_and_the_next_the_others() -> None:
    """A host with many servers is known whole after some answers."""
    browser = Browser()
    ports = [server(f"x{port}.{SERVICE}", port=port) for port in range(1, 11)]
    answer = packet(*ports, address("fe80::5"))
    found = [len(browser.receive(answer, 3, SOURCE)) for _packet in range(4)]
    assert found == [MAX_NEW_SERVERS, MAX_NEW_SERVERS, 2, 0]
    assert len(browser.endpoints) == 10


def test_forgotten_servers_leave_nothing_behind() -> None:
    """The indexes hold those servers that are remembered, and are empty without any."""
    browser = Browser()
    names = [f"x{number}.{SERVICE}" for number in range(3 * MAX_SERVERS)]
    for name in names:
        browser.receive(packet(server(name, target=f"h{name}")), 3, SOURCE)
    indexes = browser._by_instance, browser._by_target, browser._by_source
    assert [sum(map(len, index.values())) for index in indexes] == [MAX_SERVERS] * 3
    for name in names:
        browser.receive(packet(pointer(name, ttl=0)), 3, SOURCE)
    assert not browser._servers
    assert indexes == ({}, {}, {})


def test_flood_of_addresses_is_bounded() -> None:
    """One server keeps a bounded number of addresses, the newest."""
    browser = Browser()
    browser.receive(packet(server()), 3, SOURCE)
    for number in range(1, 100):
        browser.receive(packet(address(f"192.0.2.{number}")), 3, SOURCE)
    assert len(browser.endpoints) == MAX_ADDRESSES
    assert browser.endpoints[-1].address == "192.0.2.99"


def test_name_is_fit_for_a_log() -> None:
    """Control characters of a stranger's name do not reach the terminal."""
    browser = Browser()
    hostile = server(f"\x1b[2J\n.{SERVICE}")
    (found,) = browser.receive(packet(hostile, address("fe80::5")), 3, SOURCE)
    assert found.name.isprintable()


def test_endpoint_says_how_to_connect() -> None:
    """An endpoint gives socket family and address, and shows itself readably."""
    scoped = Endpoint("fe80::5", 4711, 3, "Mandos")
    assert (scoped.family, scoped.sockaddr) == (socket.AF_INET6, ("fe80::5", 4711, 0, 3))
    assert repr(scoped) == "<'Mandos' at fe80::5%3 port 4711>"
    plain = Endpoint("192.0.2.1", 4711, 0, "Mandos")
    assert (plain.family, plain.sockaddr) == (socket.AF_INET, ("192.0.2.1", 4711))


@pytest.mark.parametrize(
    ("taken", "following"),
    [
        ("Mandos", "Mandos #2"),
        ("Mandos #2", "Mandos #3"),
        ("Mandos #9", "Mandos #10"),
        ("a #b", "a #b #2"),
        ("x" * 63, "x" * 60 + " #2"),
        ("å" * 31, "å" * 30 + " #2"),
    ],
)
def test_taken_names_are_numbered(taken: str, following: str) -> None:
    """The next name counts on, and still fits a label."""
    assert alternative_name(taken) == following
