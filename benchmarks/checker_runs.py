# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hundred thousand checkers, one after the other and many at once: what each leaves behind.

``checker_runs.py [NUMBER]``.  Every seventh is stopped once it has begun, as that of a client that
is disabled; the others end by themselves, well or not.  Whatever was left behind would be seen:
a process that runs on or that nobody has reaped, a descriptor, memory that grows.  The exit status
says whether nothing was.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.figures import Figures
from mandos.server.checking.processes import Checkers, Run

NUMBER = 100_000
AT_ONCE = 128
STOPPED = 7
#: In the environment of all that is started here.
MARK = f"MANDOS_BENCH=checkers-of-{os.getpid()}"
COMMANDS = ("exec true", "exec false", "kill -KILL $$")
#: Growth that is no leak: the allocator's own, and counters.
GROWTH_BAR = 1.0


class Treadmill:
    """A supervisor whose checkers go on and on, until so many have run."""

    def __init__(self, number: int) -> None:
        self._checkers = Checkers(self, AT_ONCE)
        self._number = number
        self._wanted = 0
        self._ended = 0
        self._all_ended = asyncio.Event()

    async def run(self) -> None:
        """Return when all have ended."""
        for _turn in range(min(2 * AT_ONCE, self._number)):
            self._want()
        await self._all_ended.wait()
        await self._checkers.close()

    def command(self, run: Run) -> str:
        """What the shell shall do."""
        if run.number % STOPPED == 0:
            return "sleep 1000 & wait"
        return COMMANDS[run.number % len(COMMANDS)]

    def began(self, run: Run, _command: str) -> None:
        """Stop some of them."""
        if run.number % STOPPED == 0:
            self._checkers.stop(run)
            self._end()

    def refused(self) -> None:
        """The checkers try again by themselves."""

    def completed(self, _run: Run, _command: str, _wait_status: int, _words: str) -> None:
        """The next one."""
        self._end()

    def _want(self) -> None:
        if self._wanted < self._number:
            self._wanted += 1
            self._checkers.want(Run("client", self._wanted))

    def _end(self) -> None:
        self._ended += 1
        self._want()
        if self._ended == self._number:
            self._all_ended.set()


def main() -> int:
    """Print the table; returns the exit status."""
    name, _equals, value = MARK.partition("=")
    os.environ[name] = value
    number = int(sys.argv[1]) if len(sys.argv) > 1 else NUMBER
    asyncio.run(_tread(number // 20))  # what is needed once is allocated here
    memory, descriptors = _resident(), _descriptors()
    begin = time.monotonic()
    asyncio.run(_tread(number))
    took = time.monotonic() - begin
    figures = Figures()
    figures.title(f"{number} checkers, at most {AT_ONCE} at once")
    figures.show("checkers a second", f"{number / took:.0f}")
    figures.hold("processes not reaped", [_children()], 0)
    figures.hold("processes that run on", [_marked()], 0)
    figures.hold("descriptors left behind", [_descriptors() - descriptors], 0)
    figures.hold("growth of memory, MB", [(_resident() - memory) / 1e6], GROWTH_BAR)
    return 0 if figures.met else 1


async def _tread(number: int) -> None:
    await Treadmill(number).run()


def _children() -> int:
    """Processes of ours, running or not reaped: /proc/pid/task/tid/children in proc(5)."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return len(path.read_text(encoding="ascii").split())


def _marked() -> int:
    """Processes that our checkers have started, and theirs: /proc/pid/environ in proc(5)."""
    number = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            number += MARK.encode() in path.read_bytes()
    return number


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only their number


def _resident() -> int:
    gc.collect()
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
