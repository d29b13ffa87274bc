# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that the kernel unpacks over an image: the network card gets its name of this machine.

The virtual machine's card would have a name of its own, and an image may name interfaces: in the
client's options, in ``ip=``.  Format: the kernel's Documentation/driver-api/early-userspace/
buffer-format.rst; contents: systemd.link(5), which udev reads in every image.
"""

from __future__ import annotations

import stat

_TRAILER = "TRAILER!!!"
_FOLDERS = ("etc", "etc/systemd", "etc/systemd/network")
_FILE = "etc/systemd/network/00-mandos-check.link"


def card_name(mac: str, name: str) -> bytes:
    """An archive that gives the card with this address a name."""
    text = f"[Match]\nMACAddress={mac}\n\n[Link]\nName={name}\n"
    entries = [_entry(folder, stat.S_IFDIR | 0o755) for folder in _FOLDERS]
    entries += [_entry(_FILE, stat.S_IFREG | 0o644, text.encode()), _entry(_TRAILER, 0)]
    return b"".join(entries)


def laid_over(image: bytes, archive: bytes) -> bytes:
    """An image with one archive more, which begins at a multiple of four bytes."""
    return image + bytes(-len(image) % 4) + archive


def _entry(name: str, mode: int, data: bytes = b"") -> bytes:
    """A member of a cpio archive of the "new ASCII format"."""
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (0, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
