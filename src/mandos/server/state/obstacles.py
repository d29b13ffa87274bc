# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds why the server's user cannot write its state: the cause, and the command that helps."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The files of the state, beside those that were set aside.
DATABASE, WITNESS = "mandos.db", "disabled-clients"
RESERVE = f"{WITNESS}.reserve"
FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", WITNESS, RESERVE)
#: Bytes; with less a disk counts as full: SQLite needs as much to open a database.
_LEAST = 64 << 10


class Obstacle(NamedTuple):
    """The cause that prevents writing, and its remedy."""

    said: str
    mend: str


def obstacle(directory: Path, uid: int, name: str) -> Obstacle | None:
    """Why this user cannot write the state there; None when no usual reason is found."""
    disk = _disk_obstacle(directory)
    return disk or next(_foreign(directory, uid, name), None)


def foreign(directory: Path, uid: int) -> bool:
    """Whether a file of the state, or the directory, is not this user's to read and write."""
    return next(_foreign(directory, uid, ""), None) is not None


def user_name(uid: int) -> str:
    """A user by name, or by number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user number {uid}"


def _disk_obstacle(directory: Path) -> Obstacle | None:
    try:
        disk = os.statvfs(directory)
    except OSError:
        return None
    place = shlex.quote(str(directory))
    if disk.f_flag & os.ST_RDONLY:
        said = f"the file system of {directory} is mounted read-only"
        mend = f"see why with dmesg, then: mount -o remount,rw $(findmnt -no TARGET -T {place})"
        return Obstacle(said, mend)
    if disk.f_bavail * disk.f_frsize < _LEAST:
        return Obstacle(f"the disk of {directory} is full", f"make room there; see: df -h {place}")
    if disk.f_files and not disk.f_favail:
        said = f"the disk of {directory} has no room for more files"
        return Obstacle(said, f"remove some; see: df -i {place}")
    return None


def _foreign(directory: Path, uid: int, name: str) -> Iterator[Obstacle]:
    place = shlex.quote(str(directory))
    for path in (directory, *(directory / file for file in FILES)):
        try:
            found = path.lstat()
        except OSError:
            continue
        if found.st_uid != uid:
            said = f"{path} belongs to {user_name(found.st_uid)}, not to {name}"
            yield Obstacle(said, f"run: chown -R {name}: {place}")
        elif found.st_mode & _needed(found.st_mode) != _needed(found.st_mode):
            mode = stat.S_IMODE(found.st_mode)
            said = f"{path} has mode {mode:04o}, which keeps its owner {name} out"
            yield Obstacle(said, f"run: chmod -R u+rwX {place}")


def _needed(mode: int) -> int:
    return 0o700 if stat.S_ISDIR(mode) else 0o600
