# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's life, step by step, with a clock that the test turns."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mandos.client_settings import ClientSettings
from mandos.errors import AdministratorError
from mandos.server.life import events
from mandos.server.life.approval import Request
from mandos.server.life.client import Client, Give, Refuse
from mandos.server.life.events import Rejection, Why
from mandos.server.life.life import Life

START = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
SECRET = b"sealed"


class Story:
    """A client, its clock, and what it told; its checkers begin at once unless they are busy."""

    def __init__(
        self,
        *,
        life: Life | None = None,
        rebooted: bool = False,
        busy: bool = False,
        **values: Any,  # noqa: ANN401 - settings
    ) -> None:
        settings = ClientSettings(name="foo", key_id="ab" * 32, secret=SECRET, **values)
        self.now = START
        self.client = Client(settings, self.now, life=life, rebooted=rebooted, chance=lambda: 0.5)
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
    story = Story()
    assert story.client.ask(START) == Give()
    assert story.client.life.last_enabled == START
    assert story.client.life.expires == START + timedelta(minutes=5)


def test_disabled_client_is_refused() -> None:
    """A client that the file disables stays so, is not checked, and is refused as Disabled."""
    story = Story(enabled=False)
    assert story.after(timedelta(days=1)).ask(story.now) == Refuse(Rejection.DISABLED)
    assert story.told == [events.Rejected("foo", story.now, Rejection.DISABLED)]
    assert story.client.deadline is None


def test_expiry_disables() -> None:
    """A client that no checker found alive is disabled when its timeout ends, not before."""
    story = Story(interval=timedelta(hours=1))
    assert story.after(timedelta(minutes=5) - SECOND).life.enabled
    assert not story.after(SECOND).life.enabled
    assert story.client.life.expires is None
    assert story.told == [events.Disabled("foo", story.now, Why.TIMEOUT)]


def test_request_after_expiry_is_refused_though_no_timer_fired() -> None:
    """A request is judged by the time it comes, however late the timer is."""
    story = _failed()
    assert story.client.ask(START + 5 * MINUTE) == Refuse(Rejection.DISABLED)
    assert not story.client.life.enabled


def test_first_checker_after_a_random_part_of_the_interval_then_every_interval() -> None:
    """Half an interval (the chance of this test) passes, then whole ones."""
    story = Story()
    assert not story.after(MINUTE - SECOND).checker_running
    assert story.after(SECOND).checker_running
    story.client.checker_completed(1, _exit(0), story.now)
    assert not story.after(2 * MINUTE - SECOND).checker_running
    assert story.after(SECOND).checker_running
    assert story.told_of(events.CheckerWanted) == [
        events.CheckerWanted("foo", START + MINUTE, 1),
        events.CheckerWanted("foo", START + 3 * MINUTE, 2),
    ]


def test_never_two_checkers_at_once() -> None:
    """While a checker runs its turn passes; after that the rhythm is kept."""
    story = Story(timeout=timedelta(hours=1))
    story.after(MINUTE)
    story.after(5 * MINUTE)
    story.client.start_checker(story.now)
    assert len(story.told_of(events.CheckerWanted)) == 1
    assert story.client.deadline == START + 7 * MINUTE


def test_success_moves_expiry() -> None:
    """Exit status 0: last_checked_ok is now, and the timeout begins anew."""
    story = Story()
    story.after(MINUTE)
    story.after(SECOND).checker_completed(1, _exit(0), story.now)
    assert story.client.life.last_checked_ok == story.now
    assert story.client.life.expires == story.now + timedelta(minutes=5)
    assert story.client.life.last_checker_status == 0


@pytest.mark.parametrize(("wait_status", "status"), [(_exit(3), 3), (signal.SIGKILL, -1)])
def test_failure_changes_the_status_only(wait_status: int, status: int) -> None:
    """Another exit status is kept as it is; death by a signal is -1; neither helps the client."""
    story = Story()
    expires = story.after(MINUTE).life.expires
    assert story.client.life.last_checker_status == -2
    story.client.checker_completed(1, wait_status, story.now)
    assert story.client.life.last_checker_status == status
    assert (story.client.life.expires, story.client.life.last_checked_ok) == (expires, None)
    assert story.told[-1] == events.CheckerCompleted("foo", story.now, 1, wait_status, "")


