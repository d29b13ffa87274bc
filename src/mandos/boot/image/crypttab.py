# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads tables of encrypted disks: crypttab(5)."""

from __future__ import annotations

from typing import NamedTuple

#: The table of an image that the hook cryptroot of cryptsetup-initramfs makes: the disks that are
#: needed for boot.
CRYPTROOT = "cryptroot/crypttab"


class CryptDisk(NamedTuple):
    """A line of a crypttab(5): the volume's name, its source, and its options."""

    name: str
    source: str
    key: str
    options: tuple[str, ...]

    @property
    def asks(self) -> bool:
        """Whether a password is asked for."""
        return self.key in ("none", "-", "") and "plain" not in self.options


def read_table(text: str) -> list[CryptDisk]:
    """The disks of a crypttab(5); blanks between options are passed over."""
    rows = (line.split() for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = []
    for name, *rest in filter(None, rows):
        source, key = (*rest, "", "")[:2]
        options = ",".join(rest[2:]).split(",")
        found.append(CryptDisk(name, source, key, tuple(filter(None, options))))
    return found
