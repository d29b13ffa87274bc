# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that a server answers in a second, beside a program in C that does nothing else.

``server_load.py [ROUNDS]``.  The clients are one program in C, too (both stand in ``load/`` and are
compiled here, which needs gcc and libgnutls28-dev), on the same machine as the server: it takes its
share of the processors from all servers alike.  The servers are asked in turn.  The exit status
says whether every bar is met.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.families import ours, reference
from harness.figures import Figures, spread
from harness.fleet import PORT, fleet
from harness.host import Host, why_impossible
from harness.keys import Credentials, make_credentials
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.families import Family

ROUNDS = 5
#: Requests of one measurement; of the reference fewer, since it would take minutes.
REQUESTS, FEW_REQUESTS = 2000, 200
AT_ONCE = (8, 64)
#: All at the same instant, once each; and connections that say nothing meanwhile.
CROWD, SILENT = 512, 2000
SHARE_BAR = 0.6
CROWD_BAR = 2.0
SILENT_BAR = 0.5
_PROGRAMS = Path(__file__).with_name("load")
_PATIENCE = 600.0


class Answer(NamedTuple):
    """What the askers tell: requests served and failed, seconds of all and of one."""

    served: int
    failed: int
    seconds: float
    middle: float
    late: float
    worst: float

    @property
    def rate(self) -> float:
        """Requests served in a second."""
        return self.served / self.seconds


class Loaded(NamedTuple):
    """A running server and how it is asked: requests, at once, silent connections."""

    name: str
    ask: Callable[[int, int, int], Answer]


class Bench(NamedTuple):
    """The means of one run: end ``stack`` to end it; ``folder`` has the compiled programs."""

    figures: Figures
    rounds: int
    stack: ExitStack
    folder: Path
    maker: Host

    def credentials(self, name: str) -> Credentials:
        """Keys of a client and its section, with a password that is used nowhere else."""
        return make_credentials(self.maker, ours(), name, b"password of the benchmark")


def run(measure: Callable[[Bench], None], rounds: int) -> int:
    """Measure in ``rounds`` rounds, or those of the command line; returns the exit status."""
    if reason := why_impossible():
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else rounds
    figures = Figures()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mandos-load-")))
        folder.chmod(0o755)
        compile_programs(folder)
        measure(Bench(figures, rounds, stack, folder, stack.enter_context(Host("maker"))))
    return 0 if figures.met else 1


def _measure(bench: Bench) -> None:
    """Print the tables."""
    figures, rounds, keys = bench.figures, bench.rounds, bench.credentials("bench")
    limit = _limit(bench.stack, bench.folder, keys)
    mine = _family(bench.stack, bench.folder, keys, ours())
    theirs = _family(bench.stack, bench.folder, keys, reference())
    for at_once in AT_ONCE:
        _rates(figures, rounds, at_once, (mine, limit))
    _beside_the_reference(figures, mine, theirs)
    _crowd(figures, rounds, mine)
    _silent(figures, rounds, mine)


def _rates(figures: Figures, rounds: int, at_once: int, servers: tuple[Loaded, Loaded]) -> None:
    taken: dict[str, list[Answer]] = {server.name: [] for server in servers}
    for _round in range(rounds):
        for server in servers:
            taken[server.name].append(server.ask(REQUESTS, at_once, 0))
    figures.title(f"{at_once} at once, {rounds} times {REQUESTS} requests; requests in a second")
    for name, answers in taken.items():
        figures.show(name, spread([answer.rate for answer in answers]))
    rates = [median(answer.rate for answer in answers) for answers in taken.values()]
    figures.reach("share of the limit", rates[0] / rates[1], SHARE_BAR)
    failed = sum(answer.failed for answer in taken["ours"])
    figures.hold("requests that failed", [failed], 0)


def _beside_the_reference(figures: Figures, mine: Loaded, theirs: Loaded) -> None:
    figures.title(f"8 at once, {FEW_REQUESTS} requests; requests in a second")
    answers = {server.name: server.ask(FEW_REQUESTS, 8, 0) for server in (mine, theirs)}
    for name, answer in answers.items():
        figures.show(name, f"{answer.rate:.0f}", f"{answer.failed} failed")