def test_disabling_kills_the_checker_and_its_result_no_longer_counts() -> None:
    """A late success of a killed checker does not help the client that is enabled again."""
    story = Story()
    story.after(MINUTE).disable(story.now, Why.ADMINISTRATOR)
    assert story.told[-2:] == [
        events.CheckerStopped("foo", story.now, 1),
        events.Disabled("foo", story.now, Why.ADMINISTRATOR),
    ]
    story.client.enable(story.now)
    story.after(MINUTE).checker_completed(1, _exit(0), story.now)
    assert story.client.checker_running
    assert story.client.life.last_checked_ok is None


def test_enabling_begins_a_new_timeout() -> None:
    """Enabling sets last_enabled and expires; enabling twice changes nothing."""
    story = Story()
    story.client.disable(START, Why.ADMINISTRATOR)
    story.after(timedelta(days=1)).enable(story.now)
    assert story.client.life.last_enabled == story.now
    assert story.client.life.expires == story.now + timedelta(minutes=5)
    story.client.enable(story.now + SECOND)
    assert story.client.life.last_enabled == story.now
    assert len(story.told_of(events.Enabled)) == 1


def test_checked_by_hand_while_disabled() -> None:
    """As with the reference: a disabled client may be checked, which does not enable it."""
    story = Story(enabled=False)
    story.client.start_checker(START)
    assert story.client.checker_running
    story.client.checker_completed(1, _exit(0), START)
    assert story.client.life.last_checked_ok == START
    assert (story.client.life.enabled, story.client.life.expires) == (False, None)


def test_secret_sent_gives_the_extended_timeout() -> None:
    """After the secret was sent the client has 15 minutes; the next success is as usual."""
    story = Story(interval=timedelta(hours=1))
    story.after(MINUTE).secret_sent(story.now)
    assert story.client.life.expires == story.now + timedelta(minutes=15)
    story.after(10 * MINUTE).checked_ok(story.now)
    assert story.client.life.expires == story.now + timedelta(minutes=5)


def test_secret_sent_does_not_revive() -> None:
    """A secret whose sending ended after expiry does not keep the client enabled."""
    story = _failed()
    story.client.secret_sent(START + timedelta(minutes=5))
    assert not story.client.life.enabled
    assert story.told_of(events.SecretSent)


def test_new_timeout_moves_expiry_by_the_difference() -> None:
    """As with the reference: the time that has passed since the last success still counts."""
    story = Story()
    story.after(MINUTE).change(story.now, timeout=timedelta(hours=1))
    assert story.client.life.expires == START + timedelta(hours=1)
    assert story.told_of(events.SettingsChanged) == [
        events.SettingsChanged("foo", story.now, ("timeout",))
    ]


def test_new_timeout_that_has_passed_disables_at_once() -> None:
    """As with the reference: a shorter timeout that is over already disables the client."""
    story = Story()
    story.after(MINUTE).change(story.now, timeout=MINUTE)
    assert not story.client.life.enabled


def test_new_interval_moves_the_next_checker_by_the_difference() -> None:
    """The next checker comes as if the new interval had always been there."""
    story = Story(timeout=timedelta(hours=9))
    story.after(MINUTE).change(story.now, interval=timedelta(minutes=10))
    assert story.client.deadline == START + timedelta(minutes=11)


def test_settings_that_cannot_be_change_nothing() -> None:
    """An interval of nothing is refused, and the old one stays."""
    story = Story()
    with pytest.raises(AdministratorError, match="interval"):
        story.client.change(START, interval=timedelta(0))
    assert story.client.settings.interval == timedelta(minutes=2)
    assert story.told == []


def _waiting(story: Story) -> Request:
    decision = story.client.ask(story.now)
    assert isinstance(decision, Request)
    return decision


def _approval(**values: Any) -> Story:  # noqa: ANN401 - settings
    return Story(approval_delay=30 * SECOND, approval_duration=10 * SECOND, **values)


def test_request_waits_for_approval() -> None:
    """A request waits for the approval delay and then the default, yes, decides."""
    story = _approval()
    request = _waiting(story)
    assert story.client.approval_pending
    assert story.client.life.last_approval_request == START
    assert story.told == [events.ApprovalNeeded("foo", START, 30 * SECOND, default=True)]
    assert story.after(29 * SECOND).answer(request, story.now) is request
    assert story.after(SECOND).answer(request, story.now) == Give()
    assert not story.client.approval_pending


