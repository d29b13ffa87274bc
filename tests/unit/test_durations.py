# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations: both forms, and what is neither."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mandos.durations import LONGEST, DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT5M", timedelta(minutes=5)),
        ("PT0S", timedelta(0)),
        ("P1W", timedelta(weeks=1)),
        ("P1Y", timedelta(weeks=52)),
        ("P1M", timedelta(weeks=4)),
        ("PT1M", timedelta(minutes=1)),
        ("P1DT2H", timedelta(days=1, hours=2)),
        ("PT1H0M5S", timedelta(hours=1, seconds=5)),
        (
            "P1Y2M3DT4H5M6S",
            timedelta(weeks=52 + 2 * 4, days=3, hours=4, minutes=5, seconds=6),
        ),
        (" PT00005M\n", timedelta(minutes=5)),
    ],
)
def test_rfc_3339_form(text: str, expected: timedelta) -> None:
    """RFC 3339 appendix A is read; a year is 52 weeks and a month is 4 weeks."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5m 30s", timedelta(minutes=5, seconds=30)),
        ("1w 2d 3h 4m 5s", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
        ("30s  5m", timedelta(minutes=5, seconds=30)),
        ("2m 3m", timedelta(minutes=5)),
    ],
)
def test_older_form(text: str, expected: timedelta) -> None:
    """The form of before 2013 is still read, in any order, and repeated units add up."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "P", "PT", "P1DT", "P1H", "PT1D", "P1W2D", "PT1H5S", "P1Y5D", "pt5m", "PT5m",
        "PT5.5M", "-PT5M", "PT-5M", "PT٣M", "5", "5 m", "5m30s", "5M", "5y", "1.5h", "PT5M PT5M",
        "PT5M 5s", "PT5M\0", "PT" + "9" * 300 + "S",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    """Whatever is in neither form is refused, other scripts' digits and skipped units included.

    The reference's server refuses the skipped units too; an empty value means 0 s to it, which
    would disable every client at once, so it is refused here.
    """
    with pytest.raises(DurationError, match="is not a duration"):
        parse_duration(text)


def test_bounded() -> None:
    """A duration of more than a thousand years is a mistake."""
    assert parse_duration("P1000Y") == LONGEST
    with pytest.raises(DurationError, match="longer than 1000 years"):
        parse_duration("P52001W")
    with pytest.raises(DurationError, match="longer than 1000 years"):
        parse_duration("9" * 150 + "s")


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "PT0S"),
        (timedelta(minutes=5), "PT5M"),
        (timedelta(hours=1, seconds=5), "PT1H0M5S"),
        (timedelta(days=14), "P2W"),
        (timedelta(days=1), "P1D"),
        (timedelta(days=7, seconds=1), "P7DT1S"),
        (timedelta(seconds=1, microseconds=999), "PT1S"),
    ],
)
def test_written(duration: timedelta, text: str) -> None:
    """Durations are written in the shortest form that RFC 3339 allows."""
    assert format_duration(duration) == text
