# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits log lines that strangers can cause without end: logs some, counts the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two summaries.
INTERVAL = 60.0
#: Causes that are counted separately in one interval.
_CAUSES = 1000


class Tally:
    """Lets ``free`` lines pass in each interval, and has the others reported together after it.

    ``report`` is called with how many there were, and with the cause of most of them.
    """

    def __init__(
        self, report: Callable[[int, str], object], free: int = 1, interval: float = INTERVAL
    ) -> None:
        self._report = report
        self._free = free
        self._interval = interval
        self._passed = 0
        self._causes = Counter[str]()
        self._timer: asyncio.TimerHandle | None = None

    def passes(self, cause: str) -> bool:
        """Whether to log the event that has just happened; otherwise it is counted."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._next)
        if self._passed < self._free:
            self._passed += 1
            return True
        known = cause in self._causes or len(self._causes) < _CAUSES
        self._causes[cause if known else "others"] += 1
        return False

    def close(self) -> None:
        """Report the remaining count."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._causes:
            (cause, _times), *_rest = self._causes.most_common(1)
            self._report(self._causes.total(), cause)
        self._passed = 0
        self._causes.clear()

    def _next(self) -> None:
        """End the interval."""
        self._timer = None
        self.close()