def test_wait_ends_with_a_negative_default() -> None:
    """When the default is no, the end of the delay is a rejection as timed out."""
    story = _approval(approved_by_default=False)
    request = _waiting(story)
    answer = story.after(30 * SECOND).answer(request, story.now)
    assert answer == Refuse(Rejection.TIMED_OUT)
    assert story.told_of(events.Rejected) == [
        events.Rejected("foo", story.now, Rejection.TIMED_OUT)
    ]


def test_negative_default_without_delay() -> None:
    """Without a delay its end is now."""
    story = Story(approved_by_default=False)
    assert story.client.ask(START) == Refuse(Rejection.TIMED_OUT)


@pytest.mark.parametrize(
    ("approved", "answer"), [(True, Give()), (False, Refuse(Rejection.DENIED))]
)
def test_verdict_settles_all_that_wait_and_stays_in_force(
    approved: bool,  # noqa: FBT001 - a parameter of the test
    answer: Give | Refuse,
) -> None:
    """All waiting requests are woken and answered; new ones too, until the duration has passed."""
    story = _approval(approved_by_default=not approved)
    woken: list[int] = []
    requests = [_waiting(story), _waiting(story)]
    for number, request in enumerate(requests):
        request.wake = lambda number=number: woken.append(number)  # type: ignore[misc]
    story.after(SECOND).give_verdict(story.now, approved=approved)
    assert woken == [0, 1]
    assert [story.client.answer(request, story.now) for request in requests] == [answer, answer]
    assert story.after(9 * SECOND).ask(story.now) == answer
    assert isinstance(story.after(SECOND).ask(story.now), Request)
    assert len(story.told_of(events.Rejected)) == (0 if approved else 3)


def test_approved_while_the_loop_was_late_still_counts() -> None:
    """A request that was approved keeps its answer after the approval itself has ended."""
    story = _approval(approved_by_default=False)
    request = _waiting(story)
    story.client.give_verdict(START, approved=True)
    assert story.after(MINUTE).answer(request, story.now) == Give()


def test_disabled_while_waiting_or_just_approved() -> None:
    """Disabling refuses what waits, and what was approved but not yet answered, and the verdict."""
    story = _approval()
    waiting = _waiting(story)
    story.client.disable(START, Why.ADMINISTRATOR)
    assert story.client.answer(waiting, START) == Refuse(Rejection.DISABLED)
    story.client.enable(START)
    approved = _waiting(story)
    story.client.give_verdict(START, approved=True)
    story.client.disable(START, Why.ADMINISTRATOR)
    assert story.client.answer(approved, START) == Refuse(Rejection.DISABLED)
    story.client.enable(START)
    assert isinstance(story.client.ask(START), Request)


def test_verdict_on_a_disabled_client_has_no_effect() -> None:
    """An approval given while the client was disabled does not wait for it to be enabled."""
    story = _approval(enabled=False)
    story.client.give_verdict(START, approved=True)
    story.client.enable(START)
    assert isinstance(story.client.ask(START), Request)
    assert story.told_of(events.VerdictGiven) == []


def test_new_key_ends_what_the_old_one_began() -> None:
    """Requests that wait are refused, and a verdict for the old key is none for the new one."""
    story = _approval()
    waiting = _waiting(story)
    story.client.reconfigure(replace(story.client.configured, key_id="cd" * 32), story.now)
    assert story.client.answer(waiting, START) == Refuse(Rejection.NEW_KEY)
    story.client.give_verdict(START, approved=True)
    story.client.reconfigure(replace(story.client.configured, key_id="ef" * 32), story.now)
    assert isinstance(story.client.ask(START), Request)


def test_decision_is_reconsidered() -> None:
    """What was decided before a wait holds only if it would still be decided so."""
    story = Story()
    assert story.client.reconsider(START, approved=False) == Give()
    story.client.change(START, approval_delay=30 * SECOND)
    assert story.client.reconsider(START, approved=True) == Give()
    assert story.client.reconsider(START, approved=False) == Refuse(Rejection.TIMED_OUT)
    story.client.give_verdict(START, approved=False)
    assert story.client.reconsider(START, approved=True) == Refuse(Rejection.DENIED)
    story.client.disable(START, Why.ADMINISTRATOR)
    assert story.client.reconsider(START, approved=True) == Refuse(Rejection.DISABLED)


