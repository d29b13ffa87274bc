# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Approval: requests that wait for a person's verdict, and the verdict while it is in force.

See the manual page mandos(8), "APPROVAL".  Pure: no clock, every method takes ``now``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.server.life.events import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta


class Request:
    """A request that waits for a verdict, at most until ``until``; the end calls ``wake`` once."""

    __slots__ = ("settled", "until", "wake", "why")

    def __init__(self, until: datetime) -> None:
        self.until = until
        self.settled = False
        self.why: Rejection | None = None
        self.wake: Callable[[], None] = _nothing

    def settle(self, why: Rejection | None) -> None:
        """Fix the verdict: rejected for the reason ``why``, or approved when it is None."""
        self.settled, self.why = True, why
        self.wake()


def _nothing() -> None:
    """Default for ``wake``: does nothing."""


class Approval:
    """The requests of one client that wait, and the verdict in force."""

    def __init__(self) -> None:
        self._waiting: list[Request] = []
        self._approved = False
        self._in_force_until: datetime | None = None

    @property
    def pending(self) -> bool:
        """Whether any request waits."""
        return bool(self._waiting)

    @property
    def deadline(self) -> datetime | None:
        """The time at which the first waiting request has waited long enough."""
        return min((request.until for request in self._waiting), default=None)

    def verdict(self, now: datetime) -> bool | None:
        """Return the verdict in force: approved, denied, or None when there is none."""
        found = self.in_force(now)
        return None if found is None else found[0]

    def in_force(self, now: datetime) -> tuple[bool, datetime] | None:
        """Return the verdict in force, and its end; None when there is none."""
        if self._in_force_until is None or now >= self._in_force_until:
            return None
        return self._approved, self._in_force_until

    def wait(self, until: datetime) -> Request:
        """Add a request that waits for a verdict until then."""
        request = Request(until)
        self._waiting.append(request)
        return request

    def withdraw(self, request: Request) -> bool:
        """Forget a request whose peer has gone away; returns whether it waited."""
        if request not in self._waiting:
            return False
        self._waiting.remove(request)
        return True

    def give_verdict(self, now: datetime, duration: timedelta, *, approved: bool) -> int:
        """Settle all that wait and keep the verdict for a while; returns how many waited."""
        self._approved = approved
        self._in_force_until = now + duration
        return self._settle(list(self._waiting), None if approved else Rejection.DENIED)

    def time_out(self, now: datetime, *, default: bool) -> int:
        """Settle the requests that have waited long enough; returns their number."""
        late = [request for request in self._waiting if request.until <= now]
        return self._settle(late, None if default else Rejection.TIMED_OUT)

    def reset(self, why: Rejection) -> int:
        """Reject all waiting requests for this reason and end any verdict; returns their number."""
        self._in_force_until = None
        return self._settle(list(self._waiting), why)

    def _settle(self, requests: list[Request], why: Rejection | None) -> int:
        for request in requests:
            self._waiting.remove(request)
            request.settle(why)
        return len(requests)
