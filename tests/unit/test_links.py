# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of network links, fed with what a kernel sends; and the socket on this machine."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct

import pytest

from mandos.errors import MachineError
from mandos.links import Link, Links, LinkTable

UP, LOOPBACK, RUNNING, PROMISCUOUS = 0x1, 0x8, 0x40, 0x100
ERROR, DONE, NEW, DELETED, NEW_ADDRESS = 2, 3, 16, 17, 20
INTERRUPTED = 0x10
ETH0 = Link(2, ("eth0",), UP | RUNNING)
ETH1 = Link(3, ("eth1",), UP | RUNNING)


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes, sequence: int = 0, flags: int = 0) -> bytes:
    """Return a message, padded."""
    header = struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0)
    return header + body + bytes(-len(body) % 4)


def told(
    link: Link, kind: int = NEW, sequence: int = 0, *, family: int = 0, flags: int = 0
) -> bytes:
    """Return what the kernel says of a link: its MTU, its names, and more."""
    body = struct.pack("=BxHiII", family, 1, link.index, link.flags | flags, 0)
    body += attribute(4, struct.pack("=I", 1500)) + attribute(3, link.name.encode() + b"\0")
    others = b"".join(attribute(53, other.encode() + b"\0") for other in link.names[1:])
    return message(kind, body + attribute(52 | 0x8000, others), sequence)


def done(sequence: int, code: int = 0, flags: int = 0) -> bytes:
    """Return the end of a listing."""
    return message(DONE, struct.pack("=i", code), sequence, flags)


def listed(*links: Link) -> LinkTable:
    """Return a table that has its first listing."""
    table = LinkTable()
    assert table.request() is not None
    table.receive(b"".join(told(link, sequence=1) for link in links) + done(1))
    table.changed = False
    return table


def test_listing_fills_the_table() -> None:
    """Links have index, names and flags; the request is for one listing, not for two."""
    table = LinkTable()
    request = table.request()
    assert request is not None
    assert struct.unpack_from("=IHHII", request) == (len(request), 18, 0x301, 1, 0)
    assert table.request() is None
    both = Link(2, ("eth0", "uplink"), UP | RUNNING)
    table.receive(told(both, sequence=1) + told(ETH1, sequence=1))
    table.receive(done(1))
    assert table.changed
    assert table.links == {2: both, 3: ETH1}
    assert table.request() is None


def test_flags_as_people_call_them() -> None:
    """Each flag of netdevice(7) has its property; all others are no difference."""
    names = ("up", "broadcast", "loopback", "point_to_point", "running", "noarp")
    for flag, name in zip((0x1, 0x2, 0x8, 0x10, 0x40, 0x80), names, strict=True):
        link = Link(1, ("x",), flag | PROMISCUOUS)
        assert {one for one in names if getattr(link, one)} == {name}
        assert link == Link(1, ("x",), flag)
        assert hash(link) == hash(Link(1, ("x",), flag))
    assert ETH0 != ETH1


@pytest.mark.parametrize(
    "said",
    [
        told(Link(2, ("eth0",), UP)),
        told(Link(2, ("lan",), UP | RUNNING)),
        told(ETH1),
        told(ETH0, DELETED),
        message(NEW_ADDRESS, b"\x0a\x40\0\0\x02\0\0\0"),
    ],
    ids=["carrier lost", "renamed", "another one", "deleted", "address"],
)
def test_what_counts_as_a_change(said: bytes) -> None:
    """Whatever a listener could want to know is told once."""
    table = listed(ETH0)
    table.receive(said)
    assert table.changed


@pytest.mark.parametrize(
    "said",
    [
        told(ETH0),
        told(ETH0, flags=PROMISCUOUS),
        told(ETH0, DELETED, family=socket.AF_BRIDGE),
        told(Link(2, ("eth0",), 0), family=socket.AF_BRIDGE),
        told(ETH1, DELETED),
        message(NEW, struct.pack("=BxHiII", 0, 1, 9, UP, 0)),
    ],
    ids=["the same", "other flag", "left a bridge", "bridge port", "unknown", "no name"],
)
def test_what_is_no_change(said: bytes) -> None:
    """What says nothing new about a link changes nothing, above all a port that leaves a bridge."""
    table = listed(ETH0)
    table.receive(said)
    assert not table.changed
    assert table.links == {2: ETH0}