def test_peer_that_goes_away_no_longer_waits() -> None:
    """A withdrawn request leaves no approval pending, and withdrawing twice is harmless."""
    story = _approval()
    request = _waiting(story)
    story.client.withdraw(request, story.now)
    story.client.withdraw(request, story.now)
    assert not story.client.approval_pending


def _past(**values: Any) -> Life:  # noqa: ANN401 - fields
    return Life(**{"created": START - 9 * MINUTE, "enabled": True, **values})


def _failed() -> Story:
    """A life of three minutes in which both checks were made in time, and failed."""
    story = Story()
    for run, time in ((1, MINUTE), (2, 2 * MINUTE)):
        story.after(time).checker_completed(run, _exit(1), story.now)
    return story


def _overdue() -> Story:
    """A life whose time ended a second ago, while its only check waited for its turn."""
    story = Story(busy=True)
    story.after(MINUTE)
    story.after(4 * MINUTE + SECOND)
    return story


def test_client_that_could_not_be_checked_gets_nothing_until_it_is() -> None:
    """Its time is over: it stays enabled for now, but a secret needs a check first."""
    story = _overdue()
    assert (story.client.life.enabled, story.client.overdue) == (True, True)
    assert story.told_of(events.Overdue) == [events.Overdue("foo", story.now, 4 * MINUTE + SECOND)]
    assert story.client.ask(story.now) == Refuse(Rejection.OVERDUE)
    story.client.checker_began(1, story.now, "true")
    story.client.checker_completed(1, _exit(0), story.now)
    assert not story.client.overdue
    assert story.client.life.expires == story.now + 5 * MINUTE
    assert story.client.ask(story.now) == Give()


def test_overdue_client_is_judged_an_interval_after_its_check_began() -> None:
    """A check that fails, or takes longer, does not save it."""
    story = _overdue()
    story.after(SECOND).checker_began(1, story.now, "true")
    story.after(SECOND).checker_completed(1, _exit(1), story.now)
    assert story.after(2 * MINUTE - 2 * SECOND).life.enabled
    assert not story.after(SECOND).life.enabled
    assert len(story.told_of(events.Overdue)) == 1
    assert story.told[-1] == events.Disabled("foo", story.now, Why.TIMEOUT)


def test_check_that_begins_late_has_its_whole_time() -> None:
    """The wait for its turn is no part of the time that the check may take."""
    story = _overdue()
    story.after(5 * MINUTE - SECOND).checker_began(1, story.now, "true")
    assert story.after(2 * MINUTE - SECOND).life.enabled
    assert not story.after(SECOND).life.enabled


def test_later_check_does_not_prolong_the_time_of_the_first() -> None:
    """Else a client would stay overdue for ever."""
    story = _overdue()
    story.client.checker_began(1, story.now, "true")
    story.after(SECOND).checker_completed(1, _exit(1), story.now)
    story.busy = False
    story.client.start_checker(story.now)
    story.after(MINUTE).checker_completed(2, _exit(1), story.now)
    assert not story.after(MINUTE).life.enabled


def test_time_without_any_checker_is_no_part_of_the_wait() -> None:
    """The machine could start no process for a day; then the wait goes on where it was."""
    story = _overdue()
    story.after(MINUTE)
    story.now += timedelta(days=1)
    story.client.no_checker_started(timedelta(days=1))
    assert story.after(4 * MINUTE - SECOND).overdue
    assert story.client.ask(story.now) == Refuse(Rejection.OVERDUE)
    assert not story.after(SECOND).life.enabled


def test_time_without_any_checker_does_not_prolong_a_check_that_runs() -> None:
    """That one has begun."""
    story = _overdue()
    story.client.checker_began(1, story.now, "true")
    story.now += MINUTE
    story.client.no_checker_started(MINUTE)
    assert story.after(MINUTE - SECOND).life.enabled
    assert not story.after(SECOND).life.enabled


@pytest.mark.parametrize(("late", "enabled"), [(0.25, False), (0.3, True)])
def test_check_that_runs_while_the_judge_is_late(late: float, *, enabled: bool) -> None:
    """It may have succeeded in time, and nobody has heard it yet."""
    story = Story(interval=4 * MINUTE)
    story.after(2 * MINUTE)
    story.after(3 * MINUTE + late * SECOND)
    assert (story.client.life.enabled, story.client.overdue) == (enabled, enabled)
    if enabled:
        story.client.checker_completed(1, _exit(0), story.now)
        assert story.client.ask(story.now) == Give()


