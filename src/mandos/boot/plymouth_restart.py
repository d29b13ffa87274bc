# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""plymouthd is ended and started anew: the only way to withdraw a question from the boot screen.

plymouthd has no command to forget a question.  Killing plymouth(8), which asked it, leaves the
question on the screen in front of every later one, and the first line typed is lost to it.
"""

from __future__ import annotations

import os
import select
import time

from mandos import process
from mandos.errors import MachineError, MandosError
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PLYMOUTH = "/bin/plymouth"
_STOP_LIMIT = 3.0  # seconds until a daemon that does not end is killed, and then is given up
_START_LIMIT = 3.0  # seconds until a new daemon has to answer


def be_root() -> None:
    """Become root altogether: plymouthd answers root only, and the new one starts as root."""
    if os.geteuid() == 0:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)


class Daemon:
    """A running plymouthd, held by a descriptor: no other process can be taken for it."""

    def __init__(self, found: int) -> None:
        try:
            self._descriptor = os.pidfd_open(found)
            self._command = _command_of(found)
        except OSError as error:
            raise MachineError(f"plymouthd went away: {error.strerror}") from error

    def restart(self, say: Callable[[str], None]) -> None:
        """End it, and start the same command; failures are only reported, since we end too."""
        try:
            self._end()
            _start(self._command)
        except (MandosError, OSError) as error:
            say(f"cannot restart plymouthd: {error}")
        finally:
            os.close(self._descriptor)

    def _end(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(self._descriptor, number)
            if poll.poll(_STOP_LIMIT * 1000):
                return
        raise MachineError("it does not end")


def _command_of(found: int) -> list[str]:
    """The program, by its path, and its arguments."""
    with open(f"/proc/{found}/cmdline", "rb") as file:  # noqa: PTH123 - pathlib is expensive
        words = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    program = os.readlink(f"/proc/{found}/exe")  # noqa: PTH115 - the same
    return [program.removesuffix(" (deleted)"), *words[1:]]


def _start(command: list[str]) -> None:
    """Start a daemon and let it show its screen again; with --no-daemon it is our child."""
    process.launch(command, prepare=be_root)
    deadline = time.monotonic() + _START_LIMIT
    while not _tell("--ping"):
        if time.monotonic() > deadline:
            raise MachineError("it was started but does not answer")
        time.sleep(0.05)
    _tell("show-splash")


def _tell(word: str) -> bool:
    child = process.launch([PLYMOUTH, word], prepare=be_root)
    return os.waitpid(child, 0)[1] == 0
