# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads /proc: the holders of locks and ports, and the names of processes."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_LISTENING = "0A"


class Listener(NamedTuple):
    """A listening socket's user and process; only root and that user can see the process."""

    uid: int
    process: int | None


def title(process: int) -> str:
    """Return a process as messages show it: its name and ID."""
    try:
        name = (_PROC / str(process) / "comm").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"process {process}"
    return f"{name.strip()} (process {process})"


def user_name(uid: int) -> str:
    """Return a user's name, or its ID when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def is_mandos(process: int) -> bool:
    """Return whether the process is a Mandos server, judged by the command that started it."""
    try:
        words = (_PROC / str(process) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.rpartition(b"/")[2] == b"mandos" for word in words[:3])


def holder_of_lock(path: Path) -> int | None:
    """Return the process that has a flock(2) on a file: proc(5), /proc/locks.

    On some file systems that table and stat(2) show different device numbers.  A lock of a Mandos
    server on the same inode number counts even then.
    """
    status = path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    for line in _lines(_PROC / "locks"):
        words = line.split()
        if words[1:2] != ["FLOCK"] or not words[4].isdigit():
            continue
        process = int(words[4])
        where, _colon, inode = words[5].rpartition(":")
        if inode == str(status.st_ino) and (where == device or is_mandos(process)):
            return process
    return None


def listeners(port: int) -> list[Listener]:
    """Return the listening sockets on a TCP port of this network namespace: proc_pid_net(5)."""
    found = dict(_sockets_on(port))
    owners = dict(_owners(set(found)))
    return [Listener(uid, owners.get(inode)) for inode, uid in found.items()]


def _sockets_on(port: int) -> Iterator[tuple[int, int]]:
    """Yield the inode and the user of each listening socket on the port."""
    for table in ("tcp", "tcp6"):
        for line in _lines(_PROC / "self" / "net" / table)[1:]:
            words = line.split()
            if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                yield int(words[9]), int(words[7])


def _owners(inodes: set[int]) -> Iterator[tuple[int, int]]:
    """Yield a process for each socket's inode, from the processes that we may look into."""
    names = {f"socket:[{inode}]": inode for inode in inodes}
    for process in (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()):
        try:
            descriptors = list((_PROC / str(process) / "fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            inode = names.get(_target(descriptor))
            if inode is not None:
                yield inode, process


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
