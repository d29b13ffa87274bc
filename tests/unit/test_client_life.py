# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's life, step by step, with a clock that the test turns."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mandos.errors import AdministratorError
from mandos.server.config.clients_conf import ClientSettings
from mandos.server.life import events
from mandos.server.life.approval import Request
from mandos.server.life.client import Client, Give, Refuse
from mandos.server.life.events import Rejection, Why
from mandos.server.life.life import Memory

START = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
SECRET = b"sealed"


class Life:
    """A client, its clock, and what it told; its checkers begin at once unless they are busy."""

    def __init__(
        self,
        *,
        memory: Memory | None = None,
        rebooted: bool = False,
        busy: bool = False,
        **values: Any,  # noqa: ANN401 - settings
    ) -> None:
        settings = ClientSettings(name="foo", key_id="ab" * 32, secret=SECRET, **values)
        self.now = START
        self.client = Client(
            settings, self.now, memory=memory, rebooted=rebooted, chance=lambda: 0.5
        )
        self.told: list[events.Event] = []
        self.busy = busy
        self.client.tell = self.hear

    def hear(self, event: events.Event) -> None:
        """Keep what is told, and begin a checker that is wanted."""
        self.told.append(event)
        if isinstance(event, events.CheckerWanted) and not self.busy:
            self.client.checker_began(event.run, self.now, "true")

    def after(self, time: timedelta) -> Client:
        """Turn the clock and let the client do what is due."""
        self.now += time
        self.client.advance(self.now)
        return self.client

    def told_of(self, kind: type[events.Event]) -> list[events.Event]:
        """What it told of one kind."""
        return [event for event in self.told if type(event) is kind]


def _exit(code: int) -> int:
    return code << 8


def test_enabled_client_gets_its_secret() -> None:
    """Without an approval delay an enabled client is served at once."""
    life = Life()
    assert life.client.ask(START) == Give(SECRET)
    assert life.client.last_enabled == START
    assert life.client.expires == START + timedelta(minutes=5)


def test_disabled_client_is_refused() -> None:
    """A client that the file disables stays so, is not checked, and is refused as Disabled."""
    life = Life(enabled=False)
    assert life.after(timedelta(days=1)).ask(life.now) == Refuse(Rejection.DISABLED)
    assert life.told == [events.Rejected("foo", life.now, Rejection.DISABLED)]
    assert life.client.deadline is None


def test_expiry_disables() -> None:
    """A client that no checker found alive is disabled when its timeout ends, not before."""
    life = Life(interval=timedelta(hours=1))
    assert life.after(timedelta(minutes=5) - SECOND).enabled
    assert not life.after(SECOND).enabled
    assert life.client.expires is None
    assert life.told == [events.Disabled("foo", life.now, Why.TIMEOUT)]


def test_request_after_expiry_is_refused_though_no_timer_fired() -> None:
    """A request is judged by the time it comes, however late the timer is."""
    life = _failed()
    assert life.client.ask(START + 5 * MINUTE) == Refuse(Rejection.DISABLED)
    assert not life.client.enabled


def test_first_checker_after_a_random_part_of_the_interval_then_every_interval() -> None:
    """Half an interval (the chance of this test) passes, then whole ones."""
    life = Life()
    assert not life.after(MINUTE - SECOND).checker_running
    assert life.after(SECOND).checker_running
    life.client.checker_completed(1, _exit(0), life.now)
    assert not life.after(2 * MINUTE - SECOND).checker_running
    assert life.after(SECOND).checker_running
    assert life.told_of(events.CheckerWanted) == [
        events.CheckerWanted("foo", START + MINUTE, 1),
        events.CheckerWanted("foo", START + 3 * MINUTE, 2),
    ]


def test_never_two_checkers_at_once() -> None:
    """While a checker runs its turn passes; after that the rhythm is kept."""
    life = Life(timeout=timedelta(hours=1))
    life.after(MINUTE)
    life.after(5 * MINUTE)
    life.client.start_checker(life.now)
    assert len(life.told_of(events.CheckerWanted)) == 1
    assert life.client.deadline == START + 7 * MINUTE


def test_success_moves_expiry() -> None:
    """Exit status 0: last_checked_ok is now, and the timeout begins anew."""
    life = Life()
    life.after(MINUTE)
    life.after(SECOND).checker_completed(1, _exit(0), life.now)
    assert life.client.last_checked_ok == life.now
    assert life.client.expires == life.now + timedelta(minutes=5)
    assert life.client.last_checker_status == 0


