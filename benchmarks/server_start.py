# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's start, end and memory with ten thousand clients; then beside the reference's.

The reference needs minutes for that many, so the two are compared with as many as it can bear.
The exit status says whether every bar is met.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.families import ours, reference
from harness.figures import Figures, spread
from harness.fleet import clients_conf, fleet
from harness.host import why_impossible

if TYPE_CHECKING:
    from harness.families import Family
    from harness.fleet import Fleet

MANY = 10_000
FEW = 100
ROUNDS = 5
FEW_ROUNDS = 2
#: Every client is checked once in so many seconds while memory is watched.
INTERVAL = 60
BARS = {"start, fresh": 2.0, "start, with state": 3.0, "stop": 0.5}
MEMORY_BAR = 120.0


class Times(NamedTuple):
    """Seconds that a server took, each round's; in the order of the bars."""

    fresh: list[float]
    again: list[float]
    stop: list[float]


def main() -> int:
    """Print the tables; returns the exit status."""
    if reason := why_impossible():
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    figures = Figures()
    figures.title(f"{MANY} clients with secrets of 1.4 kB, each checked by true; seconds")
    with fleet(ours(), clients_conf(MANY, "checker = true", f"interval = PT{INTERVAL}S")) as many:
        for (what, bar), seconds in zip(BARS.items(), _times(many, ROUNDS), strict=True):
            figures.hold(what, seconds, bar)
        _memory(figures, many)
    if not reference().missing():
        _compare(figures)
    return 0 if figures.met else 1


def _times(one: Fleet, rounds: int) -> Times:
    times = Times([], [], [])
    for _round in range(rounds):
        one.forget()
        times.fresh.append(one.start())
        times.stop.append(one.stop())
        times.again.append(one.start())
        times.stop.append(one.stop())
    return times


def _memory(figures: Figures, many: Fleet) -> None:
    """After a start with state, and when every client has been checked at least once."""
    many.start()
    figures.show("memory after the start, MB: RSS, PSS, peak", str(many.memory))
    time.sleep(INTERVAL + 10)
    figures.show("memory when all have been checked", str(many.memory))
    figures.hold("memory at the peak", [many.memory.peak / 1e6], MEMORY_BAR)
    many.stop()


def _compare(figures: Figures) -> None:
    figures.title(f"{FEW} clients, one family after the other; seconds")
    mine, theirs = _few(ours()), _few(reference())
    for what, own, other in zip(BARS, mine, theirs, strict=True):
        ratio = median(own) / median(other)
        figures.show(f"{what}, ours", spread(own), f"ratio {ratio:.3f}")
        scaled = f"for {MANY} about {median(other) * MANY / FEW:.0f}"
        figures.show(f"{what}, the reference's", spread(other), scaled)


def _few(family: Family) -> Times:
    with fleet(family, clients_conf(FEW, "checker = true")) as one:
        return _times(one, FEW_ROUNDS)


if __name__ == "__main__":
    sys.exit(main())
