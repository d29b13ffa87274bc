# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of encrypted disks that have the header only: the data are holes.

A LUKS header has the key slots, which a password opens; it has nothing of the data
(cryptsetup-luksHeaderBackup(8)).  So the copy is unlocked as the disk would be, and has nothing in
it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from mandos import process
from mandos.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

_TIME = 60.0


class DiskCopy(NamedTuple):
    """A sparse file with a LUKS header, and the memory that unlocking it takes, in KiB."""

    file: Path
    memory: int


class UnfitDiskError(MachineError):
    """A disk of which no header can be copied that would work alone."""


def copy_header(device: Path, file: Path) -> DiskCopy:
    """Copy the header of ``device`` into a new file of the same size; raises MachineError."""
    memory = _memory(device)
    command = ["cryptsetup", "luksHeaderBackup", str(device), "--header-backup-file", str(file)]
    process.run(command, timeout=_TIME).require_success()
    try:
        file.chmod(0o600)  # header backups are made read-only
        os.truncate(file, _size(device))
    except OSError as error:
        raise MachineError(f"{device} cannot be measured: {error.strerror}") from error
    return DiskCopy(file, memory)


def _size(device: Path) -> int:
    """Bytes of a block device or a file."""
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def _memory(device: Path) -> int:
    """The largest memory of a key slot's Argon2, in KiB; 0 for LUKS1, which has none."""
    version_1 = process.run(["cryptsetup", "isLuks", "--type", "luks1", str(device)], timeout=_TIME)
    if version_1.status == 0:
        return 0
    command = ["cryptsetup", "luksDump", "--dump-json-metadata", str(device)]
    metadata = json.loads(process.run(command, timeout=_TIME).require_success())
    if any("integrity" in segment for segment in metadata.get("segments", {}).values()):
        raise UnfitDiskError(f"{device} has integrity tags, which an empty copy lacks")
    slots = metadata.get("keyslots", {}).values()
    return max((int(slot.get("kdf", {}).get("memory", 0)) for slot in slots), default=0)