@pytest.mark.parametrize(("wait_status", "status"), [(_exit(3), 3), (signal.SIGKILL, -1)])
def test_failure_changes_the_status_only(wait_status: int, status: int) -> None:
    """Another exit status is kept as it is; death by a signal is -1; neither helps the client."""
    life = Life()
    expires = life.after(MINUTE).expires
    assert life.client.last_checker_status == -2
    life.client.checker_completed(1, wait_status, life.now)
    assert life.client.last_checker_status == status
    assert (life.client.expires, life.client.last_checked_ok) == (expires, None)
    assert life.told[-1] == events.CheckerCompleted("foo", life.now, 1, wait_status, "")


def test_disabling_kills_the_checker_and_its_result_no_longer_counts() -> None:
    """A late success of a killed checker does not help the client that is enabled again."""
    life = Life()
    life.after(MINUTE).disable(life.now, Why.ADMINISTRATOR)
    assert life.told[-2:] == [
        events.CheckerStopped("foo", life.now, 1),
        events.Disabled("foo", life.now, Why.ADMINISTRATOR),
    ]
    life.client.enable(life.now)
    life.after(MINUTE).checker_completed(1, _exit(0), life.now)
    assert life.client.checker_running
    assert life.client.last_checked_ok is None


def test_enabling_begins_a_new_timeout() -> None:
    """Enabling sets last_enabled and expires; enabling twice changes nothing."""
    life = Life()
    life.client.disable(START, Why.ADMINISTRATOR)
    life.after(timedelta(days=1)).enable(life.now)
    assert life.client.last_enabled == life.now
    assert life.client.expires == life.now + timedelta(minutes=5)
    life.client.enable(life.now + SECOND)
    assert life.client.last_enabled == life.now
    assert len(life.told_of(events.Enabled)) == 1


def test_checked_by_hand_while_disabled() -> None:
    """As with the reference: a disabled client may be checked, which does not enable it."""
    life = Life(enabled=False)
    life.client.start_checker(START)
    assert life.client.checker_running
    life.client.checker_completed(1, _exit(0), START)
    assert life.client.last_checked_ok == START
    assert (life.client.enabled, life.client.expires) == (False, None)


def test_secret_sent_gives_the_extended_timeout() -> None:
    """After the secret was sent the client has 15 minutes; the next success is as usual."""
    life = Life(interval=timedelta(hours=1))
    life.after(MINUTE).secret_sent(life.now)
    assert life.client.expires == life.now + timedelta(minutes=15)
    life.after(10 * MINUTE).checked_ok(life.now)
    assert life.client.expires == life.now + timedelta(minutes=5)


def test_secret_sent_does_not_revive() -> None:
    """A secret whose sending ended after expiry does not keep the client enabled."""
    life = _failed()
    life.client.secret_sent(START + timedelta(minutes=5))
    assert not life.client.enabled
    assert life.told_of(events.SecretSent)


def test_new_timeout_moves_expiry_by_the_difference() -> None:
    """As with the reference: the time that has passed since the last success still counts."""
    life = Life()
    life.after(MINUTE).change(life.now, timeout=timedelta(hours=1))
    assert life.client.expires == START + timedelta(hours=1)
    assert life.told_of(events.SettingsChanged) == [
        events.SettingsChanged("foo", life.now, ("timeout",))
    ]


def test_new_timeout_that_has_passed_disables_at_once() -> None:
    """As with the reference: a shorter timeout that is over already disables the client."""
    life = Life()
    life.after(MINUTE).change(life.now, timeout=MINUTE)
    assert not life.client.enabled


def test_new_interval_moves_the_next_checker_by_the_difference() -> None:
    """The next checker comes as if the new interval had always been there."""
    life = Life(timeout=timedelta(hours=9))
    life.after(MINUTE).change(life.now, interval=timedelta(minutes=10))
    assert life.client.deadline == START + timedelta(minutes=11)


def test_settings_that_cannot_be_change_nothing() -> None:
    """An interval of nothing is refused, and the old one stays."""
    life = Life()
    with pytest.raises(AdministratorError, match="interval"):
        life.client.change(START, interval=timedelta(0))
    assert life.client.settings.interval == timedelta(minutes=2)
    assert life.told == []


