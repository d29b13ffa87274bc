# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's clock over the clocks of this machine: clock_gettime(2)."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from mandos.server.life.clock import Clock, CommonClock


def machine_clock() -> Clock:
    """A clock that begins now, by CLOCK_MONOTONIC and the machine's date."""
    return Clock(time.monotonic, _date)


def _date() -> datetime:
    return datetime.now(UTC)


def common_clock(moment: datetime) -> CommonClock:
    """A clock that several servers share, at this moment; it counts the time of suspends, too."""
    return CommonClock(elapsed, moment)


def elapsed() -> float:
    """Seconds since the machine was started, with the time in which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
