# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of files and folders that a loss of power leaves either undone or done."""

from __future__ import annotations

import ctypes
import os
import shutil
from typing import TYPE_CHECKING

from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# renameat2(2): paths are as they are given, and both names exist afterwards.
_HERE = -100
_EXCHANGE = 2
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_SAME = "both have to be in one file system that can exchange names: ext4, XFS, Btrfs"

_library = ctypes.CDLL(None, use_errno=True)


def write(path: Path, content: bytes) -> None:
    """Replace a file, for root alone.  Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=_PRIVATE_FILE, exist_ok=False)
    new.write_bytes(content)
    sync(new)
    new.replace(path)
    sync(path.parent)


def make(folder: Path, files: Mapping[str, bytes], others: Sequence[Path]) -> None:
    """Make a folder with these files, for root alone, and copies of others.  Raises OSError.

    The folder is there only when all of its files are.
    """
    staging = folder.with_name(f".{folder.name}.new")
    remove(staging)
    staging.mkdir(mode=_PRIVATE_FOLDER)
    for name, content in files.items():
        write(staging / name, content)
    copy(others, staging)
    move(staging, folder)


def copy(files: Sequence[Path], folder: Path) -> None:
    """Copy files, with their modes, into a folder that nothing reads yet.  Raises OSError."""
    for file in files:
        shutil.copy2(file, folder / file.name)
        sync(folder / file.name)
    sync(folder)


def move(source: Path, target: Path) -> None:
    """Rename a file or a folder within a file system.  Raises OSError."""
    source.rename(target)
    for folder in {source.parent, target.parent}:
        sync(folder)


def exchange(one: Path, other: Path) -> None:
    """Let two folders change places at the same instant.  Raises MachineError.

    A reader sees all files of the one or all of the other, and so does a loss of power.
    """
    names = (os.fsencode(one), os.fsencode(other))
    if _library.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE):
        reason = os.strerror(ctypes.get_errno())
        raise MachineError(f"{one} and {other} cannot change places: {reason}", _SAME)
    for folder in {one.parent, other.parent}:
        sync(folder)


def require_exchange(folder: Path, other: Path) -> None:
    """Raise MachineError unless a folder can change places with folders in ``other``."""
    if folder.stat().st_dev != other.stat().st_dev or folder.is_mount():
        raise MachineError(f"{folder} and {other} are not in the same file system", _SAME)
    one, two = other / ".one", other / ".two"
    for trial in (one, two):
        trial.mkdir(exist_ok=True)
    exchange(one, two)
    for trial in (one, two):
        trial.rmdir()


def remove(folder: Path) -> None:
    """Remove a folder with its files, if it is there.  Raises OSError."""
    if folder.exists():
        shutil.rmtree(folder)
        sync(folder.parent)


def unlink(file: Path) -> None:
    """Remove a file.  Raises OSError."""
    file.unlink()
    sync(file.parent)


def sync(path: Path) -> None:
    """Let a file, or the names in a folder, reach the disk.  Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
