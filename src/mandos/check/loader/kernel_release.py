# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the release of a kernel, as ``uname -r`` prints it, from the kernel's own file.

Source: the kernel's Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".  Kernels for
other machines have no such header.
"""

from __future__ import annotations

import re
import struct
from typing import Final

#: A kernel's first bytes, in which header and release are.
HEAD: Final = 1 << 16
_MAGIC, _MAGIC_PLACE = b"HdrS", 0x202
_VERSION_PLACE = 0x20E
_SECTOR = 0x200
_END = 0x210  # of the fields that are read
_RELEASE = re.compile(rb"[\w.+~-]{1,128}")


def of_image(head: bytes) -> str:
    """The release of a kernel that begins with these bytes; empty if they do not say it."""
    if head[_MAGIC_PLACE : _MAGIC_PLACE + len(_MAGIC)] != _MAGIC or len(head) < _END:
        return ""
    (place,) = struct.unpack_from("<H", head, _VERSION_PLACE)
    match = _RELEASE.match(head, place + _SECTOR) if place else None
    return match[0].decode("ascii", errors="replace") if match else ""