def test_event_without_a_name_keeps_the_name() -> None:
    """Wireless events carry flags, but no name."""
    table = listed(ETH0)
    table.receive(message(NEW, struct.pack("=BxHiII", 0, 1, 2, UP, 0)))
    assert table.links == {2: Link(2, ("eth0",), UP)}


def test_listing_drops_what_has_gone_unnoticed() -> None:
    """After lost messages a new listing is asked for; it alone is believed."""
    table = listed(ETH0, ETH1)
    table.lost()
    assert table.request() is not None
    table.receive(told(ETH1, sequence=2))
    assert table.links == {2: ETH0, 3: ETH1}
    table.receive(done(2))
    assert table.changed
    assert table.links == {3: ETH1}


def test_changes_during_a_listing_are_kept() -> None:
    """A link deleted after it was listed stays away; one that is new since then stays."""
    table = LinkTable()
    table.request()
    table.receive(told(ETH0, sequence=1) + told(ETH0, DELETED) + told(ETH1) + done(1))
    assert table.links == {3: ETH1}


def test_messages_lost_during_a_listing() -> None:
    """The next listing is asked for when the first one has ended."""
    table = LinkTable()
    table.request()
    table.lost()
    assert table.request() is None
    table.receive(done(1))
    assert table.request() is not None


def test_interrupted_listing_is_asked_for_again() -> None:
    """The kernel says when a listing does not fit together."""
    table = LinkTable()
    table.request()
    table.receive(told(ETH0, sequence=1) + done(1, flags=INTERRUPTED))
    assert table.request() is not None


def test_end_of_another_listing_is_no_end() -> None:
    """Only the answer to our own question counts."""
    table = LinkTable()
    table.request()
    table.receive(told(ETH0, sequence=1) + done(7))
    table.lost()
    assert table.request() is None


@pytest.mark.parametrize("kind", [ERROR, DONE])
@pytest.mark.parametrize("code", [-errno.EPERM, -(2**31), 2**31 - 1])
def test_refusal(kind: int, code: int) -> None:
    """A kernel that does not list its links is an error with a reason."""
    table = LinkTable()
    table.request()
    with pytest.raises(MachineError, match="does not list the network links") as caught:
        table.receive(message(kind, struct.pack("=i", code), 1))
    if code == -errno.EPERM:
        assert os.strerror(errno.EPERM) in str(caught.value)


def test_links_of_this_machine() -> None:
    """The first update lists them all, under the kernel's own indexes and names."""
    links = Links()
    try:
        assert links.update()
        loopback = links.named("lo")
        assert loopback is not None
        assert loopback.loopback
        assert loopback.index == socket.if_nametoindex("lo")
        assert links.named("no such link") is None
        assert links.by_index.keys() == {index for index, _name in socket.if_nameindex()}
    finally:
        links.close()
    assert links.fileno() < 0


def test_messages_of_other_programs_are_not_believed() -> None:
    """Any program can send to a netlink socket; only the kernel's word counts."""
    links = Links()
    try:
        links.update()
        known = dict(links.by_index)
        port = links._socket.getsockname()[0]
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as other:
            try:
                other.sendto(told(ETH1, DELETED) + told(Link(99, ("x",), UP)), (port, 0))
            except PermissionError:
                pytest.skip("only root can send to another program's netlink socket")
        assert select.select([links], [], [], 30)[0]
        links.update()
        assert links.by_index == known
    finally:
        links.close()


def test_no_netlink_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has no such socket, the message says so."""

    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("mandos.links.socket.socket", refuse)
    with pytest.raises(MachineError, match="cannot follow the network links: Operation not"):
        Links()
