# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often strangers may cause work: some times at once, then so many times a second.

Logic only, the caller has the clock.  Early boot uses it; it imports nothing.
"""

from __future__ import annotations


class Pace:
    """Allows acts of a cost of ``burst`` at once, and of ``rate`` more in each second."""

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = self._left = burst
        self._rate = rate
        self._since = 0.0

    def ready_at(self, now: float, cost: float = 1.0) -> float:
        """When an act of this cost may be; ``now`` if it may be at once."""
        self._fill(now)
        return now + max(0.0, cost - self._left) / self._rate

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Whether an act of this cost may be now; if so, it is counted."""
        self._fill(now)
        if self._left < cost:
            return False
        self._left -= cost
        return True

    def _fill(self, now: float) -> None:
        if now > self._since:
            self._left = min(self._burst, self._left + (now - self._since) * self._rate)
            self._since = now


class FairPace:
    """A pace for each source and one for all: a source that floods uses up its own.

    The sources that were heard last are remembered, at most ``memory`` of them.
    """

    __slots__ = ("_all", "_each", "_memory", "_sources")

    def __init__(
        self, each: tuple[float, float], together: tuple[float, float], memory: int
    ) -> None:
        self._each = each
        self._all = Pace(*together)
        self._memory = memory
        self._sources: dict[str, Pace] = {}

    def take(self, source: str, now: float, cost: float = 1.0) -> bool:
        """Whether an act of this source may be now; if so, it is counted."""
        pace = self._sources.pop(source, None) or Pace(*self._each)
        self._sources[source] = pace
        if len(self._sources) > self._memory:
            del self._sources[next(iter(self._sources))]
        if pace.ready_at(now, cost) > now or not self._all.take(now, cost):
            return False
        return pace.take(now, cost)
