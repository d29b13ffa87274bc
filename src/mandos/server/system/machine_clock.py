# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's clock over the clocks of this machine: clock_gettime(2)."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from mandos.server.life.clock import Clock


def machine_clock() -> Clock:
    """A clock that begins now, by CLOCK_MONOTONIC and the machine's date."""
    return Clock(time.monotonic, _date)


def _date() -> datetime:
    return datetime.now(UTC)
