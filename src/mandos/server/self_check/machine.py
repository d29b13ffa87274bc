# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the server's user exists, can read Python's files, and may open enough files."""

from __future__ import annotations

import os
import resource
import sys
from typing import TYPE_CHECKING

from mandos.server.self_check.as_user import as_user
from mandos.server.self_check.findings import failed, not_checked, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.self_check.findings import Finding
    from mandos.server.system.privileges import ServerUser

_USER = "server's user"
PYTHON = "Python's files"
_DESCRIPTORS = "open files"
#: The name of the server's user, and its name on old systems.
_OWN_NAMES = ("_mandos", "mandos")
_MAKE_USER = (
    "run: adduser --system --group --no-create-home --home /nonexistent _mandos"
    " (or systemd-sysusers)"
)
#: Files that the server opens independently of its clients: logs, state, bus, discovery.
_OWN_FILES = 64


def check_user(user: ServerUser) -> Iterator[Finding]:
    """Report whether the server gives up root for a user of its own."""
    if os.geteuid() != 0:
        yield not_checked(_USER, f"the checks ran as the user {user.name}, as the server would")
    elif user.name in _OWN_NAMES:
        yield ok(_USER, f"the user {user.name} exists")
    else:
        said = f"there is no user _mandos; the server would run as {user.name}, which others use"
        yield warning(_USER, said, _MAKE_USER)


def check_python(user: ServerUser) -> Iterator[Finding]:
    """Report whether the server's user can read the files of the imported modules."""
    if os.geteuid() != 0:
        yield not_checked(PYTHON, f"whether users other than {user.name} can read them")
        return
    modules = list(sys.modules.values())
    files = sorted({file for module in modules if (file := getattr(module, "__file__", None))})
    yield readable(files, user)


def readable(files: Iterable[str], user: ServerUser) -> Finding:
    """Report whether the user can read all these files."""
    files = list(files)
    closed = as_user(user, lambda: [file for file in files if not os.access(file, os.R_OK)])
    if not closed:
        return ok(PYTHON, f"the user {user.name} can read all {len(files)} of them")
    return warning(
        PYTHON,
        f"the user {user.name} cannot read {len(closed)} of {len(files)}, such as {closed[0]}",
        "the server works, but reports of its defects lack detail;"
        " install it where everyone can read it, such as below /usr or /opt",
    )


def check_descriptors(settings: ServerSettings, clients: int) -> Iterator[Finding]:
    """Report whether the server can serve all clients at once, as after a power cut."""
    _soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = clients + 2 * settings.checkers + _OWN_FILES
    said = f"{clients} clients at once need up to {needed}, and this machine allows {most}"
    mend = "raise LimitNOFILE= (systemctl edit mandos); without systemd raise ulimit -Hn"
    if most == resource.RLIM_INFINITY or most >= needed:
        yield ok(_DESCRIPTORS, said)
    elif most < _OWN_FILES:
        yield failed(_DESCRIPTORS, said, mend)
    else:
        yield warning(_DESCRIPTORS, said, mend)