def _waiting(life: Life) -> Request:
    decision = life.client.ask(life.now)
    assert isinstance(decision, Request)
    return decision


def _approval(**values: Any) -> Life:  # noqa: ANN401 - settings
    return Life(approval_delay=30 * SECOND, approval_duration=10 * SECOND, **values)


def test_request_waits_for_approval() -> None:
    """A request waits for the approval delay and then the default, yes, decides."""
    life = _approval()
    request = _waiting(life)
    assert life.client.approval_pending
    assert life.client.last_approval_request == START
    assert life.told == [events.ApprovalNeeded("foo", START, 30 * SECOND, default=True)]
    assert life.after(29 * SECOND).answer(request, life.now) is request
    assert life.after(SECOND).answer(request, life.now) == Give(SECRET)
    assert not life.client.approval_pending


def test_wait_ends_with_a_negative_default() -> None:
    """When the default is no, the end of the delay is a rejection as timed out."""
    life = _approval(approved_by_default=False)
    request = _waiting(life)
    answer = life.after(30 * SECOND).answer(request, life.now)
    assert answer == Refuse(Rejection.TIMED_OUT)
    assert life.told_of(events.Rejected) == [events.Rejected("foo", life.now, Rejection.TIMED_OUT)]


def test_negative_default_without_delay() -> None:
    """Without a delay its end is now."""
    life = Life(approved_by_default=False)
    assert life.client.ask(START) == Refuse(Rejection.TIMED_OUT)


@pytest.mark.parametrize(
    ("approved", "answer"), [(True, Give(SECRET)), (False, Refuse(Rejection.DENIED))]
)
def test_verdict_settles_all_that_wait_and_stays_in_force(
    approved: bool,  # noqa: FBT001 - a parameter of the test
    answer: Give | Refuse,
) -> None:
    """All waiting requests are woken and answered; new ones too, until the duration has passed."""
    life = _approval(approved_by_default=not approved)
    woken: list[int] = []
    requests = [_waiting(life), _waiting(life)]
    for number, request in enumerate(requests):
        request.wake = lambda number=number: woken.append(number)  # type: ignore[misc]
    life.after(SECOND).judge(life.now, approved=approved)
    assert woken == [0, 1]
    assert [life.client.answer(request, life.now) for request in requests] == [answer, answer]
    assert life.after(9 * SECOND).ask(life.now) == answer
    assert isinstance(life.after(SECOND).ask(life.now), Request)
    assert len(life.told_of(events.Rejected)) == (0 if approved else 3)


def test_approved_while_the_loop_was_late_still_counts() -> None:
    """A request that was approved keeps its answer after the approval itself has ended."""
    life = _approval(approved_by_default=False)
    request = _waiting(life)
    life.client.judge(START, approved=True)
    assert life.after(MINUTE).answer(request, life.now) == Give(SECRET)


def test_disabled_while_waiting_or_just_approved() -> None:
    """Disabling refuses what waits, and what was approved but not yet answered, and the verdict."""
    life = _approval()
    waiting = _waiting(life)
    life.client.disable(START, Why.ADMINISTRATOR)
    assert life.client.answer(waiting, START) == Refuse(Rejection.DISABLED)
    life.client.enable(START)
    approved = _waiting(life)
    life.client.judge(START, approved=True)
    life.client.disable(START, Why.ADMINISTRATOR)
    assert life.client.answer(approved, START) == Refuse(Rejection.DISABLED)
    life.client.enable(START)
    assert isinstance(life.client.ask(START), Request)


def test_verdict_on_a_disabled_client_has_no_effect() -> None:
    """An approval given while the client was disabled does not wait for it to be enabled."""
    life = _approval(enabled=False)
    life.client.judge(START, approved=True)
    life.client.enable(START)
    assert isinstance(life.client.ask(START), Request)
    assert life.told_of(events.Judged) == []


def test_new_key_ends_what_the_old_one_began() -> None:
    """Requests that wait are refused, and a verdict for the old key is none for the new one."""
    life = _approval()
    waiting = _waiting(life)
    life.client.reconfigure(replace(life.client.configured, key_id="cd" * 32), life.now)
    assert life.client.answer(waiting, START) == Refuse(Rejection.NEW_KEY)
    life.client.judge(START, approved=True)
    life.client.reconfigure(replace(life.client.configured, key_id="ef" * 32), life.now)
    assert isinstance(life.client.ask(START), Request)


