# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the packets of strangers is read, by hand-turned time."""

from __future__ import annotations

import random

import pytest

from mandos.discovery.finder import MAX_SOURCES, PACE_OF_ALL, PACE_OF_EACH, PACKET_COST
from mandos.discovery.pace import FairPace

#: Packets and bytes a second that are read whole.
PACKETS, BYTES = 1000, 1_000_000
GOOD, GOOD_SIZE = "fe80::600d", 300
SECONDS = 30


def _share(sources: int, packets: int, size: int, source_of_good: str = GOOD) -> float:
    """The share of a good server's packets that is read, sent at any time among the strangers'."""
    pace = FairPace(PACE_OF_EACH, PACE_OF_ALL, MAX_SOURCES)
    chance = random.Random(1)  # noqa: S311 - the same each time
    sent = read = 0
    for number in range(packets * SECONDS):
        now = 100 + number / packets
        pace.take(f"fe80::bad:{number % sources:x}", now, PACKET_COST + size)
        if number > 10 * packets and chance.random() < 1 / 50:
            sent += 1
            later = now + chance.random() / packets
            read += pace.take(source_of_good, later, PACKET_COST + GOOD_SIZE)
    return read / sent


@pytest.mark.parametrize("sources", [1, 2, 1000])
def test_all_packets_within_the_budget_are_read(sources: int) -> None:
    """So no packet of a good server is lost, from however few addresses strangers send."""
    assert _share(sources, PACKETS, BYTES // PACKETS) == 1


def test_one_source_that_floods_leaves_room() -> None:
    """Ten times the budget, from one address."""
    assert _share(1, 10 * PACKETS, BYTES // PACKETS) == 1


@pytest.mark.parametrize("size", [10, GOOD_SIZE, BYTES // PACKETS])
def test_server_is_not_silenced_by_packets_in_its_name(size: int) -> None:
    """A stranger can send in the name of any neighbour: half of the packets are read at least."""
    assert _share(1, PACKETS, size, "fe80::bad:0") > 0.5
