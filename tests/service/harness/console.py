# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program on a pseudo terminal: its controlling terminal, its standard input and errors.

Standard output is a pipe, as for a keyscript.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.patience import Patience
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.host import Host

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_LOCAL_FLAGS = 3


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A program that runs on a terminal of its own, on a host."""

    def __init__(
        self, host: Host, *command: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = command
        self.shown = b""
        self._read_until = 0
        self._master, self.slave = pty.openpty()
        self._popen = subprocess.Popen(
            [*host.entrance, *command],
            stdin=self.slave,
            stdout=subprocess.PIPE,
            stderr=self.slave,
            env=_ENVIRONMENT | dict(environment or {}),
            start_new_session=True,
            preexec_fn=_take_the_terminal,  # noqa: PLW1509 - it takes no lock
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        os.close(self.slave)
        if self._master >= 0:
            os.close(self._master)

    def wait_for(self, pattern: bytes) -> None:
        """Return when something that matches has been shown since the last time."""
        patience = Patience(PATIENCE)
        while (found := re.search(pattern, self.shown[self._read_until :])) is None:
            assert not patience.is_over(), self.report(f"{pattern!r} was not shown")
            self._read(1.0)
        self._read_until += found.end()

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self._master)
        self._master = -1

    def echoes(self) -> bool:
        """Whether what is typed can be seen."""
        return bool(termios.tcgetattr(self.slave)[_LOCAL_FLAGS] & termios.ECHO)

    def pids(self) -> list[int]:
        """The program itself, behind its launcher."""
        launcher = self._popen.pid
        children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        for pid in self.pids():
            os.kill(pid, number)

    def finish(self) -> tuple[int, bytes]:
        """Wait for the program's end; return its exit status and what it printed."""
        assert self._popen.stdout is not None
        # What it prints here is a password: it fits into the pipe.
        patience = Patience(PATIENCE)
        while self._popen.poll() is None:
            assert not patience.is_over(), self.report("still running")
            self._read(0.02)
        self._read(0)
        return self._popen.returncode, self._popen.stdout.read()

    def _read(self, seconds: float) -> None:
        if self._master < 0:
            self._popen.wait(PATIENCE)
            return
        while select.select([self._master], [], [], seconds)[0]:
            self.shown += os.read(self._master, 4096)
            seconds = 0

    def report(self, problem: str) -> str:
        """``problem`` with the command and all that was shown."""
        return f"{problem}: {self.command}\n--- on its terminal\n{self.shown!r}"
