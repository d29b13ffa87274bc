# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads configuration files: whole, bounded, only regular files, without ever blocking.

The server reads files at start as root and at reload as its own user.  An error names the user, the
file, and the commands that give the user the right to read it.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from mandos.errors import AdministratorError

#: Tries to read a file that changes meanwhile.
_TRIES = 5
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Contents(NamedTuple):
    """The contents of a file, and whether every user of the machine can read it."""

    data: bytes
    exposed: bool


def shown(path: Path) -> str:
    """Return a path as messages show it: without control characters, or bytes that are no text."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def quoted(path: Path) -> str:
    """Return a path, quoted for a shell command in a message."""
    return shlex.quote(shown(path))


def in_one_line(error: AdministratorError) -> str:
    """Return a message with its hint, as one of several problems."""
    return str(error) if error.hint is None else f"{error}; {error.hint}"


def is_there(path: Path) -> bool:
    """Return whether the path exists; True when we may not know, since reading then explains it."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_file(path: Path, limit: int) -> Contents:
    """Read a file of at most ``limit`` bytes.

    Raises AdministratorError with the file, the reason, and the commands that mend it.
    """
    try:
        for _ in range(_TRIES):
            if (contents := _read_once(path, limit)) is not None:
                return contents
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise _cannot(path, "read", error) from error
    raise AdministratorError(
        f"cannot read {shown(path)}: it changed during each of {_TRIES} tries",
        "wait until it is complete",
    )


def list_folder(path: Path) -> list[str]:
    """Return the names in a directory, sorted; empty when there is no such directory.

    Raises AdministratorError as ``read_file`` does.
    """
    if not is_there(path):
        return []
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - names, not paths, and all at once
    except OSError as error:
        if not is_there(path):
            return []
        raise _cannot(path, "list", error) from error


def _read_once(path: Path, limit: int) -> Contents | None:
    """Read the file, or return None when it changed meanwhile."""
    _check(path, path.stat(), limit)  # before it is opened: that alone can move a device
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - pathlib takes no descriptor
        before = os.fstat(file.fileno())
        _check(path, before, limit)
        data = file.read(before.st_size + 1)
        after = os.fstat(file.fileno())
    if len(data) != after.st_size or after.st_mtime_ns != before.st_mtime_ns:
        return None
    return Contents(data, bool(after.st_mode & stat.S_IROTH))


def _check(path: Path, status: os.stat_result, limit: int) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise AdministratorError(f"{shown(path)} is {_KINDS.get(kind, 'something')}, not a file")
    if status.st_size > limit:
        size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit} bytes"
        raise AdministratorError(f"{shown(path)} is larger than {size}")


def _cannot(path: Path, act: str, error: OSError | ValueError) -> AdministratorError:
    if isinstance(error, PermissionError):
        return _forbidden(path, act)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        reason = "it is a symbolic link to nothing"
    return AdministratorError(f"cannot {act} {shown(path)}: {reason}")


def _forbidden(path: Path, act: str) -> AdministratorError:
    """Return the error with the user, and with the file or the directory whose rights to change."""
    group, what = _group(os.getegid()), f"the user {_user(os.geteuid())} may not {act}"
    closed = _closed(path)
    if closed is not None:
        return AdministratorError(
            f"{what} {shown(path)}: {shown(closed)} is closed to it",
            f"run: chgrp {group} {quoted(closed)}; chmod g+x {quoted(closed)}",
        )
    mode = "640" if act == "read" else "750"
    hint = f"run: chgrp {group} {quoted(path)}; chmod {mode} {quoted(path)}"
    return AdministratorError(f"{what} {shown(path)}", hint)


def _closed(path: Path) -> Path | None:
    """Return the first directory on the path that this user may not enter, if any."""
    way = reversed(Path(os.path.realpath(path)).parents)
    return next((step for step in way if not os.access(step, os.X_OK, effective_ids=True)), None)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
