# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Becoming a daemon, and giving up root (manual page mandos(8))."""

from __future__ import annotations

import os
import pwd
import resource
from pathlib import Path

from mandos.errors import MachineError

#: Tried in this order; the number is what "nobody" means where no such user exists.
_USERS = ("_mandos", "mandos", "nobody")
_NOBODY = 65534

PID_FILE = Path("/run/mandos.pid")


def allow_many_descriptors() -> None:
    """Raise the limit of open files as far as it goes: every connection needs one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def give_up_root() -> None:
    """Become the server's own user for good; nothing happens without root."""
    if os.geteuid() != 0:
        return
    user, group = _server_user()
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def _server_user() -> tuple[int, int]:
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    return _NOBODY, _NOBODY


def go_to_background() -> None:
    """Leave the terminal and the caller behind: in the background, in a session of its own."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.close(null)


class PidFile:
    """The file with the daemon's process ID; opened early, as root, and written last."""

    def __init__(self, path: Path = PID_FILE) -> None:
        try:
            self._file = path.open("w", encoding="ascii")
        except OSError as error:
            raise MachineError(
                f"cannot write the PID file {path}: {error.strerror}",
                "start the server as root, or with --foreground",
            ) from error

    def write(self) -> None:
        """Store this process's ID."""
        self._file.write(f"{os.getpid()}\n")
        self._file.close()
