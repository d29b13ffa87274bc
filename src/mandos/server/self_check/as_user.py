# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a function with the rights of the server's user, in a child process."""

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


def as_user(user: ServerUser, work: Callable[[], object]) -> Any:  # noqa: ANN401 - a JSON value
    """Run ``work`` in a child process with the rights of ``user``; returns its result.

    The result must be a JSON value.  ``work`` must find its modules imported, because the user may
    be unable to read them.  Raises MachineError when ``work`` fails or takes more than 120 s, or
    when we may not become the user.
    """
    return in_child(partial(_work_as, user, work))


def in_child(work: Callable[[], object]) -> Any:  # noqa: ANN401 - a JSON value
    """Run ``work`` in a child process with our own rights; else as ``as_user``."""
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
