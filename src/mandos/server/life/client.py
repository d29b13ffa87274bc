# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the server: one object that knows no clock, no network and no disk.

Methods take ``now``, an aware datetime, change this object and report events to one listener.
A disabled client never gets its secret.  A client that has expired is disabled.  Only ``enable``
enables a client.

``now`` must never go back, whatever happens to the machine's date (``clock.py``).  A client whose
time is over while the server is late with its check (``lateness.py``) is *overdue*: it gets
nothing, but it stays enabled until the server has checked it.  So a slow server disables no healthy
client, and gives no secret to a stolen one.  Two limits hold, by the clock, and the time in which
the server can do nothing is no part of them:

- the check begins within ``_patience``: the timeout, the interval or 10 s, the longest of them;
- the check succeeds within ``_grace`` from its begin: the interval, or 10 s if that is longer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from mandos.client_settings import SETTINGS, ClientSettings, Restart
from mandos.server.life import events
from mandos.server.life.approval import Approval, Request
from mandos.server.life.events import Rejection, Why
from mandos.server.life.lateness import NOTHING, SLACK, Lateness
from mandos.server.life.life import NEVER_COMPLETED, SIGNALLED, Life

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

#: Least time for the check of an overdue client: a machine that was slow may still be slow.
_LEAST_GRACE = timedelta(seconds=10)

#: The settings that have a value in force; the others say how a new client begins.
_NAMES = tuple(setting.name for setting in SETTINGS if setting.restart is not Restart.BEGINNING)


@dataclass(frozen=True, slots=True)
class Give:
    """The client may have a secret; the judge chooses it."""


class Refuse(NamedTuple):
    """The client gets nothing, for this reason."""

    reason: Rejection


Decision = Give | Refuse | Request


