# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client whose life other servers change, too, and that one of them watches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mandos.client_settings import ClientSettings
from mandos.server.life import events
from mandos.server.life.approval import Request
from mandos.server.life.client import Client, Give, Refuse
from mandos.server.life.clock import CommonClock
from mandos.server.life.events import Rejection, Why

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ALPHA = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"sealed")
WAITING = replace(ALPHA, approval_delay=MINUTE, approval_duration=10 * SECOND)


def client(
    settings: ClientSettings = ALPHA, *, watched: bool = True
) -> tuple[Client, list[events.Event]]:
    """An enabled client, and its events from now on."""
    life = Client(settings, START, chance=lambda: 1.0).life
    one = Client(settings, START, life=life, watched=watched, chance=lambda: 1.0)
    heard: list[events.Event] = []
    one.tell = heard.append
    return one, heard


def kinds(heard: list[events.Event]) -> list[str]:
    """The names of the events' classes."""
    return [type(event).__name__ for event in heard]


def test_unwatched_client_is_neither_checked_nor_disabled() -> None:
    """Another server does both."""
    one, heard = client(watched=False)
    assert one.deadline is None
    one.advance(START + timedelta(days=1))
    assert one.life.enabled
    assert heard == []


def test_restart_does_not_judge_an_unwatched_client() -> None:
    """Its last check may have failed, and its time may be over: others know more."""
    life = client()[0].life.checked(1)
    one = Client(ALPHA, START + timedelta(days=1), life=life, watched=False)
    assert one.life.enabled


def test_moved_client_is_checked_soon() -> None:
    """Within its interval, and before its time is over."""
    one, heard = client(watched=False)
    one.watch(START + 4 * MINUTE)
    assert kinds(heard) == ["Moved"]
    assert one.deadline == START + 4.5 * MINUTE  # half of the minute that is left
    one.advance(START + 4.5 * MINUTE)
    assert kinds(heard) == ["Moved", "CheckerWanted"]


def test_moved_client_whose_time_is_over_is_checked_before_it_is_judged() -> None:
    """No server may have watched it, and a failed check of the former server is no verdict."""
    one, heard = client(watched=False)
    one.life = one.life.checked(1)
    one.watch(START + 6 * MINUTE)
    assert one.ask(START + 6 * MINUTE) == Refuse(Rejection.OVERDUE)
    one.advance(START + 6 * MINUTE)
    assert "CheckerWanted" in kinds(heard)
    one.checker_began(1, START + 6 * MINUTE)
    one.checker_completed(1, 0, START + 6 * MINUTE + SECOND)
    assert one.life.enabled
    assert (one.overdue, one.deadline) == (False, START + 8 * MINUTE)
    assert one.life.expires == START + 11 * MINUTE + SECOND


def test_moved_client_with_hardly_any_time_left_is_checked_before_it_is_judged() -> None:
    """Its check and its end are due in one turn of a busy server: the check decides."""
    one, heard = client(watched=False)
    end = one.life.expires
    assert end is not None
    one.watch(end - SECOND / 10)
    one.advance(end + SECOND / 100)
    assert one.life.enabled
    assert one.overdue
    assert "CheckerWanted" in kinds(heard)
    one.checker_began(1, end + SECOND)
    one.checker_completed(1, 0, end + 2 * SECOND)
    assert one.life.enabled
    assert not one.overdue


def test_moved_client_that_is_gone_is_disabled_by_its_check() -> None:
    """After the time that a check may take."""
    one, _heard = client(watched=False)
    one.watch(START + 6 * MINUTE)
    one.advance(START + 6 * MINUTE)
    one.checker_began(1, START + 6 * MINUTE)
    one.checker_completed(1, 256, START + 6 * MINUTE + SECOND)
    one.advance(START + 9 * MINUTE)
    assert not one.life.enabled
    assert one.life.disabled_why is Why.TIMEOUT


def test_result_of_a_running_checker_counts_after_a_move() -> None:
    """The client is alive, whoever asked."""
    one, _heard = client()
    one.advance(START + 2 * MINUTE)
    one.checker_began(1, START + 2 * MINUTE)
    one.leave(START + 2 * MINUTE)
    one.checker_completed(1, 0, START + 2 * MINUTE + SECOND)
    assert one.life.last_checked_ok == START + 2 * MINUTE + SECOND
    assert one.deadline is None


