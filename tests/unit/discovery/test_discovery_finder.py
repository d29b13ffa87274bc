# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finder and sockets where families or interfaces fail, on this machine's loopback."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing

import pytest

from mandos.discovery import finder as finder_module
from mandos.discovery.finder import PATIENCE, RETRY, Finder
from mandos.discovery.sockets import Channel, is_on_link, loopback_interfaces, usable_interfaces

LOOPBACK = socket.if_nametoindex("lo")


class Link:
    """Stands for :class:`Channel`: counts what is sent, and fails as told."""

    def __init__(self, family: int) -> None:
        self.title = "IPv6" if family == socket.AF_INET6 else "IPv4"
        self.asking, self.hearing = socket.socketpair()
        self.sent: list[tuple[int, bool]] = []
        self.failure = 0

    def join(self, interface: int) -> None:
        """Join, unless told to fail."""
        if self.failure:
            raise OSError(self.failure, os.strerror(self.failure))
        assert interface

    def send(self, packet: bytes, interface: int, *, publicly: bool) -> None:
        """Count a packet, unless told to fail."""
        if self.failure:
            raise OSError(self.failure, os.strerror(self.failure))
        assert packet
        self.sent.append((interface, publicly))

    def close(self) -> None:
        """Close the sockets that make it look like a channel."""
        self.asking.close()
        self.hearing.close()


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Link:
    """Return the only link of finders made in the test: this machine has no IPv6."""
    only = Link(socket.AF_INET)

    def opened(family: int) -> Link:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return only

    monkeypatch.setattr(finder_module, "Channel", opened)
    return only


def test_missing_family_is_told_and_the_other_used(link: Link) -> None:
    """Without IPv6 in the kernel, discovery works over IPv4."""
    told: list[str] = []
    with closing(Finder([3], told.append)) as finder:
        finder.tick(0.0)
        assert link.sent == [(3, False)]
        assert finder.sockets == [link.asking, link.hearing]
    assert told == ["discovery: no IPv6: Address family not supported by protocol"]


def test_answers_of_the_group_are_asked_for_later(link: Link) -> None:
    """The first three queries ask for direct answers only; a change begins anew."""
    with closing(Finder([3])) as finder:
        for now in (0.0, 0.1, 0.3, 1.0):
            finder.tick(now)
        finder.refresh()
        finder.tick(1.1)
    assert [publicly for _, publicly in link.sent] == [False, False, False, True, False]


def test_interface_without_address_is_tried_often_then_as_scheduled(link: Link) -> None:
    """Until it has an address an interface is tried every tenth of a second, but not for ever."""
    told: list[str] = []
    link.failure = errno.EADDRNOTAVAIL
    with closing(Finder([3], told.append)) as finder:
        now, ticks = 0.0, 0
        while now < PATIENCE:
            finder.tick(now)
            assert now < finder.deadline(now) <= now + RETRY
            now, ticks = finder.deadline(now), ticks + 1
        assert ticks >= PATIENCE / RETRY
        finder.tick(now)
        finder.tick(now + RETRY)
        assert finder.deadline(now + RETRY) > now + 2 * RETRY
    assert len(told) == len(set(told)) == 3


def test_gone_interface_is_dropped_until_it_is_added_again(link: Link) -> None:
    """An index that the kernel no longer knows is not asked on any more."""
    with closing(Finder([3])) as finder:
        link.failure = errno.ENODEV
        finder.tick(0.0)
        link.failure = 0
        finder.tick(1.0)
        assert link.sent == []
        finder.add_interface(3)
        finder.tick(2.0)
        assert [interface for interface, _ in link.sent] == [3]


def test_loopback_is_used_only_when_named() -> None:
    """Loopback is listed as such and never among the interfaces used by default."""
    assert LOOPBACK in loopback_interfaces()
    assert LOOPBACK not in usable_interfaces()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("198.51.100.1", False),
        ("fe80::1", True),
        ("2001:db8::1", False),
    ],
)
def test_direct_answers_come_from_the_link(address: str, expected: bool) -> None:  # noqa: FBT001
    """A source must share a prefix with the interface, or be link-local (RFC 6762 section 11)."""
    assert is_on_link(address, LOOPBACK) is expected


def test_interface_that_does_not_exist_has_no_link() -> None:
    """Nothing is on the link of an unknown interface, and no question goes out there."""
    assert not is_on_link("127.0.0.1", 2**30)
    with closing(Channel(socket.AF_INET)) as channel, pytest.raises(OSError, match="no address"):
        channel.send(b"", 2**30, publicly=False)


def test_foreign_packets_on_the_open_ports_are_ignored() -> None:
    """Bytes of a stranger from an ordinary port neither raise nor find anything."""
    with closing(Finder([LOOPBACK])) as finder, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        asking = finder._channels[-1].asking
        for noise in (b"", b"\0" * 12, b"\xff" * 9100):
            stranger.sendto(noise, ("127.0.0.1", asking.getsockname()[1]))
        assert finder.readable(asking) == []
