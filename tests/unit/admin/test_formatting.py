# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, dates and foreign text as mandos-ctl and mandos-monitor show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mandos.admin.formatting import (
    ago,
    all_units,
    countdown,
    one_unit,
    printable,
    quoted,
    short_date,
    two_units,
)

NOW = datetime(2026, 11, 24, 4, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(milliseconds=1500), "1 s"),
        (timedelta(milliseconds=15), "15 ms"),
        (timedelta(minutes=5), "5 min"),
        (timedelta(hours=1, seconds=5), "1 h"),
        (timedelta(days=1, hours=2, minutes=3), "1 day 2 h"),
        (timedelta(days=400), "400 days"),
    ],
)
def test_sentences_have_two_units(duration: timedelta, text: str) -> None:
    """Two units are enough for people."""
    assert two_units(duration) == text


def test_moments() -> None:
    """What has just happened is not in the future, whatever the clocks say."""
    assert ago(NOW + timedelta(seconds=30), NOW) == "just now"
    assert ago(NOW - timedelta(days=1), NOW) == "1 day ago"


def test_names_are_harmless() -> None:
    """A name can neither move the cursor nor run a command when it is pasted."""
    assert printable("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"
    assert printable("é日本 ~") == "é日本 ~"
    assert printable("no\u00a0break") == r"no\xa0break"  # else it looks like "no break"
    assert quoted("a b") == "'a b'"
    assert quoted("-a") == "-- -a"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *((-5, "0:00"), (0, "0:00"), (7.9, "0:07"), (247, "4:07"), (3600, "1:00:00")),
        *((18247, "5:04:07"), (86400, "1d 00h"), (277_200, "3d 05h")),
    ],
)
def test_time_left_is_short_and_never_negative(seconds: float, shown: str) -> None:
    """Minutes and seconds, with hours from an hour on, in days and hours from a day on."""
    assert countdown(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_ages_have_one_unit(seconds: float, shown: str) -> None:
    """How long ago something was is told in one unit, rounded down."""
    assert one_unit(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.5, "0.5 s"),
        (300, "5 min"),
        (9000, "2 h 30 min"),
        (90061, "1 d 1 h 1 min 1 s"),
    ],
)
def test_settings_are_told_in_full(seconds: float, shown: str) -> None:
    """A setting loses nothing that matters."""
    assert all_units(timedelta(seconds=seconds)) == shown


def test_dates_of_today_have_no_day() -> None:
    """Today's dates are times; the zone decides what today is."""
    assert short_date(NOW, NOW + timedelta(minutes=1), UTC) == "04:00:00"
    assert short_date(NOW - timedelta(hours=5), NOW, UTC) == "2026-11-23 23:00"


def test_nothing_that_a_terminal_obeys_reaches_it() -> None:
    """Control characters, direction marks and lone surrogates are shown as escapes."""
    assert printable("a\x1b[2Jb\n") == r"a\x1b[2Jb\n"
    assert printable("\u202egro.live\ud800\x9b") == r"\u202egro.live\ud800\x9b"
    assert printable("Zürich 東京") == "Zürich 東京"
