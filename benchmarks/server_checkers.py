# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of healthy clients and their checkers: whom the server disables, and what it costs.

Every client is well, so whoever is disabled was disabled because the server was slow.  Processor
time is in cores: seconds of it in a second.  With ``--quick`` the same number of checkers a second
is run for fewer clients and a shorter time.  The exit status says whether every bar is met.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.disk import database
from harness.families import ours, reference
from harness.figures import Figures
from harness.fleet import clients_conf, fleet
from harness.host import why_impossible

if TYPE_CHECKING:
    from harness.families import Family
    from harness.fleet import Fleet

CORES_BAR = 0.5
PING = "fping -q -- %%(host)s"
TRUE = "exec true"


class Load(NamedTuple):
    """So many clients, each checked once in ``interval`` seconds; it lasts so many seconds."""

    clients: int
    interval: int
    seconds: int
    checker: str

    def __str__(self) -> str:
        rate = self.clients / self.interval
        what = f"{self.clients} clients, {self.checker!r} every {self.interval} s"
        return f"{what}: {rate:.0f} a second for {self.seconds} s"

    @property
    def configuration(self) -> str:
        """The default timeout is two and a half default intervals, and so is this one."""
        timeout = self.interval * 5 // 2
        times = (f"interval = PT{self.interval}S", f"timeout = PT{timeout}S")
        return clients_conf(self.clients, f"checker = {self.checker}", *times)


class Outcome(NamedTuple):
    """How many clients were disabled, and the cores used by the server and by its checkers."""

    disabled: int
    own: float
    children: float


FULL = (Load(10_000, 120, 360, PING), Load(10_000, 120, 360, TRUE))
QUICK = (Load(2_500, 30, 90, PING), Load(2_500, 30, 90, TRUE))
BESIDE = Load(100, 4, 40, "true")


def main() -> int:
    """Print the tables; returns the exit status."""
    if reason := why_impossible():
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    figures = Figures()
    for load in QUICK if "--quick" in sys.argv[1:] else FULL:
        figures.title(str(load))
        _hold(figures, _under(load, ours()))
    figures.title(str(BESIDE))
    for family in (ours(), reference()):
        if not family.missing():
            outcome = _under(BESIDE, family)
            cores = f"{outcome.own:.3f} and {outcome.children:.3f} cores"
            figures.show(f"{family.name}: disabled", str(outcome.disabled), cores)
    return 0 if figures.met else 1


def _hold(figures: Figures, outcome: Outcome) -> None:
    figures.hold("healthy clients disabled", [outcome.disabled], 0)
    figures.hold("cores, the server itself", [outcome.own], CORES_BAR)
    figures.show("cores, its checkers", f"{outcome.children:.2f}")


def _under(load: Load, family: Family) -> Outcome:
    """Put a server under a load; the reference is asked by D-Bus what has become of it."""
    options = () if family.name == "reference" else ("--no-dbus",)
    with fleet(family, load.configuration, options) as server:
        server.start()
        before, begin = server.processor, time.monotonic()
        time.sleep(load.seconds)
        after, took = server.processor, time.monotonic() - begin
        find = _disabled_by_reference if family.name == "reference" else _disabled_by_us
        disabled = find(server, load)
    cores = ((now - then) / took for now, then in zip(after, before, strict=True))
    return Outcome(disabled, *cores)


def _disabled_by_reference(server: Fleet, _load: Load) -> int:
    clients = json.loads(server.host.run("mandos-ctl", "--dump-json"))
    return sum(not client["Enabled"] for client in clients.values())


def _disabled_by_us(server: Fleet, load: Load) -> int:
    """From what it has on disk; clients that were not checked in time count too."""
    server.stop()
    query = "SELECT enabled AND last_checked_ok > (SELECT max(last_checked_ok) FROM life) - ?"
    late = (load.interval + load.interval // 4) * 1_000_000
    with database(server.state) as state:
        return sum(not well for (well,) in state.execute(f"{query} FROM life", (late,)))


if __name__ == "__main__":
    sys.exit(main())
