# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that two servers make to one client at the same time: rules that hold for all of them."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mandos.client_settings import ClientSettings
from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.life.merge import merge, merge_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Steps = Sequence[tuple[str, int]]

START = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TIMEOUT = 5 * MINUTE
SWITCH = ("enabled", "last_enabled", "disabled_at", "disabled_why")
FOUND = ("last_checked_ok", "last_approval_request", "last_secret_sent", "last_rehearsed")

#: All that can happen to a client; each takes its life and the time.
ACTS: dict[str, Callable[[Life, datetime], Life]] = {
    "enable": lambda life, now: life if life.enabled else life.turned_on(now, TIMEOUT),
    "disable": lambda life, now: life.turned_off(now, Why.ADMINISTRATOR) if life.enabled else life,
    "change files": lambda life, now: (
        life.turned_off(now, Why.CONFIGURATION) if life.enabled else life
    ),
    "expire": lambda life, now: (
        life.turned_off(now, Why.TIMEOUT) if life.expires and life.expires <= now else life
    ),
    "find alive": lambda life, now: life.found_alive(now, TIMEOUT),
    "fail a check": lambda life, _now: life.checked(1),
    "give": lambda life, now: (
        life.given_secret(now).until(now + 3 * TIMEOUT) if life.enabled else life
    ),
    "rehearse": lambda life, now: life.rehearsed(now),
    "ask": lambda life, now: life.asked(now),
    "shorten the timeout": lambda life, _now: life.moved(-MINUTE),
}
#: An act, and the minutes since the one before it.
STEPS = st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 7)), max_size=5)
NEW = Life(created=START, enabled=False)


def grown(life: Life, steps: Steps, now: datetime) -> tuple[Life, datetime]:
    """The life after some acts, and the time then."""
    for act, minutes in steps:
        now += minutes * MINUTE
        life = ACTS[act](life, now)
    return life, now


#: Ends of a history.
EXPIRED = [("enable", 0), ("expire", 15)]
DISABLED = [("enable", 1), ("disable", 1)]
ENABLED = [("disable", 1), ("enable", 1)]
ALIVE = [("enable", 0), ("find alive", 60)]


@st.composite
def histories(
    draw: st.DrawFn, ours_end: Steps = (), theirs_end: Steps = ()
) -> tuple[Life, Life, Life, datetime]:
    """Base, ours and theirs, and a time after all acts."""
    base, now = grown(NEW, draw(STEPS), START)
    ours, ours_at = grown(base, [*draw(STEPS), *ours_end], now)
    theirs, theirs_at = grown(base, [*draw(STEPS), *theirs_end], now)
    return base, ours, theirs, max(ours_at, theirs_at)


def switch_of(life: Life) -> tuple[object, ...]:
    """Whether the client is enabled, since when and why."""
    return tuple(getattr(life, name) for name in SWITCH)


def expired(life: Life) -> bool:
    """Whether the client's time was over."""
    return not life.enabled and life.disabled_why is Why.TIMEOUT


def alive(life: Life, now: datetime) -> bool:
    """Whether the client is enabled, and its time runs."""
    return life.enabled and life.expires is not None and life.expires > now


@given(history=histories(), disabling_wins=st.booleans())
def test_the_result_is_a_valid_life(
    history: tuple[Life, Life, Life, datetime], *, disabling_wins: bool
) -> None:
    """A client is enabled if and only if its time has an end, as the database demands."""
    base, ours, theirs, now = history
    result = merge(base, ours, theirs, now, disabling_wins=disabling_wins)
    assert result.enabled == (result.expires is not None)


@given(history=histories(), disabling_wins=st.booleans())
def test_without_changes_of_the_others_ours_are_taken(
    history: tuple[Life, Life, Life, datetime], *, disabling_wins: bool
) -> None:
    """Only an expiry that comes too early is not taken."""
    base, ours, _theirs, now = history
    assume(not (expired(ours) and alive(base, now)))
    assert merge(base, ours, base, now, disabling_wins=disabling_wins) == ours


@given(history=histories(), disabling_wins=st.booleans())
def test_without_changes_of_ours_theirs_stay(
    history: tuple[Life, Life, Life, datetime], *, disabling_wins: bool
) -> None:
    """A server that has changed nothing changes nothing."""
    base, _ours, theirs, now = history
    assert merge(base, base, theirs, now, disabling_wins=disabling_wins) == theirs


@given(st.one_of(histories(DISABLED), histories(ENABLED)))
def test_our_administrators_act_is_never_lost(
    history: tuple[Life, Life, Life, datetime],
) -> None:
    """The act that this server brings is the later one."""
    base, ours, theirs, now = history
    assume(switch_of(ours) != switch_of(base) and not expired(ours))
    assert switch_of(merge(base, ours, theirs, now)) == switch_of(ours)


@given(
    history=st.one_of(histories(EXPIRED, DISABLED), histories(EXPIRED, ALIVE)),
    disabling_wins=st.booleans(),
)
def test_an_administrators_act_of_the_others_is_lost_to_no_check_or_expiry(
    history: tuple[Life, Life, Life, datetime], *, disabling_wins: bool
) -> None:
    """Neither a successful check nor the end of a client's time undoes an act."""
    base, ours, theirs, now = history
    assume(switch_of(theirs) != switch_of(base) and not expired(theirs))
    assume(switch_of(ours) == switch_of(base) or expired(ours))
    result = merge(base, ours, theirs, now, disabling_wins=disabling_wins)
    late = expired(ours) and theirs.enabled and not alive(theirs, now)
    assert switch_of(result) == switch_of(ours if late else theirs)