class Client:
    """A client: its settings, its life, its checker and its waiting requests.

    ``configured`` are the settings in the configuration files, ``settings`` those in force.  Each
    transition replaces ``life`` by its next value.  A client without a ``life`` is new; it begins
    enabled if its settings say so.  ``added``: an administrator added the client over D-Bus, so it
    is in no file.  ``rebooted``: since the life was saved the machine was started, not only the
    server.  ``watched``: this server has the client checked, and disables it when its time is over;
    where several servers share the state, one of them watches each client: ``watched_by``.
    """

    __slots__ = (
        "_approval",
        "_asked_elsewhere",
        "_awaited",
        "_chance",
        "_checker_due",
        "_lateness",
        "_overdue_until",
        "_run",
        "added",
        "checker_running",
        "configured",
        "life",
        "settings",
        "tell",
        "watched",
        "watched_by",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - each by its name
        self,
        settings: ClientSettings,
        now: datetime,
        *,
        configured: ClientSettings | None = None,
        life: Life | None = None,
        added: bool = False,
        rebooted: bool = False,
        watched: bool = True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.configured = configured or settings
        self.added = added
        self.tell: Callable[[events.Event], None] = _ignore
        self.checker_running = False
        self.watched = watched
        self.watched_by = ""
        self._asked_elsewhere = False
        self._checker_due: datetime | None = None
        self._lateness = Lateness()
        self._overdue_until: datetime | None = None
        self._awaited = False
        self._run = 0
        self._approval = Approval()
        self._chance = chance
        self.life = life or Life(created=now, enabled=False)
        if life is None and settings.enabled:
            self.enable(now, Why.CONFIGURATION)
        elif self.life.enabled and watched:
            self._resume(now, rebooted=rebooted)

    @property
    def name(self) -> str:
        """The name of the client's section."""
        return self.settings.name

    @property
    def approval_pending(self) -> bool:
        """Whether a request waits for approval, here or at another server."""
        return self._approval.pending or self._asked_elsewhere

    @property
    def asked_here(self) -> datetime | None:
        """The time at which the first request that waits here has waited long enough."""
        return self._approval.deadline

    @property
    def overdue(self) -> bool:
        """Whether its time is over, but the server has to check it before disabling it."""
        return self._overdue_until is not None

    @property
    def deadline(self) -> datetime | None:
        """The time at which ``advance`` must be called next; None when there is no need."""
        end = (self._overdue_until or self.life.expires) if self.watched else None
        times = (end, self._checker_due, self._approval.deadline)
        return min((time for time in times if time is not None), default=None)

    def _resume(self, now: datetime, *, rebooted: bool) -> None:
        """Go on after a restart of the server.

        A client that expired meanwhile stays enabled only if its last checker had succeeded.  If
        the machine was restarted too (a power cut), it then has a whole timeout: it may be starting
        itself, and cannot answer a checker.  If only the server was restarted, which strangers may
        be able to cause, the client is overdue.  The other clients keep the time that they had
        left, and their first checker comes soon enough to end within it.
        """
        self._lateness.owe()
        longest = max(self.settings.timeout, self.settings.extended_timeout)
        expires, status = self.life.expires, self.life.last_checker_status
        if expires is None or expires <= now:
            if status not in (0, NEVER_COMPLETED):
                self.disable(now, Why.TIMEOUT)
                return
            if not rebooted or status == NEVER_COMPLETED:
                self.life = self.life.until(expires or now)
                self._await_check(now)
                self._checker_due = now
                return
            expires = now + self.settings.timeout
        expires = min(expires, now + longest)
        self.life = self.life.until(expires)
        self._checker_due = now + self._chance() * min(self.settings.interval, (expires - now) / 2)

    def advance(self, now: datetime) -> None:
        """Do all that is due: expire, start a checker, end the wait for an approval."""
        self._expire(now)
        default = self.settings.approved_by_default
        timed_out = self._approval.time_out(now, default=default)
        self._reject(0 if default else timed_out, Rejection.TIMED_OUT, now)
        if self._checker_due is not None and self._checker_due <= now:
            due = self._checker_due
            missed = (now - due) // self.settings.interval
            self._checker_due += (missed + 1) * self.settings.interval
            self.start_checker(now, due)

    def _expire(self, now: datetime) -> None:
        """Disable a client whose time is over, or make it overdue when its check is late."""
        if not self.watched:
            return
        if self._overdue_until is not None:
            if self._overdue_until <= now:
                self.disable(now, Why.TIMEOUT)
        elif self.life.expires is not None and self.life.expires <= now:
            late = self._late(self.life.expires, now)
            if late > SLACK:
                self._become_overdue(late, now)
            else:
                self.disable(now, Why.TIMEOUT)

    @property
    def _grace(self) -> timedelta:
        """The time that a check of an overdue client may take."""
        return max(self.settings.interval, _LEAST_GRACE)

    @property
    def _patience(self) -> timedelta:
        """How long an overdue client waits for its check to begin."""
        return max(self.settings.timeout, self._grace)

    def _late(self, expires: datetime, now: datetime) -> timedelta:
        """By how much the server is late with the check that could have saved the client.

        A check that still runs when the client is judged too late may have succeeded in time.  The
        first check after the server took the client over decides, however little time was left.
        """
        if self.checker_running:
            return max(self._lateness.by(now), now - expires)
        if self._checker_due is not None and self._checker_due < expires:
            return max(self._lateness.owed, now - self._checker_due)
        return self._lateness.owed

    def _become_overdue(self, late: timedelta, now: datetime) -> None:
        """Give the client nothing until a check succeeds, and judge it by that check."""
        if self.checker_running and not self._lateness.waiting:
            self._overdue_until = now + self._grace
        else:
            self._await_check(now)
        self.tell(events.Overdue(self.name, now, late))

    def _await_check(self, now: datetime) -> None:
        """Wait for the check that decides about the overdue client to begin."""
        self._awaited = True
        self._overdue_until = now + self._patience

    def _end_wait(self) -> None:
        """The client is no longer overdue."""
        self._overdue_until, self._awaited = None, False

    # Enabled or disabled

    def enable(self, now: datetime, why: Why = Why.ADMINISTRATOR, by: str = "") -> None:
        """Begin to serve and to check the client; without effect when it is enabled.

        ``by`` names the administrator for the audit trail, here and below.
        """
        self.advance(now)
        if self.life.enabled and not self.overdue:
            return
        self.life = self.life.turned_on(now, self.settings.timeout)
        self._begin_checks(now)
        self.tell(events.Enabled(self.name, now, why, by))

    def _begin_checks(self, now: datetime) -> None:
        """Have the first check of an enabled client at a random time within its interval."""
        self._end_wait()
        due = now + self._chance() * self.settings.interval
        self._checker_due = due if self.watched else None

    def disable(self, now: datetime, why: Why, by: str = "") -> None:
        """Stop serving and checking the client, until an administrator enables it."""
        if not self.life.enabled:
            return
        self.life = self.life.turned_off(now, why)
        self._end(now)
        self.tell(events.Disabled(self.name, now, why, by))

    def retire(self, now: datetime) -> None:
        """End the life of a client that is removed, with its checker and its waiting requests."""
        self.life = self.life.retired()
        self._end(now)

    def _end(self, now: datetime) -> None:
        self._end_wait()
        self._checker_due = None
        self.stop_checker(now)
        self._reject(self._approval.reset(Rejection.DISABLED), Rejection.DISABLED, now)

    # Checkers

    def start_checker(self, now: datetime, due: datetime | None = None) -> None:
        """Ask for a checker that is due since ``due``, unless one runs.

        A disabled client may be checked by hand.
        """
        if self.checker_running:
            return
        self.checker_running = True
        self._lateness.due(due or now)
        self._run += 1
        self.tell(events.CheckerWanted(self.name, now, self._run))

    def checker_began(self, run: int, now: datetime, command: str = "") -> None:
        """Note that the wanted checker's process has started."""
        if run == self._run and self._lateness.waiting:
            self._lateness.begin(now)
            if self._awaited:
                self._awaited = False
                self._overdue_until = now + self._grace
            self.tell(events.CheckerBegan(self.name, now, run, command))

    def server_stalled(self, time: timedelta) -> None:
        """Note that the server stood still for ``time``, until now: results came while it did."""
        self._lateness.stall(time)
        if self._overdue_until is not None:
            self._overdue_until += time

    def no_checker_started(self, time: timedelta) -> None:
        """The machine could start no checker for so long, until now."""
        if self._awaited and self._overdue_until is not None:
            self._overdue_until += time

    def checker_voided(self, run: int, now: datetime) -> None:
        """A checker has failed because the server had no link: as if it had not been made.

        The clock stood still without a link; the next check comes at once when it goes on.
        """
        if not self._runs(run):
            return
        self.checker_running = False
        self._lateness.end()
        if self.life.enabled:
            self._checker_due = now + SLACK
        if self._overdue_until is not None:
            self._await_check(now)
        self.tell(events.CheckerStopped(self.name, now, run))

    def stop_checker(self, now: datetime) -> None:
        """Stop the checker that runs, if any; its result will not count."""
        if self.checker_running:
            self.checker_running = False
            self._lateness.end()
            if self._overdue_until is not None:
                self._overdue_until = now
            self.tell(events.CheckerStopped(self.name, now, self._run))

    def checker_completed(
        self, run: int, wait_status: int, now: datetime, command: str = ""
    ) -> None:
        """Take the result of a run, a wait(2) status; the result of a stopped run is ignored."""
        if self._runs(run):
            self._expire(now)
        if not self._runs(run):
            return
        self.checker_running = False
        self._lateness.end()
        status = max(exit_code(wait_status), SIGNALLED)
        completed = events.CheckerCompleted(self.name, now, run, wait_status, command)
        if status == 0:
            self._found_alive(now, self._lateness.unheard, completed)
        else:
            self.life = self.life.checked(status)
            self.tell(completed)

    def _runs(self, run: int) -> bool:
        return self.checker_running and run == self._run

    def checked_ok(self, now: datetime, by: str = "") -> None:
        """The client is alive."""
        self.advance(now)
        self._found_alive(now, NOTHING, by=by)

    def _found_alive(
        self, now: datetime, ago: timedelta, *completed: events.CheckerCompleted, by: str = ""
    ) -> None:
        """The client was alive so long ago; where that is too long it is checked again at once.

        One replacement of its life, then the events, that of a completed checker first.
        """
        over = self.life.expires if self.overdue else None
        self.life = self.life.found_alive(now - ago, self.settings.timeout)
        self._end_wait()
        if ago > SLACK:
            self._lateness.owe()  # little time may be left for the next check
        for event in (*completed, events.CheckedOK(self.name, now, by)):
            self.tell(event)
        expires = self.life.expires
        if expires is not None and expires <= now and ago > SLACK:
            self._become_overdue(ago, now)
            self.start_checker(now)
        elif over is not None:
            self.tell(events.Forgiven(self.name, now, max(now - ago - over, NOTHING), by))

    # Several servers

    def watch(self, now: datetime, server: str = "") -> None:
        """Have the client checked by this server, of this name, from now on.

        A client whose time is over is checked before it is judged: no server may have watched it.
        """
        moved = not self.watched or self.watched_by != server
        if not self.watched:
            self._take_over(now)
        self.watched, self.watched_by = True, server
        if moved:
            self.tell(events.Moved(self.name, now))

    def _take_over(self, now: datetime) -> None:
        """Begin the checks of a client that another server may have checked."""
        if not self.life.enabled or self.life.expires is None:
            return
        self._lateness.owe()
        left = self.life.expires - now
        if left <= NOTHING:
            self._await_check(now)
        self._checker_due = now + self._chance() * max(
            min(self.settings.interval, left / 2), NOTHING
        )

    def leave(self, now: datetime, server: str = "") -> None:
        """Leave the client's checks to the server of this name; a running one still counts."""
        moved = self.watched or self.watched_by != server
        if self.watched:
            self._end_wait()
            self._checker_due = None
        self.watched, self.watched_by = False, server
        if moved:
            self.tell(events.Moved(self.name, now))

    def follow(self, life: Life, now: datetime, *, waits: bool | None = None) -> None:
        """Take over the life that other servers have given the client.

        ``waits``: a request for it waits there.
        """
        old, self.life = self.life, life
        if waits is not None:
            self._asked_elsewhere = waits
        if not life.enabled and old.enabled:
            self._end(now)
        elif life.enabled and (not old.enabled or life.last_enabled != old.last_enabled):
            self._begin_checks(now)
        elif life.expires is not None and life.expires > now:
            self._end_wait()
        self.tell(events.Followed(self.name, now, life.enabled != old.enabled))

    def heed(self, now: datetime, until: datetime, *, approved: bool) -> None:
        """Take over an administrator's verdict that another server was given."""
        if self.life.enabled and until > now:
            waited = self._approval.give_verdict(now, until - now, approved=approved)
            self._reject(0 if approved else waited, Rejection.DENIED, now)
            self.tell(events.Followed(self.name, now))

    def follow_settings(self, settings: ClientSettings, now: datetime) -> None:
        """Take over settings that were changed at another server, which has moved the times."""
        old, self.settings = self.settings, settings
        changed = differences(settings, old)
        if "key_id" in changed:
            self._reject(self._approval.reset(Rejection.NEW_KEY), Rejection.NEW_KEY, now)
        if changed:
            self.tell(events.SettingsChanged(self.name, now, changed))

    # Requests and approval

    def ask(self, now: datetime) -> Decision:
        """Decide about a request that has just come in.

        A returned Request waits.  When it wakes, ``answer`` has the decision; when the peer goes
        away, ``withdraw`` it.
        """
        self.advance(now)
        if why := self._barred:
            return self._refuse(why, now)
        verdict = self._approval.verdict(now)
        if verdict is None and self.settings.approval_delay:
            return self._wait(now)
        if verdict is None and not self.settings.approved_by_default:
            return self._refuse(Rejection.TIMED_OUT, now)
        return self._refuse(Rejection.DENIED, now) if verdict is False else Give()

    def answer(self, request: Request, now: datetime) -> Decision:
        """Return the decision about a request that waited, or the request while it still waits."""
        self.advance(now)
        if not request.settled:
            return request
        if request.why is not None:
            return Refuse(request.why)
        why = self._barred
        return self._refuse(why, now) if why else Give()

    def reconsider(self, now: datetime, *, approved: bool) -> Give | Refuse:
        """Decide again, just before the secret is sent, about a request that was granted earlier.

        ``approved``: it has waited for approval, and need not do so again.
        """
        self.advance(now)
        verdict = self._approval.verdict(now)
        if approved and verdict is None:
            verdict = True
        if why := self._barred:
            return self._refuse(why, now)
        if verdict is None and (
            self.settings.approval_delay or not self.settings.approved_by_default
        ):
            return self._refuse(Rejection.TIMED_OUT, now)
        return self._refuse(Rejection.DENIED, now) if verdict is False else Give()

    def refuses(self, now: datetime) -> bool:
        """Return whether a request would get nothing now, by its state or by a denial."""
        return self._barred is not None or self._approval.verdict(now) is False

    def verdict(self, now: datetime) -> tuple[bool, datetime] | None:
        """The verdict in force on all requests, and its end; None when there is none."""
        return self._approval.in_force(now)

    @property
    def _barred(self) -> Rejection | None:
        """The reason for which the client may have nothing, even if its request is approved."""
        if not self.life.enabled:
            return Rejection.DISABLED
        return Rejection.OVERDUE if self.overdue else None

    def withdraw(self, request: Request, now: datetime) -> None:
        """Forget a request whose peer has gone away."""
        if self._approval.withdraw(request):
            self.tell(events.Withdrawn(self.name, now))

    def give_verdict(self, now: datetime, *, approved: bool, by: str = "") -> None:
        """Approve or deny all that wait, and all that ask within the approval duration.

        Without effect on a disabled client: enabling it later must not find an old verdict.
        """
        self.advance(now)
        if not self.life.enabled:
            return
        self.tell(events.VerdictGiven(self.name, now, approved, by))
        waited = self._approval.give_verdict(
            now, self.settings.approval_duration, approved=approved
        )
        self._reject(0 if approved else waited, Rejection.DENIED, now)

    def secret_sent(self, now: datetime) -> None:
        """Give the client its extended timeout, because it boots with the secret now."""
        self.advance(now)
        self.life = self.life.given_secret(now)
        if self.life.expires is not None and not self.overdue:
            self.life = self.life.until(now + self.settings.extended_timeout)
        self.tell(events.SecretSent(self.name, now))

    def rehearsed(self, now: datetime) -> None:
        """Note that the client rehearsed its boot; its time goes on as before."""
        self.advance(now)
        self.life = self.life.rehearsed(now)
        self.tell(events.Rehearsed(self.name, now))

    def recognize(self, configured: ClientSettings, now: datetime) -> None:
        """Note that the client of other servers has a section here, which changes nothing."""
        self.added, self.configured = False, configured
        self.tell(events.Reconfigured(self.name, now))

    def reconfigure(self, configured: ClientSettings, now: datetime) -> None:
        """Take over the changes in the configuration files since they were last read."""
        if configured == self.configured and not self.added:
            return
        self.added = False
        wanted = merged(configured, self.configured, self.settings)
        switched = configured.enabled != self.configured.enabled
        self.configured = configured
        self.tell(events.Reconfigured(self.name, now))
        self._replace(wanted, now, "")
        if switched and configured.enabled:
            self.enable(now, Why.CONFIGURATION)
        elif switched:
            self.disable(now, Why.CONFIGURATION)

    def change(self, now: datetime, by: str = "", **values: Any) -> None:  # noqa: ANN401 - replace() checks names
        """Give settings new values; a running timeout or interval moves by the difference.

        Raises AdministratorError for an invalid value.
        """
        self._replace(replace(self.settings, **values), now, by)

    def _replace(self, settings: ClientSettings, now: datetime, by: str) -> None:
        old, self.settings = self.settings, settings
        changed = differences(settings, old)
        if not changed:
            return
        self.life = self.life.moved(self.settings.timeout - old.timeout)
        if self.life.expires is not None and self.life.expires > now:
            self._end_wait()
        if self._checker_due is not None:
            self._checker_due += self.settings.interval - old.interval
        if "key_id" in changed:
            self._reject(self._approval.reset(Rejection.NEW_KEY), Rejection.NEW_KEY, now)
        self.tell(events.SettingsChanged(self.name, now, changed, by))
        self.advance(now)

    def _refuse(self, why: Rejection, now: datetime) -> Refuse:
        self._reject(1, why, now)
        return Refuse(why)

    def _reject(self, times: int, why: Rejection, now: datetime) -> None:
        for _ in range(times):
            self.tell(events.Rejected(self.name, now, why))

    def _wait(self, now: datetime) -> Request:
        self.life = self.life.asked(now)
        delay, default = self.settings.approval_delay, self.settings.approved_by_default
        request = self._approval.wait(now + delay)
        self.tell(events.ApprovalNeeded(self.name, now, delay, default))
        return request


def differences(one: ClientSettings, other: ClientSettings) -> tuple[str, ...]:
    """Return the names of the settings that differ."""
    return tuple(name for name in _NAMES if getattr(one, name) != getattr(other, name))


def merged(
    configured: ClientSettings, before: ClientSettings, in_force: ClientSettings
) -> ClientSettings:
    """Return ``in_force``, with the settings that the files have changed since ``before``."""
    changed = differences(configured, before)
    return replace(in_force, **{name: getattr(configured, name) for name in changed})


def _ignore(_event: events.Event) -> None:
    """Default for ``tell``: ignores events."""


def exit_code(wait_status: int) -> int:
    """Return the exit status in a wait(2) status, or minus the number of the signal."""
    signal = wait_status & 0x7F
    return -signal if signal else wait_status >> 8
