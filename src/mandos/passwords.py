# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a password may be: one limit for every program on its way.  Early boot imports this.

systemd sets it: it takes 2048 bytes as the answer to a question, cuts a longer answer (252) or
ignores it (257), and takes a NUL byte as the end of one password and the beginning of another.
cryptsetup-initramfs would take more, and any bytes.  A terminal's line ends at 4095 bytes
(termios(3)), so a line that it has cut is still too long.  All figures: docs/boot.md.
"""

from __future__ import annotations

#: Bytes of a password.
LIMIT = 2048

#: A way for key files that are longer.
LONGER_KEYS = (
    "give the disk another passphrase (cryptsetup luksAddKey) and encrypt that one; "
    "or name the long key file in crypttab(5) instead of using Mandos"
)


def too_long(size: int | None = None) -> str:
    """Say that a password is too long; its size is given when it is known."""
    length = "more" if size is None else f"{size} bytes, more"
    return f"the password has {length} than the {LIMIT} bytes that systemd takes"
