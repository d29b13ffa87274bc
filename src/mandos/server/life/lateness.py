# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how late the server is with a client's check.  Pure.

A check is late when it begins after it was due, or when the server could not hear its end.  Causes:
the queue of checkers was full, no process could be started, the event loop stood still.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NOTHING = timedelta(0)
#: A check that is late by this time or less counts as punctual: timers and processes are not exact.
SLACK = timedelta(seconds=0.25)


class Lateness:
    """The lateness of a client's present check, from when it was due until it has ended."""

    __slots__ = ("_due", "_late", "owed", "unheard")

    def __init__(self) -> None:
        self._due: datetime | None = None
        self._late = NOTHING
        #: The lateness of the next check, as far as it is known before that is due.
        self.owed = NOTHING
        #: How long the server stood still while the check ran; the check may have ended then.
        self.unheard = NOTHING

    @property
    def waiting(self) -> bool:
        """Whether the check is due and has not begun."""
        return self._due is not None

    def owe(self) -> None:
        """Count the next check as late, because the server was down when it was due."""
        self.owed = 2 * SLACK

    def due(self, since: datetime) -> None:
        """Note that the next check is due, and waits for its turn."""
        self._late, self.owed = self.owed, NOTHING
        self.unheard = NOTHING
        self._due = since

    def begin(self, now: datetime) -> None:
        """Note that the check begins."""
        self._late = self.by(now)
        self._due = None

    def stall(self, time: timedelta) -> None:
        """Note that the server stood still for ``time``; it counts if the check had begun."""
        if not self.waiting:
            self._late += time
            self.unheard += time

    def end(self) -> None:
        """Note that the check has ended, or will not be made."""
        self._due, self._late = None, NOTHING

    def by(self, now: datetime) -> timedelta:
        """Return how late the check is."""
        return self._late if self._due is None else self._late + (now - self._due)
