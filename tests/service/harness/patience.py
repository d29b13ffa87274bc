# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits on waiting that a busy machine does not reach.

A limit in seconds of the wall clock means little when other processes take most of a processor.
``Patience`` counts a second in full only if every process that could run had a processor.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

#: Seconds between two looks at the load, at most.
LOOK = 0.5
T = TypeVar("T")


class Load(NamedTuple):
    """Numbers of processes on the machine: those that could run, those that wait for a disk."""

    running: int
    blocked: int

    def share(self, processors: int) -> float:
        """Return a process's share of a processor and of the disk, from 0 to 1."""
        return min(1.0, processors / max(1, self.running)) / max(1, self.blocked)


def load() -> Load:
    """Read the machine's load: ``procs_running`` and ``procs_blocked`` in proc_stat(5)."""
    with open("/proc/stat", encoding="ascii") as stat:  # noqa: PTH123 - often; this is cheaper
        figures = dict(line.split(maxsplit=1) for line in stat)
    return Load(int(figures["procs_running"]), int(figures["procs_blocked"]))


class Patience:
    """So many seconds as an idle machine counts them.

    On a busy one they take as much longer as there are more processes than processors.
    """

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[], Load] = load,
        processors: int = os.cpu_count() or 1,
    ) -> None:
        self._clock, self._load, self._processors = clock, load, processors
        self._left = seconds
        self._looked = clock()

    def is_over(self) -> bool:
        """Whether all seconds have passed; looks at clock and load."""
        now = self._clock()
        self._left -= (now - self._looked) * self._load().share(self._processors)
        self._looked = now
        return self._left <= 0

    @property
    def pause(self) -> float:
        """Seconds of the clock until ``is_over`` is to be asked again."""
        return min(max(self._left, 0.0), LOOK)


def is_readable(descriptor: int, seconds: float) -> bool:
    """Wait until a descriptor can be read; return False if ``seconds`` of patience pass first."""
    patience = Patience(seconds)
    while not select.select([descriptor], [], [], patience.pause)[0]:
        if patience.is_over():
            return False
    return True


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of ``work``; after ``seconds`` of patience cancel it: TimeoutError."""
    patience, task = Patience(seconds), asyncio.create_task(work)
    try:
        while not task.done():
            if patience.is_over():
                raise TimeoutError
            await asyncio.wait([task], timeout=patience.pause)
        return task.result()
    finally:
        task.cancel()
