# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's life as a value.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mandos.server.life.events import Why

#: Status of the last checker, as D-Bus shows it: none has completed yet; it died of a signal.
NEVER_COMPLETED = -2
SIGNALLED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a restart of the server must not forget of a client, beside its settings."""

    created: datetime
    enabled: bool
    last_enabled: datetime | None = None
    expires: datetime | None = None
    last_checked_ok: datetime | None = None
    last_checker_status: int = NEVER_COMPLETED
    last_approval_request: datetime | None = None
    disabled_at: datetime | None = None
    disabled_why: Why | None = None

    def dated(self, date: Callable[[datetime], datetime]) -> Memory:
        """The same with the dates that people would write, which all differ by the same time."""
        if date(self.created) == self.created:
            return self

        def converted(moment: datetime | None) -> datetime | None:
            return moment and date(moment)

        return replace(
            self,
            created=date(self.created),
            last_enabled=converted(self.last_enabled),
            expires=converted(self.expires),
            last_checked_ok=converted(self.last_checked_ok),
            last_approval_request=converted(self.last_approval_request),
            disabled_at=converted(self.disabled_at),
        )
