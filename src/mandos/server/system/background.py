# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Becoming a daemon: daemon(7), "SysV Daemons".

The command that started the server ends when the server serves, with exit status 0, or when it has
failed, after its message and with its exit status.
"""

from __future__ import annotations

import os


class Background:
    """A server that has left its terminal but still speaks there, until it is ready."""

    def __init__(self) -> None:
        """Fork; returns in the new process only.  The caller's process waits for ``ready``."""
        reading, self._writing = os.pipe()
        first = os.fork()
        if first:
            os.close(self._writing)
            os._exit(_outcome(reading, first))
        os.close(reading)
        os.setsid()
        if os.fork():
            os._exit(0)

    def failed(self, exit_code: int) -> None:
        """End the waiting process with this exit status: the server does not start."""
        os.write(self._writing, bytes((exit_code,)))

    def ready(self) -> None:
        """End the waiting process with exit status 0, and leave the terminal."""
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.close(null)
        os.write(self._writing, b"\0")
        os.close(self._writing)


def _outcome(reading: int, child: int) -> int:
    """Return the exit status that the server sends, or 70 when it ends without sending one."""
    os.waitpid(child, 0)
    told = os.read(reading, 1)
    return told[0] if told else 70
