# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one client: manual page mandos-clients.conf(5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from mandos.errors import AdministratorError


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientSettings:
    """One client as ``clients.conf`` has it; the secret never shows in a log."""

    name: str
    secret: bytes = field(repr=False)
    key_id: str = ""
    fingerprint: str = ""
    host: str = ""
    checker: str = "fping -q -- %(host)s"
    timeout: timedelta = timedelta(minutes=5)
    extended_timeout: timedelta = timedelta(minutes=15)
    interval: timedelta = timedelta(minutes=2)
    approval_delay: timedelta = timedelta(0)
    approval_duration: timedelta = timedelta(seconds=1)
    approved_by_default: bool = True
    enabled: bool = True

    def __post_init__(self) -> None:
        """Hold what must be true of every client."""
        if self.interval <= timedelta(0):
            raise AdministratorError("interval: expected more than no time, not PT0S")
