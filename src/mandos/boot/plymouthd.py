# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the boot screen's daemon, plymouthd(8), and checks later that it is the same one."""

from __future__ import annotations

import os

PID_FILE = "/run/plymouth/pid"
_NAME = b"(plymouthd)"
_ENDED = b"Z"  # has ended, and was not reaped yet


def find_plymouthd(pid_file: str = PID_FILE) -> int | None:
    """The process ID of a running plymouthd, None when there is none.

    Only root's processes count, since any user can have a process of any name; a PID file that was
    left behind does not.
    """
    for candidate in (*_named_by(pid_file), *_all_processes()):
        if _is_plymouthd(candidate):
            return candidate
    return None


def _named_by(pid_file: str) -> list[int]:
    try:
        with open(pid_file, "rb") as file:  # noqa: PTH123 - pathlib is expensive at boot
            text = file.read(32).strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() else []


def _all_processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - same
    except OSError:
        return []


def _is_plymouthd(process: int) -> bool:
    """By the name and state in proc_pid_stat(5)."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123 - same
            words = file.read(256).split(b" ", 3)
            return words[1] == _NAME and words[2] != _ENDED and os.fstat(file.fileno()).st_uid == 0
    except (OSError, IndexError):
        return False
