# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Becoming a daemon, giving up root, and the state directory (manual page mandos(8)).

The server starts as root so that it can read files that are root's alone.  It then becomes a user
of its own for good, with one capability left: CAP_NET_RAW, for checkers.
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import resource
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from mandos.errors import AdministratorError, MachineError
from mandos.server.system import capabilities

log = logging.getLogger(__name__)

#: Tried in this order; the number is what "nobody" means where no such user exists.
_USERS = ("_mandos", "mandos", "nobody")
_NOBODY = 65534

PID_FILE = Path("/run/mandos.pid")


class ServerUser(NamedTuple):
    """Who the server is while it serves; a user without a name has its number for one."""

    uid: int
    gid: int
    name: str


def server_user() -> ServerUser:
    """Return who the server will be: itself, or the server's own user when it is root."""
    if os.geteuid() != 0:
        return _user_of(os.geteuid(), os.getegid())
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(entry.pw_uid, entry.pw_gid, name)
    return _user_of(_NOBODY, _NOBODY)


def _user_of(uid: int, gid: int) -> ServerUser:
    try:
        return ServerUser(uid, gid, pwd.getpwuid(uid).pw_name)
    except KeyError:
        return ServerUser(uid, gid, str(uid))


def allow_many_descriptors() -> None:
    """Raise the limit of open files as far as it goes: every connection needs one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def give_up_root() -> None:
    """Become the server's own user for good, and drop every capability but CAP_NET_RAW.

    That one is handed on to checkers (capabilities(7), ambient set): the file capabilities of
    ping programs count for nothing where no new rights may be gained, which holds from here on
    when we were root.  Must be called before any thread is started, since capabilities are a
    thread's own.  Raises MachineError when the machine does not let us become that user.
    """
    if os.geteuid() == 0:
        user = server_user()
        capabilities.lock(capabilities.NET_RAW)
        _become(user)
        capabilities.forbid_new_privileges()
    kept = capabilities.keep_only(capabilities.NET_RAW)
    if not kept and capabilities.new_privileges_forbidden():
        log.warning("this machine withholds CAP_NET_RAW: fping cannot run as a checker")


def _become(user: ServerUser) -> None:
    """Take the user's identity: its group, the groups that it is a member of, then its number."""
    try:
        os.setgroups(os.getgrouplist(user.name, user.gid))
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        raise MachineError(
            f"cannot become the user {user.name}: {error.strerror}",
            "let the server have CAP_SETUID and CAP_SETGID, or start it as that user",
        ) from error


def make_state_directory(path: Path, user: ServerUser) -> None:
    """Make the directory ``path`` the user's own, mode 0700, or check the one that is there.

    To be called while we are still root.  Raises AdministratorError when what is there is a
    symbolic link, is no directory or can be changed by others, who could forge the state;
    MachineError when it cannot be made.  What is there is never changed.  One that belongs to
    somebody else, as after a restore, is served from: ``obstacles.py`` says what is in the way.
    """
    try:
        path.mkdir(0o700)
        _give(path, user)
    except FileExistsError:
        _check_there(path)
    except OSError as error:
        raise _cannot_make(path, user, error) from error


def _cannot_make(path: Path, user: ServerUser, error: OSError) -> MachineError:
    making = _shown("install", "-d", "-m", "0700", "-o", user.name, str(path))
    hints = {
        errno.ENOENT: f"make its parent: {_shown('mkdir', '-p', str(path.parent))}",
        errno.EROFS: f"systemctl edit mandos, and there: [Service] ReadWritePaths={path.parent}",
    }
    return MachineError(
        f"cannot make the state directory {path}: {error.strerror}",
        hints.get(error.errno or 0, f"make it: {making}"),
    )


def _give(path: Path, user: ServerUser) -> None:
    """Hand a directory that we just made to the user; not one that took its place meanwhile."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(directory).st_uid == os.geteuid() != user.uid:
            os.fchown(directory, user.uid, user.gid)
    except OSError:
        path.rmdir()
        raise
    finally:
        os.close(directory)


def _check_there(path: Path) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise AdministratorError(
            f"the state directory {path} is a symbolic link",
            f"name the directory itself: --statedir {_shown(str(path.resolve()))}",
        )
    if not stat.S_ISDIR(found.st_mode):
        raise AdministratorError(f"the state directory {path} is no directory")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise AdministratorError(
            f"the state directory {path} has mode {stat.S_IMODE(found.st_mode):04o}",
            f"leave it to its owner: {_shown('chmod', '0700', str(path))}",
        )


def _shown(*words: str) -> str:
    return shlex.join(words)


class PidFile:
    """The file with the daemon's process ID; opened early, as root, and written last.

    Until then it names the daemon that runs already, if one does.
    """

    def __init__(self, path: Path = PID_FILE) -> None:
        try:
            self._file = path.open("a", encoding="ascii")
        except OSError as error:
            raise MachineError(
                f"cannot write the PID file {path}: {error.strerror}",
                "start the server as root, or with --foreground",
            ) from error

    def write(self) -> None:
        """Store this process's ID."""
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.close()
