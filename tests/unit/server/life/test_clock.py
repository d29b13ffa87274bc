# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock passes time while the machine runs, whatever the server does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mandos.server.life.clock import BLIND, Clock

START = datetime(2026, 11, 24, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Machine:
    """A machine whose two clocks the test turns."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.date = START
        self.shifts: list[float] = []
        self.stalls: list[float] = []
        self.clock = Clock(lambda: self.monotonic, lambda: self.date)
        self.clock.on_shift = self.shifts.append
        self.clock.on_stall = self.stalls.append

    def passes(self, seconds: float, *, set_by: float = 0.0) -> datetime:
        """Let time pass, and the date be set by so much; returns what the clock says then."""
        self.monotonic += seconds
        self.date += timedelta(seconds=seconds + set_by)
        return self.clock.beat()


def test_time_passes_while_it_is_looked_at() -> None:
    """Looks that come often enough make it a usual clock."""
    machine = Machine()
    assert machine.clock.now() == START
    for count in range(1, 10):
        assert machine.passes(BLIND) == START + count * BLIND * SECOND
    assert machine.shifts == []


def test_suspended_machine_lost_no_time() -> None:
    """Only the date goes on; dates stay true, and whoever wrote some down is told once."""
    machine = Machine()
    expires = START + 60 * SECOND
    machine.date += 3600 * SECOND
    assert machine.passes(0) == START
    assert machine.shifts == [3600]
    assert machine.stalls == []
    assert machine.clock.date(expires) == expires + 3600 * SECOND
    assert machine.passes(1) == START + SECOND
    assert machine.shifts == [3600]


def test_time_passes_while_the_server_is_stopped() -> None:
    """Strangers may be able to stop it; it is told what it may have missed, before the time."""
    machine = Machine()
    assert machine.passes(3600) == START + 3600 * SECOND
    assert machine.stalls == [3600]
    assert machine.shifts == []


def test_looks_within_one_long_turn_do_not_hide_it() -> None:
    """Handshakes one after the other in one turn of the loop: each looks, and nothing is heard."""
    machine = Machine()
    for _look in range(10):
        machine.monotonic += 1
        machine.clock.now()
    assert sum(machine.stalls) >= 10 - BLIND
    assert all(stall > BLIND for stall in machine.stalls)
    machine.stalls.clear()
    assert machine.passes(1) == START + 11 * SECOND
    assert machine.stalls == []


def test_stall_while_the_clock_is_held_takes_no_time() -> None:
    """So nobody has to be given any for it."""
    machine = Machine()
    machine.clock.hold()
    assert machine.passes(3600) == START
    machine.clock.release()
    assert machine.stalls == []
    assert machine.passes(1) == START + SECOND
    assert machine.stalls == []


def test_setting_the_date_changes_dates_only() -> None:
    """Neither forward nor back moves anybody's timeout."""
    machine = Machine()
    assert machine.passes(1, set_by=86400) == START + SECOND
    assert machine.clock.date(START) == START + 86400 * SECOND
    assert machine.passes(1, set_by=-2 * 86400) == START + 2 * SECOND
    assert machine.clock.date(START) == START - 86400 * SECOND
    assert machine.shifts == [86400, -2 * 86400]


def test_dates_do_not_flicker() -> None:
    """What a time server corrects by less than a second is not worth another date."""
    machine = Machine()
    for _ in range(9):
        machine.passes(1, set_by=0.1)
    assert machine.clock.date(START) == START


def test_held_clock_stands_still_and_goes_on_with_what_was_left() -> None:
    """It tells when it goes on, not all the time."""
    machine = Machine()
    machine.passes(1)
    machine.clock.hold()
    for _ in range(100):
        assert machine.passes(1) == START + SECOND
    assert machine.clock.held
    assert machine.clock.date(START) == START + 100 * SECOND
    assert machine.shifts == []
    machine.clock.release()
    assert machine.shifts == [100]
    assert machine.passes(1) == START + 2 * SECOND


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["hold", "release", "now", "beat"]))))
def test_it_never_goes_back_and_never_runs_ahead(acts: list[tuple[float, str]]) -> None:
    """Whatever happens, time passes at most as fast as on the machine."""
    machine = Machine()
    last, passed = machine.clock.now(), 0.0
    for seconds, act in acts:
        machine.monotonic += seconds
        machine.date += timedelta(seconds=seconds)
        passed += seconds
        getattr(machine.clock, act)()
        now = machine.clock.now()
        assert last <= now <= START + timedelta(seconds=passed + 0.001)
        last = now
