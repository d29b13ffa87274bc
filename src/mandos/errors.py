# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions for expected failures, one class for each cause.

One root class carries all that a person needs: the message (lower case, no full stop), a hint
for the next step, and the exit status of a program that ends because of it (sysexits.h).
A secret must never be part of a message.  Imports nothing: early boot uses it.
"""

from __future__ import annotations


class MandosError(Exception):
    """An expected failure: ``message`` describes it, ``hint`` names the next step."""

    exit_code = 70  # EX_SOFTWARE
    hint: str | None

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def lines(self) -> list[str]:
        """The text that a program prints: the message, then the hint when there is one."""
        hint = [] if self.hint is None else [f"hint: {self.hint}"]
        return str(self).splitlines() + hint


class AdministratorError(MandosError):
    """Something the administrator set up is wrong: a file, a key, a setting."""

    exit_code = 78  # EX_CONFIG


class UsageError(AdministratorError):
    """The command line is wrong."""

    exit_code = 64  # EX_USAGE


class PeerError(MandosError):
    """The other end broke the protocol, refused, or went away."""

    exit_code = 76  # EX_PROTOCOL


class MachineError(MandosError):
    """The machine lacks or refuses something: a library, a port, an interface."""

    exit_code = 69  # EX_UNAVAILABLE
