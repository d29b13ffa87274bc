# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces the client uses and brings up, for every kind of them and of command line."""

from __future__ import annotations

import itertools

import pytest

from mandos.client.selection import Selection
from mandos.links import Link

#: From linux/if.h, see netdevice(7).
UP, BROADCAST, LOOPBACK, POINT_TO_POINT, RUNNING, NOARP = 0x1, 0x2, 0x8, 0x10, 0x40, 0x80
#: What an interface is, and whether it is used by a search and by --connect when none is named.
KINDS = {
    "card": (BROADCAST, True, True),
    "loopback": (LOOPBACK, False, False),
    "tunnel": (POINT_TO_POINT | NOARP, False, True),
    "broadcasting tunnel": (POINT_TO_POINT | BROADCAST, False, True),
    "without broadcast": (0, False, True),
    "without ARP": (BROADCAST | NOARP, False, False),
    "broadcasting loopback": (LOOPBACK | BROADCAST, False, False),
}


@pytest.mark.parametrize("state", [0, UP, UP | RUNNING], ids=["down", "up", "running"])
@pytest.mark.parametrize("kind", KINDS)
def test_interface_that_nobody_named(kind: str, state: int) -> None:
    """Its kind decides, not whether it is up; what is used is brought up."""
    flags, by_search, by_connect = KINDS[kind]
    link = Link(7, ("eth0",), flags | state)
    for direct, used in ((False, by_search), (True, by_connect)):
        selection = Selection([], direct=direct)
        assert selection.uses(link) == selection.brings_up(link) == used


@pytest.mark.parametrize("kind", KINDS)
def test_named_interface_is_used_whatever_it_is(kind: str) -> None:
    """Who names an interface means it; all others are left alone."""
    flags = KINDS[kind][0]
    for direct in (False, True):
        selection = Selection(["eth0", "eth2"], direct=direct)
        used = [selection.uses(Link(7, (name,), flags)) for name in ("eth0", "eth1", "eth2")]
        assert used == [True, False, True]


def test_every_name_of_an_interface_counts() -> None:
    """Interfaces may have other names beside the proper one (ip-link(8), "altname")."""
    link = Link(7, ("eth0", "enp1s0"), BROADCAST)
    assert Selection(["enp1s0"], direct=False).uses(link)
    assert Selection(["enp1s0", "none"], direct=False).brings_up(link)
    assert not Selection(["enp2s0"], direct=False).uses(link)


#: Names on the command line, those used (None: as if none were named), those brought up.
NONES = {
    ("none",): (None, ""),
    ("a", "none"): ("a", "a"),
    ("none", "a"): ("a", ""),
    ("a", "none", "b"): ("ab", "a"),
    ("a", "b", "none", "c", "none", "d"): ("abcd", "ab"),
    ("none", "none"): (None, ""),
}


@pytest.mark.parametrize("names", NONES)
def test_none_ends_the_names_that_are_brought_up(names: tuple[str, ...]) -> None:
    """What stands behind it is used if somebody else has brought it up."""
    used, brought_up = NONES[names]
    selection = Selection(list(names), direct=False)
    for name in "abcde":
        link = Link(7, (name,), BROADCAST)
        assert selection.uses(link) == (used is None or name in used)
        assert selection.brings_up(link) == (name in brought_up)


def test_an_interface_called_none_is_not_meant() -> None:
    """The word has its meaning, whatever interfaces there are."""
    link = Link(7, ("none",), BROADCAST)
    assert not Selection(["none"], direct=False).brings_up(link)
    assert not Selection(["a", "none"], direct=False).uses(link)


def test_names_win_over_kinds_in_every_order() -> None:
    """The order of the names is of no account but for "none"."""
    link = Link(7, ("b",), LOOPBACK)
    for names in itertools.permutations(["a", "b", "c"]):
        assert Selection(names, direct=False).brings_up(link)
