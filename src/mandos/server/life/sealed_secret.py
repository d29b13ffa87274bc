# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's encrypted password, on its way to the client.  Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class SealedSecret:
    """The bytes of an encrypted password, which only the client can decrypt.

    Its representation in logs and tracebacks shows how long it is, and none of its content.
    """

    data: bytes

    def __repr__(self) -> str:
        return f"SealedSecret({len(self.data)} bytes)"
