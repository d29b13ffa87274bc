# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's view of a client, which the holder of the client's key can ask for.

It is one JSON object.  Times are in seconds from now: "seconds_left" until the client would be
disabled, "last_check" since the last successful check.  ``docs/protocol.md`` lists the fields.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from mandos.server.life.client import Client


def described(client: Client, now: datetime) -> bytes:
    """Describe a client in UTF-8."""
    life, settings = client.life, client.settings
    approved, ends = client.verdict(now) or (None, None)
    return json.dumps(
        {
            "name": client.name,
            "enabled": life.enabled,
            "overdue": client.overdue,
            "seconds_left": _seconds(life.expires, now),
            "last_check": _seconds(now, life.last_checked_ok),
            "timeout": settings.timeout.total_seconds(),
            "extended_timeout": settings.extended_timeout.total_seconds(),
            "interval": settings.interval.total_seconds(),
            "approved_by_default": settings.approved_by_default,
            "approval_delay": settings.approval_delay.total_seconds(),
            "verdict": approved,
            "verdict_seconds": _seconds(ends, now),
        },
        ensure_ascii=False,
    ).encode()


def _seconds(later: datetime | None, earlier: datetime | None) -> float | None:
    if later is None or earlier is None:
        return None
    return (later - earlier).total_seconds()
