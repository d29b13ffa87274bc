# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's time to the password, and its memory, among strangers who use a whole budget.

``client_rogues.py [ROUNDS]``.  A switch with the client, a good server and one host of strangers:
1 000 packets and 1 MB a second, 1 000 addresses, servers that hang, send 16 MiB or expensive
messages, or are not there.  In each round the client finds a server that is there before it, then
one whose program is started a second later; without the strangers, among all of them, and among
1 000 hosts of one kind.  Then there is no server, and the client's processor time is measured.  All
share the processors.  The exit status says whether the bars are met.
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.families import ours
from harness.figures import Figures, spread
from harness.host import Host, why_impossible
from harness.keys import make_credentials
from harness.peers import start_client, start_server
from harness.rogues import (
    MEMORY_LIMIT,
    expensive_message,
    memory_of,
    processor_seconds,
    start_mob,
    told_by_mob,
)
from harness.vm.boot import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.keys import Credentials
    from harness.rogues import Memory

ROUNDS = 5
#: Seconds to the password among strangers.
SECONDS_BAR = 5.0
#: Seconds that a server is late, and that are waited for a password.
LATE, PATIENCE = 1.0, 120.0
#: Seconds in which the client's work is measured.
LONG = 10.0
PASSWORD = b"password of the benchmark"
MEMORY_BAR = MEMORY_LIMIT / (1 << 20)
ALONE = "no strangers"
#: Strangers by name, and their ways: none for all.
CROWDS: dict[str, Sequence[str] | None] = {
    ALONE: None,
    "all strangers": (),
    "all hang": ("hang",),
    "all send messages": ("send",),
}


class Trial(NamedTuple):
    """One run of the client: seconds, memory, lines on standard error."""

    seconds: float
    memory: Memory
    lines: int


class Load(NamedTuple):
    """The share of one processor that a client uses, and what strangers send in a second."""

    share: float
    packets: float
    kilobytes: float


def main() -> int:
    """Print the table; returns the exit status."""
    if reason := why_impossible():
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    figures = Figures()
    with Host("workshop") as workshop:
        keys = make_credentials(workshop, ours(), "bench", PASSWORD)
        for late, name in ((False, "is there before the client"), (True, "is started 1 s later")):
            taken: dict[str, list[Trial]] = {name: [] for name in CROWDS}
            for _round in range(rounds):
                for crowd, ways in CROWDS.items():
                    taken[crowd].append(_run(keys, ways, late=late))
            figures.title(f"a server that {name}; {rounds} rounds")
            _show(figures, taken)
        figures.title(f"no server; {rounds} times {LONG:g} s")
        for crowd, ways in CROWDS.items():
            loads = [_load(keys, ways) for _round in range(rounds)]
            figures.show(f"share of one processor, {crowd}", spread([one.share for one in loads]))
            figures.show("  packets in a second", spread([one.packets for one in loads]))
            figures.show("  kB in a second", spread([one.kilobytes for one in loads]))
    return 0 if figures.met else 1


def _load(keys: Credentials, ways: Sequence[str] | None) -> Load:
    """The work of a client without a server."""
    with ExitStack() as stack:
        site = Site(stack)
        client = stack.enter_context(Host("client"))
        site.cable(client)
        mob = None
        if ways is not None:
            mob = start_mob(site, stack, expensive_message(keys, client), *ways)
        before = told_by_mob(mob) if mob else {}
        asking = stack.enter_context(start_client(client, ours(), keys))
        begin = time.perf_counter()
        time.sleep(LONG)
        used, seconds = processor_seconds(asking), time.perf_counter() - begin
        after = told_by_mob(mob) if mob else {}
        passed = time.perf_counter() - begin
        sent = {word: after[word] - before[word] for word in before}
        return Load(
            used / seconds,
            sent.get("packets", 0) / passed,
            sent.get("bytes", 0) / passed / 1000,
        )


def _run(keys: Credentials, ways: Sequence[str] | None, *, late: bool) -> Trial:
    with ExitStack() as stack:
        site = Site(stack)
        client, server = stack.enter_context(Host("client")), site.host()
        site.cable(client)
        if ways is not None:
            mob = start_mob(site, stack, expensive_message(keys, client), *ways)
            told_by_mob(mob)
        if not late:
            stack.enter_context(start_server(server, ours(), keys.section, zeroconf=True))
        begin = time.perf_counter()
        asking = stack.enter_context(start_client(client, ours(), keys))
        memory = stack.enter_context(memory_of(asking))
        if late:
            time.sleep(LATE)
            begin = time.perf_counter()
            stack.enter_context(start_server(server, ours(), keys.section, zeroconf=True))
        status = asking.wait(PATIENCE)
        seconds = time.perf_counter() - begin
        if status != 0 or asking.stdout != PASSWORD:
            sys.exit(asking.report(f"exit status {status}"))
        return Trial(seconds, memory, len(asking.lines) - 1)


def _show(figures: Figures, taken: dict[str, list[Trial]]) -> None:
    before = median(trial.seconds for trial in taken[ALONE])
    for name, trials in taken.items():
        seconds = [trial.seconds for trial in trials]
        figures.show(f"seconds to the password, {name}", spread(seconds))
        figures.hold("  the longest", [max(seconds)], SECONDS_BAR)
        figures.show("  ratio of the medians", f"{median(seconds) / before:.1f}")
        figures.hold("  MiB together", _mib([one.memory.together for one in trials]), MEMORY_BAR)
        figures.hold(
            "  MiB of one process", _mib([one.memory.largest for one in trials]), MEMORY_BAR
        )
        figures.show("  lines on standard error", spread([trial.lines for trial in trials]))


def _mib(sizes: Sequence[int]) -> list[float]:
    return [size / (1 << 20) for size in sizes]


if __name__ == "__main__":
    if missing := [name for name in ("radvd", "gpg") if not shutil.which(name)]:
        sys.exit(f"bench: not installed: {', '.join(missing)}")
    sys.exit(main())
