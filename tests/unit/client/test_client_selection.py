# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces the client uses and brings up, for every kind of them and of command line."""

from __future__ import annotations

import itertools

import pytest

from mandos.client.selection import MISSING_TIME, NO_LINK_TIME, Narrowing, Selection
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


#: When a named interface can be used, and which others may be.
USABLE = BROADCAST | UP | RUNNING
HERE = Link(3, ("eth0", "enp1s0"), USABLE)
OTHER = Link(4, ("eth1",), BROADCAST)
TUNNEL = Link(5, ("tun0",), POINT_TO_POINT)


def _widens_after(selection: Narrowing, links: list[Link], began: float) -> float:
    """Seconds from ``began`` until the names no longer narrow the choice; it is so once only."""
    assert not selection.look(links, began)
    seconds = selection.deadline - began
    assert not selection.look(links, began + seconds - 0.001)
    assert selection.look(links, began + seconds)
    assert selection.wide
    assert not selection.look(links, began + seconds + 1)
    assert selection.deadline == float("inf")
    return seconds


def test_all_are_used_when_the_named_one_does_not_exist() -> None:
    """A card that got another name keeps no machine from booting: others serve after 10 seconds."""
    selection = Selection(["eno1"], direct=False)
    assert not selection.uses(OTHER)
    assert _widens_after(selection, [OTHER, TUNNEL], 100.0) == MISSING_TIME == 10
    assert selection.uses(OTHER)
    assert selection.brings_up(OTHER)
    assert not selection.uses(TUNNEL)
    assert selection.uses(Link(9, ("eno1",), POINT_TO_POINT))  # it may still come
    told = "the network interface eno1 does not exist; using all others too (eth1)"
    assert selection.why_wide([OTHER, TUNNEL]) == told


@pytest.mark.parametrize("flags", [BROADCAST, BROADCAST | UP], ids=["down", "no_carrier"])
def test_all_are_used_when_the_named_one_gets_no_carrier(flags: int) -> None:
    """The cable may be in another card: 30 seconds later all are used."""
    selection = Selection(["eno1"], direct=False)
    dead = Link(3, ("eno1",), flags)
    assert _widens_after(selection, [dead, OTHER], 100.0) == NO_LINK_TIME == 30
    told = "the network interface eno1 has no link; using all others too (eth1)"
    assert selection.why_wide([dead, OTHER]) == told


def test_time_counts_only_while_no_named_interface_can_be_used() -> None:
    """One that comes, and has a carrier, is waited for anew when it goes."""
    selection = Selection(["eth0", "eno1"], direct=False)
    assert not selection.look([OTHER], 0.0)
    assert not selection.look([OTHER, HERE], 9.0)
    assert selection.deadline == float("inf")
    assert not selection.look([OTHER, HERE], 1000.0)
    assert _widens_after(selection, [OTHER], 1001.0) == MISSING_TIME
    told = (
        "none of the network interfaces can be used: eth0 does not exist, eno1 does not exist; "
        "using all others too (there is none yet)"
    )
    assert selection.why_wide([]) == told


def test_card_that_came_without_a_carrier_has_its_thirty_seconds() -> None:
    """They begin when nothing could be used, not when it came."""
    selection = Selection(["eno1"], direct=False)
    assert not selection.look([], 0.0)
    assert not selection.look([Link(3, ("eno1",), BROADCAST)], 9.0)
    assert selection.deadline == NO_LINK_TIME


def test_none_holds_when_all_are_used() -> None:
    """Others are used if they are up, but never brought up."""
    selection = Selection(["eno1", "none"], direct=False)
    _widens_after(selection, [OTHER], 0.0)
    assert selection.uses(OTHER)
    assert not selection.brings_up(OTHER)


def test_nothing_to_widen() -> None:
    """Without names, or with "none" alone, time changes nothing."""
    for names in ([], ["none"]):
        selection = Selection(names, direct=False)
        assert selection.wide
        assert not selection.look([], 0.0)
        assert selection.deadline == float("inf")