def _crowd(figures: Figures, rounds: int, server: Loaded) -> None:
    answers = [server.ask(CROWD, CROWD, 0) for _round in range(rounds)]
    figures.title(f"{CROWD} at the same instant, {rounds} times; seconds of one request")
    figures.show("median", spread([answer.middle for answer in answers]))
    figures.hold("99th percentile", [answer.late for answer in answers], CROWD_BAR)
    figures.hold("requests that failed", [sum(answer.failed for answer in answers)], 0)


def _silent(figures: Figures, rounds: int, server: Loaded) -> None:
    alone, beside = [], []
    for _round in range(rounds):
        alone.append(server.ask(REQUESTS, 64, 0))
        beside.append(server.ask(REQUESTS, 64, SILENT))
    figures.title(f"64 at once, beside {SILENT} connections that say nothing; requests in a second")
    figures.show("alone", spread([answer.rate for answer in alone]))
    figures.show("beside them", spread([answer.rate for answer in beside]))
    share = median(answer.rate for answer in beside) / median(answer.rate for answer in alone)
    figures.reach("share of the rate", share, SILENT_BAR)
    figures.hold("requests that failed", [sum(answer.failed for answer in beside)], 0)


def compile_programs(folder: Path) -> None:
    """Compile what stands in ``load/`` into a folder."""
    for name in ("limit", "askers"):
        source, program = str(_PROGRAMS / f"{name}.c"), str(folder / name)
        flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-std=c17", "-D_GNU_SOURCE")
        libraries = ("-lgnutls", "-lpthread")
        subprocess.run(["gcc", *flags, "-o", program, source, *libraries], check=True)


def _limit(stack: ExitStack, folder: Path, keys: Credentials) -> Loaded:
    host = stack.enter_context(Host("limit"))
    secret = folder / "secret"
    secret.write_bytes(keys.sealed)
    words = (str(PORT), grammar.PRIORITY, keys.key_id, str(secret))
    server = host.start(str(folder / "limit"), *words)
    server.wait_for("^listening$")
    return Loaded("the limit, in C", asking(host, folder, keys))


def _family(stack: ExitStack, folder: Path, keys: Credentials, family: Family) -> Loaded:
    running = stack.enter_context(fleet(family, f"[DEFAULT]\nchecker = true\n\n{keys.section}"))
    running.start()
    return Loaded(family.name, asking(running.host, folder, keys))


def asking(
    host: Host, folder: Path, keys: Credentials, seconds: float = 0
) -> Callable[[int, int, int], Answer]:
    """Return a function that asks a server on ``host``: requests, at once, silent connections."""
    words = asker(host, folder, keys)

    def ask(requests: int, at_once: int, silent: int) -> Answer:
        how_much = (str(at_once), str(requests), str(silent), str(seconds))
        process = host.start(*words, *how_much)
        status = process.wait(seconds=_PATIENCE)
        if status != 0:
            sys.exit(process.report(f"exit status {status}"))
        served, failed, *times = process.stdout.decode().split()
        return Answer(int(served), int(failed), *(float(word) for word in times))

    return ask


def asker(host: Host, folder: Path, keys: Credentials, address: str = "::1") -> tuple[str, ...]:
    """The command that asks a server on ``host`` with these keys, without how often.

    ``address`` is one of the host's own; the server sees the requests come from there.
    """
    files = [f"{keys.install(host)}/{name}" for name in ("tls-pubkey.pem", "tls-privkey.pem")]
    where = (address, str(PORT), grammar.PRIORITY, *files, str(len(keys.sealed)))
    return ("prlimit", "--nofile=8192", str(folder / "askers"), *where)


if __name__ == "__main__":
    if missing := [name for name in ("gcc", "prlimit") if not shutil.which(name)]:
        sys.exit(f"bench: not installed: {', '.join(missing)}")
    sys.exit(run(_measure, ROUNDS))
