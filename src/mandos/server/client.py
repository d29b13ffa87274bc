# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a client: one object that knows no clock, no network and no disk.

Methods take ``now``, an aware datetime, change this object and tell one listener what happened.
A disabled client never gets its secret, a client that has expired is disabled, and nothing but
``enable`` enables one.

``now`` must never go back and must count the time that the machine is suspended: callers anchor
CLOCK_BOOTTIME to the date once, so that setting the clock neither expires a client nor saves one.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from mandos.server import events
from mandos.server.approval import Approval, Request
from mandos.server.events import Rejection, Why

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mandos.server.clients_conf import ClientSettings

#: Status of the last checker, as D-Bus shows it: none has completed yet; it died of a signal.
NEVER_COMPLETED = -2
SIGNALLED = -1


class Give(NamedTuple):
    """The client may have its secret."""

    secret: bytes


class Refuse(NamedTuple):
    """The client gets nothing, for this reason."""

    reason: Rejection


Decision = Give | Refuse | Request


class Client:
    """A client's settings and where it stands in its life.

    ``watched`` says whether somebody runs its checkers: only then can it expire.
    """

    def __init__(
        self,
        settings: ClientSettings,
        now: datetime,
        *,
        watched: bool = True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.tell: Callable[[events.Event], None] = _nobody
        self.created = now
        self.enabled = False
        self.last_enabled: datetime | None = None
        self.expires: datetime | None = None
        self.last_checked_ok: datetime | None = None
        self.last_checker_status = NEVER_COMPLETED
        self.last_approval_request: datetime | None = None
        self.checker_running = False
        self._checker_due: datetime | None = None
        self._run = 0
        self._approval = Approval()
        self._watched = watched
        self._chance = chance
        if settings.enabled:
            self.enable(now)

    @property
    def name(self) -> str:
        """The name of the client's section."""
        return self.settings.name

    @property
    def approval_pending(self) -> bool:
        """Whether a request waits for approval."""
        return self._approval.pending

    @property
    def deadline(self) -> datetime | None:
        """When ``advance`` must be called next."""
        times = (self.expires, self._checker_due, self._approval.deadline)
        return min((time for time in times if time is not None), default=None)

    def advance(self, now: datetime) -> None:
        """Do whatever is due: expire, start a checker, end the wait for an approval."""
        if self.expires is not None and self.expires <= now:
            self.disable(now, Why.TIMEOUT)
        default = self.settings.approved_by_default
        timed_out = self._approval.time_out(now, default=default)
        self._reject(0 if default else timed_out, Rejection.TIMED_OUT, now)
        if self._checker_due is not None and self._checker_due <= now:
            missed = (now - self._checker_due) // self.settings.interval
            self._checker_due += (missed + 1) * self.settings.interval
            self.start_checker(now)

    # Enabled or disabled

    def enable(self, now: datetime) -> None:
        """Begin to serve and to check the client; harmless when it is enabled."""
        self.advance(now)
        if self.enabled:
            return
        self.enabled = True
        self.last_enabled = now
        if self._watched:
            self.expires = now + self.settings.timeout
            self._checker_due = now + self._chance() * self.settings.interval
        self.tell(events.Enabled(self.name, now))

    def disable(self, now: datetime, why: Why) -> None:
        """Stop serving and checking the client, until somebody enables it."""
        if not self.enabled:
            return
        self.enabled = False
        self.expires = None
        self._checker_due = None
        self.stop_checker(now)
        self._reject(self._approval.reset(), Rejection.DISABLED, now)
        self.tell(events.Disabled(self.name, now, why))

    # Checkers

    def start_checker(self, now: datetime) -> None:
        """Ask for a checker, unless one runs; a disabled client may be checked by hand."""
        if self.checker_running:
            return
        self.checker_running = True
        self._run += 1
        self.tell(events.CheckerWanted(self.name, now, self._run))

    def stop_checker(self, now: datetime) -> None:
        """Give up on the checker that runs, if any; its result will not count."""
        if self.checker_running:
            self.checker_running = False
            self.tell(events.CheckerStopped(self.name, now, self._run))

    def checker_completed(self, run: int, wait_status: int, now: datetime) -> None:
        """Take the result of a run, as wait(2) has it; one that was stopped is ignored."""
        if not self.checker_running or run != self._run:
            return
        self.checker_running = False
        self.last_checker_status = max(os.waitstatus_to_exitcode(wait_status), SIGNALLED)
        self.tell(events.CheckerCompleted(self.name, now, run, wait_status))
        if self.last_checker_status == 0:
            self.checked_ok(now)

    def checked_ok(self, now: datetime) -> None:
        """The client is alive."""
        self.advance(now)
        self.last_checked_ok = now
        self.last_checker_status = 0
        if self.expires is not None:
            self.expires = now + self.settings.timeout
        self.tell(events.CheckedOK(self.name, now))

    # Requests and approval

    def ask(self, now: datetime) -> Decision:
        """What to do about a request that has just come in.

        A Request in return waits: when it wakes, ``answer`` has the answer; when the peer goes
        away, ``withdraw`` it.
        """
        self.advance(now)
        if not self.enabled:
            return self._refuse(Rejection.DISABLED, now)
        verdict = self._approval.verdict(now)
        if verdict is None and self.settings.approval_delay:
            return self._wait(now)
        if verdict is None and not self.settings.approved_by_default:
            return self._refuse(Rejection.TIMED_OUT, now)
        return self._refuse(Rejection.DENIED, now) if verdict is False else self._give()

    def answer(self, request: Request, now: datetime) -> Decision:
        """What has become of a request that waited; the request itself while it still waits."""
        self.advance(now)
        if not request.settled:
            return request
        if request.why is not None:
            return Refuse(request.why)
        return self._give() if self.enabled else self._refuse(Rejection.DISABLED, now)

    def withdraw(self, request: Request) -> None:
        """The peer has gone away: nobody waits any more."""
        self._approval.withdraw(request)

    def judge(self, now: datetime, *, approved: bool) -> None:
        """Approve or deny all that wait, and all that ask within the approval duration.

        Without effect on a disabled client: enabling it later must not find an old verdict.
        """
        self.advance(now)
        if not self.enabled:
            return
        self.tell(events.Judged(self.name, now, approved))
        waited = self._approval.judge(now, self.settings.approval_duration, approved=approved)
        self._reject(0 if approved else waited, Rejection.DENIED, now)

    def secret_sent(self, now: datetime) -> None:
        """The client boots now: give it more time than usual to be seen alive again."""
        self.advance(now)
        if self.expires is not None:
            self.expires = now + self.settings.extended_timeout
        self.tell(events.SecretSent(self.name, now))

    def change(self, now: datetime, **values: Any) -> None:  # noqa: ANN401 - replace() checks names
        """Give settings new values; what is under way moves by the difference.

        Raises AdministratorError for a value that cannot be.
        """
        old, self.settings = self.settings, replace(self.settings, **values)
        if self.expires is not None:
            self.expires += self.settings.timeout - old.timeout
        if self._checker_due is not None:
            self._checker_due += self.settings.interval - old.interval
        self.tell(events.SettingsChanged(self.name, now, tuple(values)))
        self.advance(now)

    def _give(self) -> Give:
        return Give(self.settings.secret)

    def _refuse(self, why: Rejection, now: datetime) -> Refuse:
        self._reject(1, why, now)
        return Refuse(why)

    def _reject(self, times: int, why: Rejection, now: datetime) -> None:
        for _ in range(times):
            self.tell(events.Rejected(self.name, now, why))

    def _wait(self, now: datetime) -> Request:
        self.last_approval_request = now
        delay, default = self.settings.approval_delay, self.settings.approved_by_default
        request = self._approval.wait(now + delay)
        self.tell(events.ApprovalNeeded(self.name, now, delay, default))
        return request


def _nobody(_event: events.Event) -> None:
    """Whom a client tells that is in no registry."""
