# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos as its users start it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

MANDOS = Path(sys.executable).parent / "mandos"


class Program:
    """A running server whose log lines are read one by one."""

    def __init__(self, folder: Path, *options: str, descriptors: tuple[int, ...] = ()) -> None:
        where = ("--configdir", str(folder), "--statedir", str(folder / "state"), "--foreground")
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [MANDOS, *where, *options], stderr=subprocess.PIPE, text=True, pass_fds=descriptors
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()

    def wait_for(self, text: str) -> str:
        """The first line from here on that holds this text."""
        assert self.process.stderr
        for line in self.process.stderr:
            if text in line:
                return line
        raise AssertionError(f"the server ended without saying {text!r}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)