def test_decision_is_reconsidered() -> None:
    """What was decided before a wait holds only if it would still be decided so."""
    life = Life()
    assert life.client.reconsider(START, approved=False) == Give(SECRET)
    life.client.change(START, secret=b"new")
    assert life.client.reconsider(START, approved=False) == Give(b"new")
    life.client.change(START, approval_delay=30 * SECOND)
    assert life.client.reconsider(START, approved=True) == Give(b"new")
    assert life.client.reconsider(START, approved=False) == Refuse(Rejection.TIMED_OUT)
    life.client.judge(START, approved=False)
    assert life.client.reconsider(START, approved=True) == Refuse(Rejection.DENIED)
    life.client.disable(START, Why.ADMINISTRATOR)
    assert life.client.reconsider(START, approved=True) == Refuse(Rejection.DISABLED)


def test_peer_that_goes_away_no_longer_waits() -> None:
    """A withdrawn request leaves no approval pending, and withdrawing twice is harmless."""
    life = _approval()
    request = _waiting(life)
    life.client.withdraw(request, life.now)
    life.client.withdraw(request, life.now)
    assert not life.client.approval_pending


def _memory(**values: Any) -> Memory:  # noqa: ANN401 - fields
    return Memory(**{"created": START - 9 * MINUTE, "enabled": True, **values})


def _failed() -> Life:
    """A life of three minutes in which both checks were made in time, and failed."""
    life = Life()
    for run, time in ((1, MINUTE), (2, 2 * MINUTE)):
        life.after(time).checker_completed(run, _exit(1), life.now)
    return life


def _overdue() -> Life:
    """A life whose time ended a second ago, while its only check waited for its turn."""
    life = Life(busy=True)
    life.after(MINUTE)
    life.after(4 * MINUTE + SECOND)
    return life


def test_client_that_could_not_be_checked_gets_nothing_until_it_is() -> None:
    """Its time is over: it stays enabled for now, but a secret needs a check first."""
    life = _overdue()
    assert (life.client.enabled, life.client.overdue) == (True, True)
    until = life.now + 5 * MINUTE
    assert life.told_of(events.Overdue) == [
        events.Overdue("foo", life.now, 4 * MINUTE + SECOND, until)
    ]
    assert life.client.ask(life.now) == Refuse(Rejection.OVERDUE)
    life.client.checker_began(1, life.now, "true")
    life.client.checker_completed(1, _exit(0), life.now)
    assert not life.client.overdue
    assert life.client.expires == life.now + 5 * MINUTE
    assert life.client.ask(life.now) == Give(SECRET)


def test_overdue_client_is_judged_an_interval_after_its_check_began() -> None:
    """A check that fails, or takes longer, does not save it."""
    life = _overdue()
    life.after(SECOND).checker_began(1, life.now, "true")
    life.after(SECOND).checker_completed(1, _exit(1), life.now)
    assert life.after(2 * MINUTE - 2 * SECOND).enabled
    assert not life.after(SECOND).enabled
    assert len(life.told_of(events.Overdue)) == 1
    assert life.told[-1] == events.Disabled("foo", life.now, Why.TIMEOUT)


def test_check_that_never_begins_saves_nobody() -> None:
    """A machine that starts no checker at all judges in the end: a whole timeout later."""
    life = _overdue()
    assert life.after(5 * MINUTE - SECOND).enabled
    assert not life.after(SECOND).enabled


def test_overdue_client_keeps_its_date_for_a_restart() -> None:
    """A restart of the server alone does not make a lapsed time whole."""
    life = _overdue()
    assert life.client.memory.expires == START + 5 * MINUTE
    stale = replace(life.client.memory, expires=START - SECOND, last_checker_status=0)
    again = Life(memory=stale)
    assert again.client.ask(START) == Refuse(Rejection.OVERDUE)


def test_person_who_enables_an_overdue_client_ends_its_wait() -> None:
    """It has a whole timeout, as one that was disabled."""
    life = _overdue()
    life.client.enable(life.now, by="root")
    assert life.client.ask(life.now) == Give(SECRET)
    assert life.client.expires == life.now + 5 * MINUTE


def test_longer_timeout_ends_the_wait() -> None:
    """A time that is no longer over needs no check."""
    life = _overdue()
    life.client.change(life.now, timeout=timedelta(hours=1))
    assert life.client.ask(life.now) == Give(SECRET)


