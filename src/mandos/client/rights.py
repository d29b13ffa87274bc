# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving root up for good: the parts that read what comes from a network have no rights at all."""

from __future__ import annotations

import os

from mandos.errors import MachineError

#: The user and group "nobody" and "nogroup", which need no entry in a user database.
_NOBODY = 65534


def has_root() -> bool:
    """Whether this process can do what only root may."""
    return os.geteuid() == 0


def give_up_root() -> None:
    """Become the user that started us, or "nobody" when that was root; nothing for others.

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
        raise MachineError("root has not been given up")
