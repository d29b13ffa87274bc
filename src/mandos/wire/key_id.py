# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key IDs: the SHA-256 over a DER SubjectPublicKeyInfo, as 64 lower-case hexadecimal digits."""

from __future__ import annotations

from mandos.errors import AdministratorError

LENGTH = 64

#: SHA-256 of nothing: once produced by mistake, it names no key and must never match a client.
OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_DIGITS = frozenset("0123456789abcdef")


def parse_key_id(text: str) -> str:
    """Read a key ID as a person writes it: blanks and case do not matter.

    Raises AdministratorError for anything else than 64 digits, and for the SHA-256 of nothing.
    """
    digits = "".join(text.split()).lower()
    if len(digits) != LENGTH or not _DIGITS.issuperset(digits):
        raise AdministratorError(
            f"a key ID has {LENGTH} hexadecimal digits, not {text.strip()[:80]!r}",
            "mandos-keygen --password prints the key_id line for a client",
        )
    if digits == OF_NOTHING:
        raise AdministratorError(
            "this key ID is the SHA-256 of nothing: it names no key",
            "create the client's TLS keys again with mandos-keygen --force",
        )
    return digits
