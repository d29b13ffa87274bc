# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a client: one object that knows no clock, no network and no disk.

Every method takes ``now`` (an aware datetime) and only changes this object.  A disabled client
never gets its secret, and nothing but ``enable`` enables one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from mandos.server.clients_conf import ClientSettings


class Give(NamedTuple):
    """The client may have its secret."""

    secret: bytes


class Refuse(NamedTuple):
    """The client gets nothing, for this reason."""

    reason: str


class Wait(NamedTuple):
    """The approval delay has to pass before the default decides."""

    delay: timedelta


Decision = Give | Refuse | Wait


class Client:
    """A client's settings and where it stands in its life."""

    def __init__(self, settings: ClientSettings, now: datetime) -> None:
        self.settings = settings
        self.created = now
        self.enabled = False
        self.last_enabled: datetime | None = None
        self.expires: datetime | None = None
        if settings.enabled:
            self.enable(now)

    @property
    def name(self) -> str:
        """The name of the client's section."""
        return self.settings.name

    def enable(self, now: datetime) -> None:
        """Begin to serve the client; harmless when it is enabled."""
        if self.enabled:
            return
        self.enabled = True
        self.last_enabled = now
        self.expires = now + self.settings.timeout

    def disable(self) -> None:
        """Stop serving the client, until somebody enables it."""
        self.enabled = False
        self.expires = None

    def ask(self) -> Decision:
        """What to do about a request that has just come in."""
        if self.enabled and self.settings.approval_delay:
            return Wait(self.settings.approval_delay)
        return self.decide()

    def decide(self) -> Give | Refuse:
        """What to do about a request once nobody can be waited for any more."""
        if not self.enabled:
            return Refuse("Disabled")
        if not self.settings.approved_by_default:
            return Refuse("Approval timed out" if self.settings.approval_delay else "Denied")
        return Give(self.settings.secret)

    def secret_sent(self, now: datetime) -> None:
        """The client boots now: give it more time than usual to be seen alive again."""
        if self.enabled:
            self.expires = now + self.settings.extended_timeout
