# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server runs a million checkers a week: none may leave anything behind."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from pathlib import Path

import pytest

from mandos.server.checking import processes as checkers_module
from mandos.server.checking.processes import Checkers, Run

AT_ONCE = 64
WARM, MANY = 200, 3000
#: One object kept for each run would be 40 times as much.
GROWTH = 4096


class Treadmill:
    """Has one checker after the other run; every fifth is stopped once it has begun."""

    def __init__(self) -> None:
        self._checkers = Checkers(self, AT_ONCE)
        self._wanted = self._ended = self._last = 0
        self._done = asyncio.Event()

    async def run(self, number: int) -> None:
        """Return when so many more have run and nothing runs any more."""
        self._last += number
        self._done.clear()
        for _turn in range(2 * AT_ONCE):
            self._want()
        await self._done.wait()
        while len(self._checkers):  # noqa: ASYNC110 - nobody is told of those that were stopped
            await asyncio.sleep(0)

    async def close(self) -> None:
        """End it all."""
        await self._checkers.close()

    def command(self, run: Run) -> str:
        """Ends well, badly, by a signal, or never."""
        commands = ("exec true", "exec false", "kill -KILL $$", "exec true", "sleep 1000 & wait")
        return commands[run.number % 5]

    def began(self, run: Run, _command: str) -> None:
        """Stop some."""
        if run.number % 5 == 4:
            self._checkers.stop(run)
            self._next()

    def refused(self) -> None:
        """The checkers try again by themselves."""

    def completed(self, _run: Run, _command: str, _wait_status: int, _words: str) -> None:
        """The next one."""
        self._next()

    def _next(self) -> None:
        self._ended += 1
        self._want()
        if self._ended == self._last:
            self._done.set()

    def _want(self) -> None:
        if self._wanted < self._last:
            self._wanted += 1
            self._checkers.want(Run(f"client-{self._wanted}", self._wanted))


def _children() -> set[str]:
    """This process's children, zombies too: proc_pid_task_tid_children(5)."""
    paths = Path("/proc/self/task").glob("*/children")
    return {pid for path in paths for pid in path.read_text(encoding="ascii").split()}


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def _kept() -> int:
    """Bytes that were allocated in the room of the checkers and are still in use."""
    gc.collect()
    rooms = [tracemalloc.Filter(inclusive=True, filename_pattern=checkers_module.__file__)]
    statistics = tracemalloc.take_snapshot().filter_traces(rooms).statistics("filename")
    return sum(statistic.size for statistic in statistics)


async def test_thousands_of_runs_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process, running or unreaped, no descriptor and no memory, however each of them ended."""
    monkeypatch.setattr(checkers_module, "_GRACE", 0.0)
    children, descriptors = _children(), _descriptors()
    treadmill = Treadmill()
    tracemalloc.start()
    try:
        await treadmill.run(WARM)
        before = _kept()
        await treadmill.run(MANY)
        assert _kept() - before < GROWTH
    finally:
        tracemalloc.stop()
    await treadmill.close()
    assert _children() <= children
    assert _descriptors() <= descriptors
