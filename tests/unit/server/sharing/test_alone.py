# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a server decides without the shared database: in one boot, and after a cold start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mandos.server.sharing.alone import Limits, may_decide
from mandos.server.state.apart import Contact

DATE = datetime(2026, 11, 30, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LIMITS = Limits(running=10 * MINUTE, at_boot=HOUR)
LAST = Contact("boot-1", 5000.0, DATE)


@pytest.mark.parametrize(("passed", "may"), [(0, True), (600, True), (601, False), (10**6, False)])
def test_in_the_same_boot_the_time_since_contact_counts(passed: float, *, may: bool) -> None:
    """The machine's date plays no part: it may be set meanwhile."""
    for date in (DATE, DATE - HOUR, DATE + 1000 * HOUR):
        assert may_decide(LIMITS, LAST, "boot-1", 5000.0 + passed, date) == may


@pytest.mark.parametrize(
    ("passed", "elapsed", "may"),
    [
        (timedelta(0), 60.0, True),
        (HOUR, 60.0, True),
        (HOUR + MINUTE, 60.0, False),
        (-1000 * HOUR, 60.0, True),
        (-1000 * HOUR, 3601.0, False),
    ],
)
def test_after_a_cold_start_the_date_counts(
    passed: timedelta, elapsed: float, *, may: bool
) -> None:
    """A date before that of the contact is wrong; the time since the start then has an end."""
    assert may_decide(LIMITS, LAST, "boot-2", elapsed, DATE + passed) == may


def test_zero_is_never() -> None:
    """Both settings are off by default."""
    off = Limits(timedelta(0), timedelta(0))
    assert not may_decide(off, LAST, "boot-1", 5000.0, DATE)
    assert not may_decide(off, LAST, "boot-2", 0.0, DATE)


def test_a_database_that_was_never_seen_permits_nothing() -> None:
    """The server does not know who was disabled on others."""
    assert not may_decide(LIMITS, None, "boot-1", 1.0, DATE)


def test_without_a_boot_id_each_start_is_cold() -> None:
    """The kernel did not say which boot it is."""
    unknown = Contact("", 5000.0, DATE)
    assert may_decide(LIMITS, unknown, "", 60.0, DATE + 30 * MINUTE)
    assert not may_decide(LIMITS, unknown, "", 60.0, DATE + 2 * HOUR)
