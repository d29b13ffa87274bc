# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has what on this machine, as /proc tells: locks, ports, names of processes."""

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
    """Who listens on a port; the process is known to root, and to its owner."""

    uid: int
    process: int | None


def title(process: int) -> str:
    """A process as messages show it."""
    try:
        name = (_PROC / str(process) / "comm").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"process {process}"
    return f"{name.strip()} (process {process})"


def user_name(uid: int) -> str:
    """A user by name, or by number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def is_mandos(process: int) -> bool:
    """Whether the process is a Mandos server, judged by the command that started it."""
    try:
        words = (_PROC / str(process) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.rpartition(b"/")[2] == b"mandos" for word in words[:3])


def holder_of_lock(path: Path) -> int | None:
    """The process that has a flock(2) on a file: proc(5), /proc/locks.

    Some file systems have another device number there than stat(2) shows; what a Mandos server
    has locked is believed to be the file all the same.
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
    """Who listens on a TCP port of this network namespace: proc_pid_net(5)."""
    found = dict(_sockets_on(port))
    owners = dict(_owners(set(found)))
    return [Listener(uid, owners.get(inode)) for inode, uid in found.items()]


def _sockets_on(port: int) -> Iterator[tuple[int, int]]:
    """Inode and user of each listening socket."""
    for table in ("tcp", "tcp6"):
        for line in _lines(_PROC / "self" / "net" / table)[1:]:
            words = line.split()
            if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                yield int(words[9]), int(words[7])


def _owners(inodes: set[int]) -> Iterator[tuple[int, int]]:
    """A process for each inode of a socket, as far as we may look."""
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
