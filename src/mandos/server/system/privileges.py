# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives up root, and makes the state directory and the PID file before (see mandos(8)).

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

#: The first of these users that exists; the number stands for "nobody" on machines without it.
_USERS = ("_mandos", "mandos", "nobody")
_NOBODY = 65534

PID_FILE = Path("/run/mandos.pid")


class ServerUser(NamedTuple):
    """The user as which the server serves; without a name, ``name`` has the number."""

    uid: int
    gid: int
    name: str


def server_user() -> ServerUser:
    """Return the user as which the server will serve: the present one, or for root its own user."""
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
    """Raise the limit of open files as far as possible: every connection needs one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def give_up_root() -> None:
    """Become the server's own user for good, and drop every capability but CAP_NET_RAW.

    Checkers inherit it (capabilities(7), ambient set), because from here on no program gains
    rights by its file, as ping programs otherwise do.  Must be called before any thread is started,
    since each thread has its own capabilities.  Raises MachineError when the machine does not let
    us become that user.
    """
    if os.geteuid() == 0:
        user = server_user()
        capabilities.lock(capabilities.NET_RAW)
        _become(user)
        capabilities.forbid_new_privileges()
    kept = capabilities.keep_only(capabilities.NET_RAW)
    if not kept and capabilities.new_privileges_forbidden():
        log.warning(
            "the server has no CAP_NET_RAW, so fping cannot run as a checker:"
            " let the service or container have this capability"
        )


def _become(user: ServerUser) -> None:
    """Take the user's groups, its own group, and then its user ID."""
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
    """Make the directory ``path`` for the user, with mode 0700, or check the existing one.

    To be called while we are still root.  An existing directory is never changed.  Raises
    AdministratorError when ``path`` is a symbolic link, is no directory, or can be changed by other
    users, who could forge the state; MachineError when it cannot be made.  A directory of another
    user, as after a restore, is no error here: ``state/obstacles.py`` reports it.
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
    """Give the directory that we just made to the user, but not one that replaced it meanwhile."""
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
        raise AdministratorError(
            f"the state directory {path} is no directory", "move it away, or see --statedir"
        )
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise AdministratorError(
            f"other users can change the state directory {path}:"
            f" it has mode {stat.S_IMODE(found.st_mode):04o}",
            f"leave it to its owner: {_shown('chmod', '0700', str(path))}",
        )


def _shown(*words: str) -> str:
    return shlex.join(words)


class PidFile:
    """The file with the daemon's process ID; opened early, as root, and written last.

    Until then it has the ID of a daemon that runs already, if there is one.
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
