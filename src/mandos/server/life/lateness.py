# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""By how much the server is late with a client's check; pure.

A check is late when it begins after it was due, or when the server could not hear its end: the
queue of checkers was full, no process could be started, the event loop stood still.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NOTHING = timedelta(0)
#: A check that is late by this much or less is in time: timers and processes are not exact.
SLACK = timedelta(seconds=0.25)


class Lateness:
    """The lateness of a client's present check, from when it was due until it has ended."""

    __slots__ = ("_due", "_late", "_owed", "unheard")

    def __init__(self) -> None:
        self._due: datetime | None = None
        self._late = self._owed = NOTHING
        #: For how long the server could hear nothing while the check ran: it may have ended then.
        self.unheard = NOTHING

    @property
    def waiting(self) -> bool:
        """Whether the check is due and has not begun."""
        return self._due is not None

    def owe(self) -> None:
        """Count the next check as late: the server was down when it should have been made."""
        self._owed = 2 * SLACK

    def due(self, since: datetime) -> None:
        """The next check waits for its turn."""
        self._late, self._owed = self._owed, NOTHING
        self.unheard = NOTHING
        self._due = since

    def begin(self, now: datetime) -> None:
        """The check begins."""
        self._late = self.by(now)
        self._due = None

    def stall(self, time: timedelta) -> None:
        """The server could hear nothing for so long while the check ran."""
        if not self.waiting:
            self._late += time
            self.unheard += time

    def end(self) -> None:
        """The check has ended, or will not be made."""
        self._due, self._late = None, NOTHING

    def by(self, now: datetime) -> timedelta:
        """How late the check is."""
        return self._late if self._due is None else self._late + (now - self._due)
