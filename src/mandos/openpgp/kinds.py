# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The algorithms of a client's OpenPGP keys, one row each, and the keys' expiry dates.

Only algorithms that GnuPG 2.2, the reference's client and our own can use are here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mandos.errors import UsageError

if TYPE_CHECKING:
    from typing import Literal

    from openpgp.composed import KeyType


@dataclass(frozen=True)
class KeyKind:
    """An algorithm in GnuPG's words, with a curve or with lengths in bits."""

    algorithm: str
    curve: str = ""
    lengths: tuple[int, int] | None = None  # the least and the greatest
    length: int = 0

    @property
    def is_rsa(self) -> bool:
        """Whether it is RSA, which takes seconds to make."""
        return self.algorithm == "RSA"

    def gnupg_parameters(self, prefix: str) -> str:
        """The lines of GnuPG's unattended key generation; ``prefix`` is Key or Subkey."""
        size = f"Curve: {self.curve}" if self.curve else f"Length: {self.length}"
        return f"{prefix}-Type: {self.algorithm}\n{prefix}-{size}\n"

    def library_type(self, make: type[KeyType]) -> KeyType:
        """The OpenPGP library's word for it."""
        if self.is_rsa:
            return make.rsa(self.length)
        if self.algorithm == "EDDSA":
            return make.ed25519_legacy()
        curve = _LIBRARY_CURVES[self.curve]
        return make.ecdh(curve) if self.algorithm == "ECDH" else make.ecdsa(curve)


_LIBRARY_CURVES: dict[str, Literal["curve25519", "p256", "p384", "p521"]] = {
    "cv25519": "curve25519",
    "nistp256": "p256",
    "nistp384": "p384",
    "nistp521": "p521",
}

_RSA = KeyKind("RSA", lengths=(2048, 4096))

_PRIMARY = {
    "rsa": _RSA,
    "ed25519": KeyKind("EDDSA", "ed25519"),
    "nistp256": KeyKind("ECDSA", "nistp256"),
    "nistp384": KeyKind("ECDSA", "nistp384"),
    "nistp521": KeyKind("ECDSA", "nistp521"),
}
_SUBKEY = {
    "rsa": _RSA,
    "cv25519": KeyKind("ECDH", "cv25519"),
    "nistp256": KeyKind("ECDH", "nistp256"),
    "nistp384": KeyKind("ECDH", "nistp384"),
    "nistp521": KeyKind("ECDH", "nistp521"),
}

_ALIASES = {"p256": "nistp256", "p384": "nistp384", "p521": "nistp521", "1": "rsa"}
_PRIMARY_ALIASES = {**_ALIASES, "eddsa": "ed25519", "ecc": "ed25519", "curve25519": "ed25519"}
_SUBKEY_ALIASES = {
    **_ALIASES,
    **dict.fromkeys(("ecdh", "ecc", "curve25519", "x25519", "ed25519"), "cv25519"),
}


def primary_kind(name: str, length: int) -> KeyKind:
    """The kind of a primary key, which signs.  Raises UsageError."""
    return _find(_PRIMARY, _PRIMARY_ALIASES, name, length)


def subkey_kind(name: str, length: int) -> KeyKind:
    """The kind of a subkey, to which the password is encrypted.  Raises UsageError."""
    return _find(_SUBKEY, _SUBKEY_ALIASES, name, length)


def _find(rows: dict[str, KeyKind], aliases: dict[str, str], name: str, length: int) -> KeyKind:
    own = aliases.get(name.lower(), name.lower())
    if own not in rows:
        raise UsageError(
            f"no OpenPGP key of type {name!r} can be made here", "known: " + ", ".join(rows)
        )
    row = rows[own]
    if row.lengths is None:
        return row
    least, greatest = row.lengths
    if not least <= length <= greatest:
        raise UsageError(
            f"an {row.algorithm} key cannot have {length} bits", f"{least} to {greatest} bits"
        )
    return replace(row, length=length)


#: gpg(1), --quick-set-expire: days, or weeks, months, years; a date; a moment; seconds.
_EXPIRY = re.compile(
    r"[0-9]{1,6}[dwmy]?|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}T[0-9]{6}|seconds=[0-9]{1,10}"
)
_NO_EXPIRY = re.compile(r"0*[dwmy]?|seconds=0*|never|none|-")


def expiry(text: str) -> str | None:
    """Check an expiry date as gpg(1) writes it; None when the key never expires."""
    if _NO_EXPIRY.fullmatch(text.strip()):
        return None
    if not _EXPIRY.fullmatch(text.strip()):
        raise UsageError(
            f"{text!r} does not say when a key expires",
            "0 for never, days (90), weeks (4w), months (6m), years (2y), a date (2030-12-31), "
            "or seconds=86400",
        )
    return text.strip()
