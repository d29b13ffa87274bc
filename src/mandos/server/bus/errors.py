# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The D-Bus error that answers a call which fails."""

from __future__ import annotations

#: D-Bus specification, "Well-known errors"; our reply when a call would cost too much.
LIMITS_EXCEEDED = "org.freedesktop.DBus.Error.LimitsExceeded"


class CallError(Exception):
    """Goes back to the caller, under a D-Bus error's name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
