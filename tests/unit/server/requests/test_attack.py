# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An attack is named once when it begins and once when it is over; the test turns the clock."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mandos.server.requests import attack
from mandos.server.requests.attack import THRESHOLD, AttackWatch, Frequent, Useless
from mandos.server.requests.sockets import Peer

ROGUE = Peer("fe80::bad", 1, "eth0")


def _others(number: int) -> Peer:
    return Peer(f"2001:db8::{number:x}", 1)


def test_attack_has_one_warning_and_one_end() -> None:
    """With counts, and with the address and interface of most connections."""
    watch = AttackWatch(now=0.0)
    said = [watch.note(Useless.FAILED, _others(number), 1.0) for number in range(10)]
    said += [watch.note(Useless.UNKNOWN_KEY, ROGUE, 2.0) for _ in range(90)]
    said += [watch.note(Useless.FAILED, ROGUE, 3.0) for _ in range(THRESHOLD)]
    warning = "".join(said)
    assert said[THRESHOLD - 1] == warning
    assert warning == (
        "under attack, or clients are broken: 910 failed connections, 90 requests with unknown"
        " keys; most (at least 990) from fe80::bad on eth0, within 3 s; clients are still served,"
        " but may have to wait; find that machine, or block its address in the firewall"
    )
    assert watch.attack
    assert watch.minute_over(60.0) == ""
    for _ in range(THRESHOLD):
        assert watch.note(Useless.EVICTED, ROGUE, 70.0) == ""
    assert watch.minute_over(120.0) == ""
    assert watch.attack.endswith(
        "in the last minute 1000 connections ended to make room;"
        " most (at least 1000) from fe80::bad on eth0"
    )
    assert watch.minute_over(180.0) == (
        "the attack is over: in 3 min 1010 failed connections, 1000 connections ended to make"
        " room, 90 requests with unknown keys; most (at least 2090) from fe80::bad on eth0"
    )
    assert watch.attack == ""
    assert watch.minute_over(240.0) == ""


def test_few_useless_connections_are_no_attack() -> None:
    """Nor are many in a long time: 160 clients that are not in the files ask that often."""
    watch = AttackWatch(now=0.0)
    for minute in range(1, 20):
        for number in range(THRESHOLD - 1):
            assert watch.note(Useless.UNKNOWN_KEY, _others(number), minute * 60.0) == ""
        assert watch.minute_over(minute * 60.0) == ""


def test_attack_that_grows_less_is_not_over() -> None:
    """Half of the threshold is: no two lines for each rise and fall."""
    watch = AttackWatch(now=0.0)
    for _ in range(THRESHOLD):
        watch.note(Useless.FAILED, ROGUE, 0.0)
    watch.minute_over(60.0)
    for minute in range(2, 10):
        for _ in range(THRESHOLD // 2):
            assert watch.note(Useless.FAILED, ROGUE, minute * 60.0) == ""
        assert watch.minute_over(minute * 60.0) == ""


def test_no_address_is_named_without_reason() -> None:
    """When each connection has an address of its own."""
    watch = AttackWatch(now=0.0)
    warning = "".join(watch.note(Useless.FAILED, _others(n), 9.0) for n in range(THRESHOLD))
    assert "1000 failed connections; from many addresses, within 9 s" in warning
    assert watch._whole is not None
    assert len(watch._whole.sources.counts) <= attack._SOURCES


def test_memory_is_bounded_and_the_frequent_one_is_found() -> None:
    """Among a hundred thousand addresses, after all places were taken by others."""
    frequent = Frequent()
    for number in range(100_000):
        frequent.add(f"other {number}")
        if number % 20 == 0:
            frequent.add("rogue")
        assert len(frequent.counts) <= attack._SOURCES
    most = frequent.most()
    assert most is not None
    assert most[0] == "rogue"
    assert 5000 - 105_000 // 256 <= most[1] <= 5000


@given(st.lists(st.integers(0, 400), max_size=3000))
def test_counts_are_never_too_large_and_hardly_too_small(items: list[int]) -> None:
    """The bound that the class states, for every item."""
    frequent = Frequent()
    for item in items:
        frequent.add(str(item))
    for item, times in Counter(items).items():
        assert times - len(items) // 256 <= frequent.counts[str(item)] <= times
