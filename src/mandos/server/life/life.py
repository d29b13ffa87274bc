# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's life as a value, and each of its transitions.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mandos.server.life.events import Why  # noqa: TC001 - the store converts by a field's type

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

#: Status of the last checker, as D-Bus shows it: none has completed yet; it died of a signal.
NEVER_COMPLETED = -2
SIGNALLED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A client's life: everything about it that must survive a restart of the server.

    Each field is a column of the database (``state/life_rows.py``) and a D-Bus property
    (``bus/properties.py``), which take name and type from here.  The client's settings, its running
    checker and its waiting requests are in ``Client``.
    """

    created: datetime
    enabled: bool
    last_enabled: datetime | None = None
    expires: datetime | None = None
    last_checked_ok: datetime | None = None
    last_checker_status: int = NEVER_COMPLETED
    last_approval_request: datetime | None = None
    disabled_at: datetime | None = None
    disabled_why: Why | None = None
    last_secret_sent: datetime | None = None
    last_rehearsed: datetime | None = None

    def turned_on(self, now: datetime, timeout: timedelta) -> Life:
        """Return the life of the client after it was enabled, with a whole timeout left."""
        return replace(
            self,
            enabled=True,
            last_enabled=now,
            expires=now + timeout,
            disabled_at=None,
            disabled_why=None,
        )

    def turned_off(self, now: datetime, why: Why) -> Life:
        """Return the life of the client after it was disabled for this reason."""
        return replace(self, enabled=False, expires=None, disabled_at=now, disabled_why=why)

    def retired(self) -> Life:
        """Return the life of the client after its removal, which records no reason."""
        return replace(self, enabled=False, expires=None)

    def until(self, expires: datetime) -> Life:
        """Return the life with this end of the client's time."""
        return replace(self, expires=expires)

    def moved(self, difference: timedelta) -> Life:
        """Return the life with a later end, by this difference, if the client's time runs."""
        return self if self.expires is None else self.until(self.expires + difference)

    def checked(self, status: int) -> Life:
        """Return the life after a checker completed with this status."""
        return replace(self, last_checker_status=status)

    def found_alive(self, at: datetime, timeout: timedelta) -> Life:
        """The client was alive at this moment; its time, if it runs, is a timeout from then.

        Each check of each client ends here.  ``replace`` takes twice as long as the constructor.
        """
        return Life(
            created=self.created,
            enabled=self.enabled,
            last_enabled=self.last_enabled,
            expires=None if self.expires is None else at + timeout,
            last_checked_ok=at,
            last_checker_status=0,
            last_approval_request=self.last_approval_request,
            disabled_at=self.disabled_at,
            disabled_why=self.disabled_why,
            last_secret_sent=self.last_secret_sent,
            last_rehearsed=self.last_rehearsed,
        )

    def given_secret(self, now: datetime) -> Life:
        """Return the life after the client got its secret, which is a boot."""
        return replace(self, last_secret_sent=now)

    def rehearsed(self, now: datetime) -> Life:
        """Return the life after the client got its secret for a rehearsal of its boot."""
        return replace(self, last_rehearsed=now)

    def asked(self, now: datetime) -> Life:
        """Return the life after the client asked for approval."""
        return replace(self, last_approval_request=now)

    def dated(self, date: Callable[[datetime], datetime]) -> Life:
        """Return the life with ``date`` applied to all of its times.

        ``date`` must add the same difference to each time.
        """
        if date(self.created) == self.created:
            return self
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        moments = {name: it for name, it in values.items() if isinstance(it, datetime)}
        return Life(**values | {name: date(moment) for name, moment in moments.items()})