def test_forgiven_time_is_reported() -> None:
    """It is what lies between the end of the client's time and the word that it is alive."""
    story = _overdue()
    story.after(MINUTE).checker_began(1, story.now, "true")
    story.after(2 * SECOND).checker_completed(1, _exit(0), story.now)
    assert story.told[-2:] == [
        events.CheckedOK("foo", story.now),
        events.Forgiven("foo", story.now, MINUTE + 3 * SECOND),
    ]


def test_person_who_vouches_for_an_overdue_client_is_reported() -> None:
    """The record has the user's name."""
    story = _overdue()
    story.client.checked_ok(story.now, "root")
    assert story.told[-1] == events.Forgiven("foo", story.now, SECOND, "root")


def test_nothing_is_forgiven_where_the_client_was_alive_in_time() -> None:
    """The server heard it late, and says so; of the client's time nothing was exceeded."""
    story = Story()
    story.after(MINUTE)
    story.now += 4 * MINUTE + SECOND
    story.client.server_stalled(4 * MINUTE + SECOND)
    story.client.advance(story.now)
    story.client.checker_completed(1, _exit(0), story.now)
    assert story.told[-1] == events.Forgiven("foo", story.now, timedelta(0))


def test_check_that_failed_without_a_link_was_not_made() -> None:
    """The next one comes as soon as the clock goes on, and has its time; the status stays."""
    story = Story()
    story.after(MINUTE).checker_completed(1, _exit(0), story.now)
    story.after(2 * MINUTE).checker_voided(2, story.now)
    assert story.client.life.last_checker_status == 0
    assert story.told[-1] == events.CheckerStopped("foo", story.now, 2)
    story.client.checker_voided(2, story.now)
    assert story.told_of(events.CheckerStopped) == [story.told[-1]]
    assert not story.client.checker_running
    assert story.after(SECOND).checker_running


def test_overdue_client_awaits_another_check_after_one_without_a_link() -> None:
    """One interval from when the check began that counts."""
    story = _overdue()
    story.client.checker_began(1, story.now, "true")
    story.client.checker_voided(1, story.now)
    story.busy = False
    assert story.after(MINUTE).checker_running
    story.after(MINUTE).checker_completed(2, _exit(1), story.now)
    assert story.after(MINUTE - SECOND).overdue
    assert not story.after(SECOND).life.enabled


def test_check_that_waits_for_its_turn_too_long_saves_nobody() -> None:
    """The client is judged in the end: a whole timeout later."""
    story = _overdue()
    assert story.after(5 * MINUTE - SECOND).life.enabled
    assert not story.after(SECOND).life.enabled


def test_overdue_client_keeps_its_date_for_a_restart() -> None:
    """A restart of the server alone does not make a lapsed time whole."""
    story = _overdue()
    assert story.client.life.expires == START + 5 * MINUTE
    stale = replace(story.client.life, expires=START - SECOND, last_checker_status=0)
    again = Story(life=stale)
    assert again.client.ask(START) == Refuse(Rejection.OVERDUE)


def test_person_who_enables_an_overdue_client_ends_its_wait() -> None:
    """It has a whole timeout, as one that was disabled."""
    story = _overdue()
    story.client.enable(story.now, by="root")
    assert story.client.ask(story.now) == Give()
    assert story.client.life.expires == story.now + 5 * MINUTE


def test_longer_timeout_ends_the_wait() -> None:
    """A time that is no longer over needs no check."""
    story = _overdue()
    story.client.change(story.now, timeout=timedelta(hours=1))
    assert story.client.ask(story.now) == Give()


def test_secret_that_arrived_late_does_not_end_the_wait() -> None:
    """Only a check does."""
    story = _overdue()
    story.client.secret_sent(story.now)
    assert story.client.overdue


def test_result_that_was_heard_late_counts_from_when_it_may_have_come() -> None:
    """A success within the stall saves the client, but it does not make up for the stall."""
    story = Story()
    story.after(MINUTE)
    story.now += 4 * MINUTE
    story.client.server_stalled(4 * MINUTE)
    story.client.checker_completed(1, _exit(0), story.now)
    assert story.client.life.last_checked_ok == START + MINUTE
    assert story.client.life.expires == START + 6 * MINUTE
    assert story.client.ask(story.now) == Give()


