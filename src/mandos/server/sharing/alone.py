# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a server may give secrets without the shared database.  Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from mandos.server.state.apart import Contact


class Limits(NamedTuple):
    """The settings ``without_database`` and ``without_database_at_boot``; no time: never."""

    running: timedelta
    at_boot: timedelta


def may_decide(
    limits: Limits, contact: Contact | None, boot: str, elapsed: float, date: datetime
) -> bool:
    """Return whether a server may decide alone now.

    In the boot of the machine in which it saw the database, the time since then counts, by
    CLOCK_BOOTTIME.  In a later boot it is the time by date, or the time since the machine's start
    if that is longer, so that a wrong date does not extend it for ever.
    """
    if contact is None:
        return False
    if boot and contact.boot == boot:
        limit, since = limits.running, timedelta(seconds=elapsed - contact.elapsed)
    else:
        limit, since = limits.at_boot, max(date - contact.date, timedelta(seconds=elapsed))
    return bool(limit) and since <= limit