def test_secret_that_arrived_late_does_not_end_the_wait() -> None:
    """Only a check does."""
    life = _overdue()
    life.client.secret_sent(life.now)
    assert life.client.overdue


def test_result_that_was_heard_late_counts_from_when_it_may_have_come() -> None:
    """A success within the stall saves the client, but it does not make up for the stall."""
    life = Life()
    life.after(MINUTE)
    life.now += 4 * MINUTE
    life.client.server_stalled(4 * MINUTE)
    life.client.checker_completed(1, _exit(0), life.now)
    assert life.client.last_checked_ok == START + MINUTE
    assert life.client.expires == START + 6 * MINUTE
    assert life.client.ask(life.now) == Give(SECRET)


def test_client_found_alive_too_long_ago_is_checked_again_first() -> None:
    """The stall was longer than its timeout: it stays enabled, and gets nothing yet."""
    life = Life()
    life.after(MINUTE)
    life.now += timedelta(hours=1)
    life.client.server_stalled(timedelta(hours=1))
    life.client.checker_completed(1, _exit(0), life.now)
    assert life.client.ask(life.now) == Refuse(Rejection.OVERDUE)
    assert life.client.checker_running
    life.after(SECOND).checker_completed(2, _exit(0), life.now)
    assert life.client.ask(life.now) == Give(SECRET)


def test_stall_does_not_end_the_wait_of_an_overdue_client_unheard() -> None:
    """A second stall, too, lets the result be heard first."""
    life = _overdue()
    life.client.checker_began(1, life.now, "true")
    life.now += timedelta(hours=1)
    life.client.server_stalled(timedelta(hours=1))
    life.client.checker_completed(1, _exit(0), life.now)
    assert life.client.enabled
    life.client.checker_completed(2, _exit(0), life.now)
    assert life.client.ask(life.now) == Give(SECRET)


def test_stall_is_no_part_of_the_wait() -> None:
    """But what is left of it is."""
    life = _overdue()
    life.client.checker_began(1, life.now, "true")
    life.now += timedelta(hours=1)
    life.client.server_stalled(timedelta(hours=1))
    assert life.after(2 * MINUTE - SECOND).enabled
    assert not life.after(SECOND).enabled


def test_check_in_time_forgives_nothing() -> None:
    """A check that runs when the time is over, and began in time, does not count."""
    life = Life(interval=4 * MINUTE)
    life.after(2 * MINUTE)
    assert not life.after(3 * MINUTE).enabled
    assert not life.told_of(events.Overdue)


def test_stopping_a_checker_that_waits_ends_the_grace() -> None:
    """Without a checker to wait for, the timeout counts as ever."""
    life = Life(busy=True)
    life.after(timedelta(hours=1)).stop_checker(life.now)
    assert not life.after(SECOND).enabled


def test_begin_of_another_run_says_nothing() -> None:
    """Only the run that was wanted last can begin, and only once."""
    life = Life(busy=True)
    expires = life.client.expires
    life.after(MINUTE).checker_began(7, life.now, "true")
    assert life.client.expires == expires
    life.client.checker_began(1, life.now, "true")
    life.client.checker_began(1, life.now + MINUTE, "true")
    assert life.client.expires == expires


@pytest.mark.parametrize(("status", "enabled"), [(0, True), (1, False), (-1, False)])
def test_expired_while_the_machine_was_off(status: int, *, enabled: bool) -> None:
    """Only a client whose last checker succeeded stays enabled, with a whole timeout."""
    memory = _memory(expires=START - SECOND, last_checker_status=status)
    life = Life(memory=memory, rebooted=True)
    assert life.client.enabled is enabled
    assert life.client.expires == (START + 5 * MINUTE if enabled else None)
    assert life.client.disabled_why == (None if enabled else Why.TIMEOUT)
    if enabled:
        assert life.client.ask(START) == Give(SECRET)


@pytest.mark.parametrize(("status", "enabled"), [(0, True), (-2, True), (1, False), (-1, False)])
def test_expired_while_the_server_alone_was_down(status: int, *, enabled: bool) -> None:
    """Strangers may be able to end it: the client is checked at once, and gets nothing before."""
    life = Life(memory=_memory(expires=START - SECOND, last_checker_status=status))
    assert life.client.enabled is enabled
    assert life.client.disabled_why == (None if enabled else Why.TIMEOUT)
    if enabled:
        assert life.client.ask(START) == Refuse(Rejection.OVERDUE)
        assert life.client.checker_running
        assert life.after(2 * MINUTE - SECOND).enabled
        assert not life.after(SECOND).enabled