@given(history=histories(EXPIRED, ALIVE), disabling_wins=st.booleans())
def test_no_client_expires_that_was_found_alive(
    history: tuple[Life, Life, Life, datetime], *, disabling_wins: bool
) -> None:
    """The other servers know a client as alive whose time was over here."""
    base, ours, theirs, now = history
    assume(expired(ours) and alive(theirs, now))
    result = merge(base, ours, theirs, now, disabling_wins=disabling_wins)
    assert alive(result, now)
    assert result.expires == theirs.expires


@given(histories(theirs_end=DISABLED))
def test_a_disabling_that_wins_is_never_undone(
    history: tuple[Life, Life, Life, datetime],
) -> None:
    """A server that was without the database enables no client that the others have disabled."""
    base, ours, theirs, now = history
    assume(not theirs.enabled and switch_of(theirs) != switch_of(base))
    assert not merge(base, ours, theirs, now, disabling_wins=True).enabled


@given(st.one_of(histories(DISABLED), histories(EXPIRED)))
def test_a_disabling_here_wins_too(history: tuple[Life, Life, Life, datetime]) -> None:
    """A client that this server has disabled without the database stays disabled, unless alive."""
    base, ours, theirs, now = history
    assume(not ours.enabled and switch_of(ours) != switch_of(base))
    result = merge(base, ours, theirs, now, disabling_wins=True)
    assert not result.enabled or (expired(ours) and alive(theirs, now))


@given(histories())
def test_both_find_the_later_dates(history: tuple[Life, Life, Life, datetime]) -> None:
    """Nothing that either server found out is forgotten."""
    base, ours, theirs, now = history
    result = merge(base, ours, theirs, now)
    for name in FOUND:
        known = [it for it in (getattr(ours, name), getattr(theirs, name)) if it is not None]
        assert getattr(result, name) == max(known, default=None)


@given(history=histories(), disabling_wins=st.booleans())
def test_a_merge_can_be_repeated(
    history: tuple[Life, Life, Life, datetime], *, disabling_wins: bool
) -> None:
    """A write whose acknowledgement was lost is made again, and changes nothing more."""
    base, ours, theirs, now = history
    once = merge(base, ours, theirs, now, disabling_wins=disabling_wins)
    assert merge(ours, once, once, now) == once
    assert merge(base, once, once, now, disabling_wins=disabling_wins) == once


def test_two_checks_leave_the_later_end() -> None:
    """Both servers found the client alive: its time ends by the later check."""
    base = NEW.turned_on(START, TIMEOUT)
    ours = base.found_alive(START + MINUTE, TIMEOUT)
    theirs = base.found_alive(START + 2 * MINUTE, TIMEOUT)
    assert merge(base, ours, theirs, START).expires == theirs.expires
    assert merge(base, theirs, ours, START).expires == theirs.expires


def test_an_administrators_disabling_is_recorded_rather_than_the_expiry() -> None:
    """Where a client expired elsewhere, the audit trail and the client agree about the act here."""
    base = NEW.turned_on(START, TIMEOUT)
    ours = base.turned_off(START + TIMEOUT, Why.ADMINISTRATOR)
    theirs = base.turned_off(START + TIMEOUT, Why.TIMEOUT)
    for disabling_wins in (False, True):
        result = merge(base, ours, theirs, START + TIMEOUT, disabling_wins=disabling_wins)
        assert result.disabled_why is Why.ADMINISTRATOR


def test_a_client_enabled_twice_does_not_expire_while_it_is_alive() -> None:
    """Enabled on both sides of a partition; here it expires, and there its checks succeed."""
    base = NEW.turned_on(START, TIMEOUT).turned_off(START, Why.ADMINISTRATOR)
    now = START + 2 * TIMEOUT
    ours = base.turned_on(START, TIMEOUT).turned_off(START + TIMEOUT, Why.TIMEOUT)
    theirs = base.turned_on(START, TIMEOUT).found_alive(now - MINUTE, TIMEOUT)
    assert merge(base, ours, theirs, now) == theirs


OLD = ClientSettings(name="alpha", secret=b"old", key_id="ab" * 32, host="a", timeout=TIMEOUT)
CHANGES = {"secret": b"new", "host": "b", "timeout": MINUTE, "approved_by_default": False}


@pytest.mark.parametrize("name", CHANGES)
def test_settings_that_one_side_changed_are_taken(name: str) -> None:
    """Each side's change of another setting stays."""
    changed = replace(OLD, **{name: CHANGES[name]})  # type: ignore[arg-type]
    others = {key: value for key, value in CHANGES.items() if key != name}
    theirs = replace(OLD, **others)  # type: ignore[arg-type]
    merged = merge_settings(OLD, changed, theirs)
    assert merged == replace(theirs, **{name: CHANGES[name]})  # type: ignore[arg-type]
    assert merge_settings(OLD, OLD, changed) == changed


def test_every_field_is_merged() -> None:
    """A new field of a life needs a rule in merge.py: until then this test fails."""
    others = {"created", "expires", "last_checker_status"}
    assert {field.name for field in fields(Life)} == {*SWITCH, *FOUND, *others}
