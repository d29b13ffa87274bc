# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations: what is written can be read, and rubbish raises one error class only."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mandos.durations import LONGEST, DurationError, format_duration, parse_duration


@given(st.integers(0, int(LONGEST.total_seconds())))
def test_written_durations_are_read_back(seconds: int) -> None:
    """Every whole number of seconds survives the way to text and back."""
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.text() | st.text("PTYMWDHSwdhms0123456789 -.") | st.from_regex(r"P[0-9YMDWTHS]*"))
def test_rubbish_raises_one_error_class(text: str) -> None:
    """Any text gives a duration within bounds or a DurationError."""
    with contextlib.suppress(DurationError):
        assert timedelta(0) <= parse_duration(text) <= LONGEST
