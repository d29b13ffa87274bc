# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks whether a client can decrypt its secret, as far as the packet headers show.

For programs that keep secrets but cannot open them, so that they can warn an administrator before
the client reboots.
"""

from __future__ import annotations

import re

from mandos import passwords
from mandos.openpgp import packets

_ARMOR = b"-----BEGIN PGP MESSAGE-----"
#: Bytes around a password: a session key and a signature of RSA 4096 have 1200.
_AROUND = 2048
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+[=\s]*")


def warning_about(secret: bytes) -> str:
    """The reason why these bytes may be useless to their client; empty when they look right."""
    if not secret:
        return "it is empty: the client will get nothing"
    if secret.lstrip().startswith(_ARMOR):
        return ""
    try:
        return _doubt(packets.outline(secret)) or _doubt_about_size(len(secret))
    except packets.MalformedError as error:
        if _BASE64.fullmatch(secret):
            return f"{error}, it looks like base64: decode it first, with base64 --decode"
        return f"{error}: the client will not be able to open it"


def _doubt_about_size(size: int) -> str:
    if size <= passwords.LIMIT + _AROUND:
        return ""
    return (
        f"it is large: a password of more than {passwords.LIMIT} bytes is of no use to its client; "
        f"{passwords.LONGER_KEYS}"
    )


def _doubt(about: packets.Outline) -> str:
    if about.data_packet == packets.SED:
        return "it has no integrity protection: no client will open it"
    if strange := about.strange_cipher():
        return (
            f"it is of GnuPG's packet type 20, but not AES-OCB ({strange}): no client will open "
            "it; gpg --rfc4880 makes the common kind"
        )
    return ""