def test_client_that_was_never_checked_survives_a_power_cut() -> None:
    """But it needs a check."""
    life = Life(memory=_memory(expires=START - SECOND), rebooted=True)
    assert life.client.ask(START) == Refuse(Rejection.OVERDUE)


def test_restart_leaves_the_rest_of_the_timeout() -> None:
    """A client goes on with what was left, and is checked in time even if that is little."""
    life = Life(memory=_memory(expires=START + 10 * SECOND))
    assert life.client.expires == START + 10 * SECOND
    assert life.client.deadline == START + 2.5 * SECOND
    life.after(2.5 * SECOND).checker_completed(1, _exit(1), life.now)
    assert not life.after(7.5 * SECOND).enabled


def test_first_check_after_a_restart_may_take_its_time() -> None:
    """The server was down when it should have begun."""
    life = Life(memory=_memory(expires=START + SECOND))
    life.after(SECOND / 4)
    assert life.after(SECOND).overdue
    life.client.checker_completed(1, _exit(0), life.now)
    assert life.client.expires == life.now + 5 * MINUTE


def test_date_far_in_the_future_counts_no_longer_than_a_new_timeout() -> None:
    """The date was wrong when it was saved: nobody is served for years because of that."""
    life = Life(memory=_memory(expires=START + timedelta(days=1000)))
    assert life.client.expires == START + 15 * MINUTE


def test_disabled_client_stays_so_over_a_restart() -> None:
    """It is neither checked nor served, though its settings say that it begins enabled."""
    life = Life(memory=_memory(enabled=False, disabled_at=START, disabled_why=Why.TIMEOUT))
    assert life.client.deadline is None
    assert life.client.ask(life.now) == Refuse(Rejection.DISABLED)


def test_memory_is_all_that_a_client_goes_on_with() -> None:
    """What is remembered comes out again as it went in."""
    memory = _memory(
        expires=START + MINUTE, last_enabled=START - MINUTE, last_checked_ok=START - MINUTE,
        last_checker_status=0, last_approval_request=START - SECOND,
    )  # fmt: skip
    assert Life(memory=memory).client.memory == memory
    moved = memory.dated(lambda moment: moment + MINUTE)
    assert moved.created == memory.created + MINUTE
    assert moved.expires == START + 2 * MINUTE
    assert moved.disabled_at is None


def test_configuration_wins_where_it_has_changed() -> None:
    """What the files change is taken over; what was changed at run time otherwise stays."""
    life = Life()
    life.client.change(life.now, host="a", timeout=10 * MINUTE)
    configured = replace(life.client.configured, host="b", enabled=False)
    life.client.reconfigure(configured, life.now)
    assert life.client.settings.host == "b"
    assert life.client.settings.timeout == 10 * MINUTE
    assert (life.client.enabled, life.client.disabled_why) == (False, Why.CONFIGURATION)
    life.client.reconfigure(replace(configured, enabled=True), life.now)
    assert life.client.enabled
    assert life.told_of(events.Enabled) == [events.Enabled("foo", life.now, Why.CONFIGURATION)]


def test_configuration_that_stays_changes_nothing() -> None:
    """Reading the same files again neither enables a client nor takes back a change."""
    life = Life()
    life.client.change(life.now, host="a")
    life.client.disable(life.now, Why.ADMINISTRATOR, "root")
    told = len(life.told)
    life.client.reconfigure(replace(life.client.configured), life.now)
    assert len(life.told) == told
    assert not life.client.enabled
    assert life.client.settings.host == "a"


def test_retired_client_ends_quietly() -> None:
    """Its checker is stopped, whoever waits is refused, and nothing is due any more."""
    life = Life(approval_delay=MINUTE)
    life.after(MINUTE)
    request = life.client.ask(life.now)
    assert isinstance(request, Request)
    life.client.retire(life.now)
    assert life.client.deadline is None
    assert life.client.answer(request, life.now) == Refuse(Rejection.DISABLED)
    assert not life.told_of(events.Disabled)
    assert life.told_of(events.CheckerStopped)