def test_client_with_little_time_left_after_a_stall_is_judged_by_its_next_check() -> None:
    """That check cannot end in the time that is left, through no fault of the client."""
    story = Story()
    story.after(MINUTE)
    story.now += 5 * MINUTE - SECOND
    story.client.server_stalled(5 * MINUTE - SECOND)
    story.after(timedelta(0)).checker_completed(1, _exit(0), story.now)
    assert story.client.life.expires == story.now + SECOND
    assert story.after(2 * SECOND).life.enabled
    assert story.client.ask(story.now) == Refuse(Rejection.OVERDUE)
    story.after(MINUTE).checker_completed(2, _exit(0), story.now)
    assert story.client.ask(story.now) == Give()


def test_client_found_alive_too_long_ago_is_checked_again_first() -> None:
    """The stall was longer than its timeout: it stays enabled, and gets nothing yet."""
    story = Story()
    story.after(MINUTE)
    story.now += timedelta(hours=1)
    story.client.server_stalled(timedelta(hours=1))
    story.client.checker_completed(1, _exit(0), story.now)
    assert story.client.ask(story.now) == Refuse(Rejection.OVERDUE)
    assert story.client.checker_running
    story.after(SECOND).checker_completed(2, _exit(0), story.now)
    assert story.client.ask(story.now) == Give()


def test_stall_does_not_end_the_wait_of_an_overdue_client_unheard() -> None:
    """A second stall, too, lets the result be heard first."""
    story = _overdue()
    story.client.checker_began(1, story.now, "true")
    story.now += timedelta(hours=1)
    story.client.server_stalled(timedelta(hours=1))
    story.client.checker_completed(1, _exit(0), story.now)
    assert story.client.life.enabled
    story.client.checker_completed(2, _exit(0), story.now)
    assert story.client.ask(story.now) == Give()


def test_stall_is_no_part_of_the_wait() -> None:
    """But what is left of it is."""
    story = _overdue()
    story.client.checker_began(1, story.now, "true")
    story.now += timedelta(hours=1)
    story.client.server_stalled(timedelta(hours=1))
    assert story.after(2 * MINUTE - SECOND).life.enabled
    assert not story.after(SECOND).life.enabled


def test_check_in_time_forgives_nothing() -> None:
    """A check that runs when the time is over, and began in time, does not count."""
    story = Story(interval=4 * MINUTE)
    story.after(2 * MINUTE)
    assert not story.after(3 * MINUTE).life.enabled
    assert not story.told_of(events.Overdue)


def test_stopping_a_checker_that_waits_ends_the_grace() -> None:
    """Without a checker to wait for, the timeout counts as ever."""
    story = Story(busy=True)
    story.after(timedelta(hours=1)).stop_checker(story.now)
    assert not story.after(SECOND).life.enabled


def test_begin_of_another_run_says_nothing() -> None:
    """Only the run that was wanted last can begin, and only once."""
    story = Story(busy=True)
    expires = story.client.life.expires
    story.after(MINUTE).checker_began(7, story.now, "true")
    assert story.client.life.expires == expires
    story.client.checker_began(1, story.now, "true")
    story.client.checker_began(1, story.now + MINUTE, "true")
    assert story.client.life.expires == expires


@pytest.mark.parametrize(("status", "enabled"), [(0, True), (1, False), (-1, False)])
def test_expired_while_the_machine_was_off(status: int, *, enabled: bool) -> None:
    """Only a client whose last checker succeeded stays enabled, with a whole timeout."""
    life = _past(expires=START - SECOND, last_checker_status=status)
    story = Story(life=life, rebooted=True)
    assert story.client.life.enabled is enabled
    assert story.client.life.expires == (START + 5 * MINUTE if enabled else None)
    assert story.client.life.disabled_why == (None if enabled else Why.TIMEOUT)
    if enabled:
        assert story.client.ask(START) == Give()


@pytest.mark.parametrize(("status", "enabled"), [(0, True), (-2, True), (1, False), (-1, False)])
def test_expired_while_the_server_alone_was_down(status: int, *, enabled: bool) -> None:
    """Strangers may be able to end it: the client is checked at once, and gets nothing before."""
    story = Story(life=_past(expires=START - SECOND, last_checker_status=status))
    assert story.client.life.enabled is enabled
    assert story.client.life.disabled_why == (None if enabled else Why.TIMEOUT)
    if enabled:
        assert story.client.ask(START) == Refuse(Rejection.OVERDUE)
        assert story.client.checker_running
        assert story.after(2 * MINUTE - SECOND).life.enabled
        assert not story.after(SECOND).life.enabled


