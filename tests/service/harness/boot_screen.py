# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real plymouthd on a host, whose screen and keyboard are a pseudo terminal.

Its socket is an abstract one, so a host's network namespace keeps it from every other plymouthd.
"""

from __future__ import annotations

import ast
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.host import Host

#: Holds the terminal of the boot screen: what is shown comes out, a line for each piece.
KEYBOARD = """
import os, pty, sys, threading
master, slave = pty.openpty()
print("terminal", os.ttyname(slave), flush=True)
def show():
    while True:
        print(ascii(os.read(master, 4096).decode("latin-1")), flush=True)
threading.Thread(target=show, daemon=True).start()
while data := os.read(0, 4096):
    os.write(master, data)
"""
#: The theme that needs no graphics; a time in seconds until it gives up waiting for some.
DEFAULTS = "[Daemon]\nTheme=details\nShowDelay=0\nDeviceTimeout=0.1\n"


class BootScreen:
    """A running plymouthd: what it shows is in ``screen.log``.

    ``root`` is the root directory of its own on the host, if it has one.
    """

    def __init__(self, host: Host, root: str = "") -> None:
        self.host = host
        self._root = root
        self._marks = 0
        self._enter = ("chroot", root) if root else ()
        if not host.path("/dev/pts").exists():
            host.path("/dev/pts").mkdir()
            host.run("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "pts", "/dev/pts")
            host.path("/dev/ptmx").symlink_to("pts/ptmx")
        host.path(f"{root}/run/plymouth").mkdir(exist_ok=True)
        defaults = host.path(f"{root}/run/plymouth/plymouthd.defaults")
        defaults.write_text(DEFAULTS, encoding="ascii")
        self.screen = host.start("/usr/bin/python3", "-IS", "-c", KEYBOARD)
        self.seen = self.screen.wait_for("^terminal ")
        self._terminal = terminal = self.screen.lines[self.seen - 1].split()[1]
        self.daemon = host.start(
            *(*self._enter, "/usr/sbin/plymouthd", "--no-daemon", "--mode=boot", "--no-boot-log"),
            *(f"--tty={terminal}", "--pid-file=/run/plymouth/pid"),
            "--kernel-command-line=splash plymouth.ignore-serial-consoles",
        )
        while not self._answers("--ping"):
            assert self.daemon.running, self.daemon.report("plymouthd ended")
        assert self._answers("show-splash")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers("quit")
        self.daemon.end()
        self.screen.end()

    def _answers(self, word: str) -> bool:
        return self.host.start(*self._enter, "/bin/plymouth", word).wait() == 0

    @contextmanager
    def without_client(self) -> Iterator[None]:
        """While it lasts, plymouth(8) is away."""
        program = self.host.path(f"{self._root}/bin/plymouth")
        away = program.with_name("plymouth.away")
        program.rename(away)
        yield
        away.rename(program)

    def wait_for(self, pattern: str) -> None:
        """Return when something that matches has been shown since the last time.

        What is shown comes in pieces of any size, so they are put together first.
        """
        shown = ""
        while re.search(pattern, shown) is None:
            self.seen = self.screen.wait_for(r"^['\"]", after=self.seen)
            shown += ast.literal_eval(self.screen.lines[self.seen - 1])

    def pass_over(self) -> None:
        """Do not wait for anything that has been shown until now: a mark is shown behind it."""
        self._marks += 1
        mark = f"(mark {self._marks})"
        self.host.run("sh", "-c", f"echo '{mark}' >{self._terminal}")
        self.wait_for(re.escape(mark))

    def type(self, data: bytes) -> None:
        """Press keys."""
        self.screen.send(data)
