# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives root up for good: the parts that read data from a network have no rights at all.

The one part that keeps root is root altogether.
"""

from __future__ import annotations

import os
import stat

from mandos.errors import MachineError

#: The user and group "nobody" and "nogroup", which need no entry in a user database.
_NOBODY = 65534


def has_root() -> bool:
    """Whether this process has root's rights."""
    return os.geteuid() == 0


def everybody_can_import() -> bool:
    """Whether modules can be loaded without root, too: from Python's folder and from ours."""
    folders = {os.path.dirname(os.path.abspath(path)) for path in (os.__file__, __file__)}  # noqa: PTH100, PTH120 - pathlib is expensive at boot
    while folders:
        if not all(os.stat(folder).st_mode & stat.S_IXOTH for folder in folders):  # noqa: PTH116
            return False
        folders = {os.path.dirname(folder) for folder in folders} - folders  # noqa: PTH120
    return True


def be_root() -> None:
    """If we have root's rights, be root altogether: then only root may send us signals."""
    if has_root():
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)


def give_up_root() -> None:
    """Become the user that started us, or "nobody" when root did; without effect for others.

    Afterwards real, effective and saved IDs are the same, there are no supplementary groups, and
    the kernel has cleared all capabilities (capabilities(7)).  Raises MachineError when it fails.
    """
    if not has_root():
        return
    user, group = os.getuid() or _NOBODY, os.getgid() or _NOBODY
    try:
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    except OSError as error:
        raise MachineError(f"cannot become the user {user}: {error.strerror}") from error
    if 0 in os.getresuid() + os.getresgid():
        raise MachineError(
            f"cannot give up root for the user {user}: the kernel kept an ID of root"
        )
