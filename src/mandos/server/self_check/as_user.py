# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doing something as the server's user would, and coming back as who we are."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from mandos.process import run_isolated

if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.server.system.privileges import ServerUser

_MEMORY = 1 << 29
_ANSWER = 1 << 24
_SECONDS = 120.0


def as_user(user: ServerUser, work: Callable[[], object]) -> Any:  # noqa: ANN401 - what JSON holds
    """What ``work`` returns, done in a child process with the rights of ``user``.

    It returns what JSON can hold; what it needs must have been imported.  Raises MachineError when
    it fails, takes more than 120 s, or we may not become the user.
    """
    return in_child(partial(_work_as, user, work))


def in_child(work: Callable[[], object]) -> Any:  # noqa: ANN401 - what JSON holds
    """The same with our own rights."""
    answer = run_isolated(
        lambda: json.dumps(work()).encode(), memory=_MEMORY, size=_ANSWER, timeout=_SECONDS
    )
    return json.loads(answer)


def _work_as(user: ServerUser, work: Callable[[], object]) -> object:
    if os.geteuid() == 0:
        os.setgroups(os.getgrouplist(user.name, user.gid))
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    return work()