def test_client_that_was_never_checked_survives_a_power_cut() -> None:
    """But it needs a check."""
    story = Story(life=_past(expires=START - SECOND), rebooted=True)
    assert story.client.ask(START) == Refuse(Rejection.OVERDUE)


def test_restart_leaves_the_rest_of_the_timeout() -> None:
    """A client goes on with what was left, and is checked in time even if that is little."""
    story = Story(life=_past(expires=START + 10 * SECOND))
    assert story.client.life.expires == START + 10 * SECOND
    assert story.client.deadline == START + 2.5 * SECOND
    story.after(2.5 * SECOND).checker_completed(1, _exit(1), story.now)
    assert not story.after(7.5 * SECOND).life.enabled


def test_first_check_after_a_restart_may_take_its_time() -> None:
    """The server was down when it should have begun."""
    story = Story(life=_past(expires=START + SECOND))
    story.after(SECOND / 4)
    assert story.after(SECOND).overdue
    story.client.checker_completed(1, _exit(0), story.now)
    assert story.client.life.expires == story.now + 5 * MINUTE


def test_date_far_in_the_future_counts_no_longer_than_a_new_timeout() -> None:
    """The date was wrong when it was saved: nobody is served for years because of that."""
    story = Story(life=_past(expires=START + timedelta(days=1000)))
    assert story.client.life.expires == START + 15 * MINUTE


def test_disabled_client_stays_so_over_a_restart() -> None:
    """It is neither checked nor served, though its settings say that it begins enabled."""
    story = Story(life=_past(enabled=False, disabled_at=START, disabled_why=Why.TIMEOUT))
    assert story.client.deadline is None
    assert story.client.ask(story.now) == Refuse(Rejection.DISABLED)


def test_life_is_all_that_a_client_goes_on_with() -> None:
    """What is remembered comes out again as it went in."""
    life = _past(
        expires=START + MINUTE, last_enabled=START - MINUTE, last_checked_ok=START - MINUTE,
        last_checker_status=0, last_approval_request=START - SECOND,
    )  # fmt: skip
    assert Story(life=life).client.life == life
    moved = life.dated(lambda moment: moment + MINUTE)
    assert moved.created == life.created + MINUTE
    assert moved.expires == START + 2 * MINUTE
    assert moved.disabled_at is None


def test_configuration_wins_where_it_has_changed() -> None:
    """What the files change is taken over; what was changed at run time otherwise stays."""
    story = Story()
    story.client.change(story.now, host="a", timeout=10 * MINUTE)
    configured = replace(story.client.configured, host="b", enabled=False)
    story.client.reconfigure(configured, story.now)
    assert story.client.settings.host == "b"
    assert story.client.settings.timeout == 10 * MINUTE
    assert (story.client.life.enabled, story.client.life.disabled_why) == (False, Why.CONFIGURATION)
    story.client.reconfigure(replace(configured, enabled=True), story.now)
    assert story.client.life.enabled
    assert story.told_of(events.Enabled) == [events.Enabled("foo", story.now, Why.CONFIGURATION)]


def test_configuration_that_stays_changes_nothing() -> None:
    """Reading the same files again neither enables a client nor takes back a change."""
    story = Story()
    story.client.change(story.now, host="a")
    story.client.disable(story.now, Why.ADMINISTRATOR, "root")
    told = len(story.told)
    story.client.reconfigure(replace(story.client.configured), story.now)
    assert len(story.told) == told
    assert not story.client.life.enabled
    assert story.client.settings.host == "a"


def test_retired_client_ends_quietly() -> None:
    """Its checker is stopped, whoever waits is refused, and nothing is due any more."""
    story = Story(approval_delay=MINUTE)
    story.after(MINUTE)
    request = story.client.ask(story.now)
    assert isinstance(request, Request)
    story.client.retire(story.now)
    assert story.client.deadline is None
    assert story.client.answer(request, story.now) == Refuse(Rejection.DISABLED)
    assert not story.told_of(events.Disabled)
    assert story.told_of(events.CheckerStopped)
