# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of the clients' lives: its time passes while the machine runs.

It follows CLOCK_MONOTONIC (clock_gettime(2)).  So it stands still while the machine is suspended,
and setting the machine's date neither expires a client nor keeps one alive.  It also stands still
while it is held (``link_loss = hold``).  It runs on while the server itself is stopped, starved or
busy, since strangers may be able to cause that; ``client.py`` has the rule for clients that could
not be checked.  :meth:`Clock.date` converts its time to the machine's date.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

#: Seconds between two calls of ``beat``; the timer keeps to it.
BEAT = 1.0
#: Seconds without a call after which the server must have been unable to hear its checkers.
BLIND = 2.0
#: Smaller errors of dates stay, so that one date does not change from call to call.
_TOLERANCE = timedelta(seconds=1)
#: The common time may be corrected by so much without going back.
_STEP = timedelta(seconds=3)


class Clock:
    """Counts the time during which the machine runs and the clock is not held.

    ``monotonic`` reads CLOCK_MONOTONIC in seconds, ``date`` the machine's date.
    ``holds`` is how often the clock has been held so far.

    ``on_shift`` is told the seconds for which it stood still, or by how many the machine's date was
    set: dates that were written down before are then no longer right.  ``on_stall`` is told the
    seconds since the last beat, when they are more than BLIND, before ``now`` returns: so much
    later the server hears of things that may have happened in between.  Beats come by the event
    loop's timer.  Other looks at the clock do not count, since one long turn of the loop may have
    many.  A stall while the clock is held takes no time by it, and is not reported.
    """

    def __init__(self, monotonic: Callable[[], float], date: Callable[[], datetime]) -> None:
        self._monotonic = monotonic
        self._date = date
        self._start = date()
        self._seen = self._heard = monotonic()
        self._passed = 0.0
        self._held = False
        self.holds = 0
        self._offset = self._told = timedelta(0)
        self.on_shift: Callable[[float], object] = float
        self.on_stall: Callable[[float], object] = float

    @property
    def held(self) -> bool:
        """Whether it stands still on purpose."""
        return self._held

    def now(self) -> datetime:
        """Return the time; it never goes back."""
        monotonic = self._monotonic()
        since, self._seen = monotonic - self._seen, monotonic
        if not self._held:
            self._passed += max(since, 0.0)
        if (unheard := monotonic - self._heard) > BLIND:
            self._heard = monotonic
            if not self._held:
                self.on_stall(unheard)
        return self._start + timedelta(seconds=self._passed)

    def beat(self) -> datetime:
        """Return the time; calls ``on_shift`` when saved dates have become wrong."""
        now = self.now()
        self._heard = self._seen
        offset = self._date() - now
        if abs(offset - self._offset) > _TOLERANCE:
            self._offset = offset
        if not self._held and self._offset != self._told:
            wrong, self._told = self._offset - self._told, self._offset
            self.on_shift(wrong.total_seconds())
        return now

    def begin(self) -> None:
        """Note that beats come from now on: until now the server was starting."""
        self._heard = self._monotonic()

    def hold(self) -> None:
        """Stand still until released."""
        self.now()
        self.holds += not self._held
        self._held = True

    def release(self) -> None:
        """Let the time pass again."""
        self.now()
        self._held = False
        self.beat()

    def date(self, moment: datetime) -> datetime:
        """Return the machine's date at a moment of this clock, by the last look at both."""
        return moment + self._offset


class CommonClock(Clock):
    """The clock of servers that share their state: it follows the time that they agree on.

    It waits where it would have to go back by a little.  By more it goes back, after it was wrong:
    it would stand still for as long otherwise.  Holding it has no effect on its time, only on
    whether failed checks count.  Dates are its own time.
    """

    def __init__(self, monotonic: Callable[[], float], moment: datetime) -> None:
        super().__init__(monotonic, lambda: moment)
        self._agreed = moment, monotonic()
        self._last = moment

    def agree(self, moment: datetime, at: float) -> timedelta:
        """Take over the time of all servers: it was ``moment`` when ``monotonic`` said ``at``.

        Returns by how much the clock goes back; nearly always by nothing.
        """
        self._agreed = moment, at
        present = moment + timedelta(seconds=self._monotonic() - at)
        back = self._last - present
        if back <= _STEP:
            return timedelta(0)
        self._last = present
        return back

    def now(self) -> datetime:
        """Return the time; it goes back only when the servers agree on one that is far earlier."""
        super().now()
        moment, at = self._agreed
        self._last = max(self._last, moment + timedelta(seconds=self._seen - at))
        return self._last

    def beat(self) -> datetime:
        """Return the time."""
        now = self.now()
        self._heard = self._seen
        return now

    def release(self) -> None:
        """Let failed checks count again."""
        self._held = False

    def date(self, moment: datetime) -> datetime:
        """Return the moment itself."""
        return moment