def test_disabled_elsewhere() -> None:
    """Requests that wait here are refused, and the checker is stopped."""
    one, heard = client(WAITING)
    request = one.ask(START)
    assert isinstance(request, Request)
    one.follow(one.life.turned_off(START, Why.ADMINISTRATOR), START)
    assert one.answer(request, START) == Refuse(Rejection.DISABLED)
    assert kinds(heard) == ["ApprovalNeeded", "Rejected", "Followed"]
    assert isinstance(heard[-1], events.Followed)
    assert heard[-1].switched


def test_enabled_elsewhere() -> None:
    """The server that watches the client begins to check it."""
    one, _heard = client()
    on = one.life
    one.follow(on.turned_off(START, Why.ADMINISTRATOR), START)
    assert one.deadline is None
    one.follow(on.turned_on(START + MINUTE, ALPHA.timeout), START + MINUTE)
    assert one.ask(START + MINUTE) == Give()
    assert one.deadline == START + 3 * MINUTE


def test_found_alive_elsewhere() -> None:
    """An overdue client is overdue no more."""
    one, _heard = client(watched=False)
    one.watch(START + 6 * MINUTE)
    assert one.overdue
    one.follow(one.life.found_alive(START + 6 * MINUTE, ALPHA.timeout), START + 6 * MINUTE)
    assert not one.overdue


@pytest.mark.parametrize("approved", [True, False])
def test_verdict_given_elsewhere(*, approved: bool) -> None:
    """It settles the requests that wait here, and counts until its end."""
    one, _heard = client(WAITING)
    request = one.ask(START)
    assert isinstance(request, Request)
    one.heed(START + SECOND, START + 11 * SECOND, approved=approved)
    answer = one.answer(request, START + SECOND)
    assert answer == (Give() if approved else Refuse(Rejection.DENIED))
    again = one.ask(START + 10 * SECOND)
    assert again == (Give() if approved else Refuse(Rejection.DENIED))
    assert isinstance(one.ask(START + 11 * SECOND), Request)


def test_old_verdict_is_not_heeded() -> None:
    """A server that was away hears of it too late."""
    one, _heard = client(WAITING)
    request = one.ask(START)
    one.heed(START + MINUTE / 2, START + 11 * SECOND, approved=True)
    assert isinstance(request, Request)
    assert one.answer(request, START + MINUTE / 2) is request


def test_request_that_waits_elsewhere_is_pending_here() -> None:
    """An administrator sees it on every server."""
    one, _heard = client(WAITING)
    one.follow(one.life, START, waits=True)
    assert one.approval_pending
    assert one.asked_here is None
    one.follow(one.life, START, waits=False)
    assert not one.approval_pending


def test_new_key_from_elsewhere() -> None:
    """A request that waits with the old key gets nothing."""
    one, heard = client(WAITING)
    request = one.ask(START)
    one.follow_settings(replace(WAITING, key_id="cd" * 32), START)
    assert isinstance(request, Request)
    assert one.answer(request, START) == Refuse(Rejection.NEW_KEY)
    assert kinds(heard)[-1] == "SettingsChanged"


def test_common_clock_follows_and_never_goes_back() -> None:
    """It waits when the servers' time is behind."""
    machine = [100.0]
    clock = CommonClock(lambda: machine[0], START)
    machine[0] += 10
    assert clock.now() == START + 10 * SECOND
    clock.agree(START + 12 * SECOND, machine[0])
    assert clock.now() == START + 12 * SECOND
    clock.agree(START + 11 * SECOND, machine[0])
    assert clock.now() == START + 12 * SECOND
    machine[0] += 3
    assert clock.beat() == START + 14 * SECOND


def test_common_clock_that_was_far_ahead_goes_back() -> None:
    """It would stand still for an hour."""
    machine = [100.0]
    clock = CommonClock(lambda: machine[0], START + 60 * MINUTE)
    machine[0] += 10
    assert clock.now() == START + 60 * MINUTE + 10 * SECOND
    machine[0] += 1
    assert clock.agree(START + 10 * SECOND, machine[0] - 1) == 60 * MINUTE - SECOND
    assert clock.now() == START + 11 * SECOND
    assert not clock.agree(START + 10 * SECOND, machine[0])


def test_holding_the_common_clock_stops_no_time() -> None:
    """Other servers may have a link."""
    machine = [100.0]
    clock = CommonClock(lambda: machine[0], START)
    clock.hold()
    machine[0] += 10
    assert clock.held
    assert clock.now() == START + 10 * SECOND
    clock.release()
    assert not clock.held
