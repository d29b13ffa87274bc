# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program under watch: its lines as they come, its signals, and its certain end."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from threading import Condition, Thread
from typing import IO, TYPE_CHECKING, Self

from harness.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Seconds, for ``Patience``, before a test gives up waiting; reached on failure only.
PATIENCE = 30.0


class Process:
    """A running program whose output is read as it comes.

    It may run behind one launcher (nsenter), which hands its exit status on; signals go to the
    program itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        launcher: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = shlex.join(command)
        self.lines: list[str] = []
        self.stdout = b""
        self._launched = bool(launcher)
        self._news = Condition()
        self._popen = subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        pipes = [pipe for pipe in (self._popen.stdout, self._popen.stderr) if pipe is not None]
        self._open = len(pipes)
        self._readers = [Thread(target=self._read, args=(pipe,), daemon=True) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._note(line, standard_output=pipe is self._popen.stdout)
        with self._news:
            self._open -= 1
            self._news.notify_all()

    def _note(self, line: bytes, *, standard_output: bool) -> None:
        with self._news:
            if standard_output:
                self.stdout += line
            self.lines.append(line.decode(errors="backslashreplace").rstrip("\n"))
            self._news.notify_all()

    @property
    def log(self) -> str:
        """Everything printed so far, both streams, in the order of arrival."""
        with self._news:
            return "\n".join(self.lines)

    def wait_for(self, pattern: str, *, after: int = 0, seconds: float = PATIENCE) -> int:
        """Return the number of lines up to the first from ``after`` on that matches ``pattern``.

        Fails with the whole log when the program ends, or ``seconds`` of ``Patience`` pass, without
        such a line.
        """
        wanted = re.compile(pattern)
        seen = after
        hit = False

        def decided() -> bool:
            nonlocal seen, hit
            while not hit and seen < len(self.lines):
                hit = wanted.search(self.lines[seen]) is not None
                seen += 1
            return hit or not self._open

        patience = Patience(seconds)
        with self._news:
            while not decided() and not patience.is_over():
                self._news.wait(patience.pause)
        assert hit, self.report(f"no line matched {pattern!r}")
        return seen

    def wait(self, seconds: float = PATIENCE) -> int:
        """Return the exit status (negative: the signal) once the program has ended by itself."""
        patience = Patience(seconds)
        while (status := self._ended_within(patience.pause)) is None:
            assert not patience.is_over(), self.report("still running")
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        for reader in self._readers:
            while reader.is_alive() and not patience.is_over():
                reader.join(patience.pause)
        return status

    def _ended_within(self, seconds: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._popen.wait(seconds)
        return None

    def send(self, data: bytes) -> None:
        """Write to the program's standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(data)
        self._popen.stdin.flush()

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._popen.poll() is None

    @property
    def pids(self) -> list[int]:
        """The program itself, as the test's own process table names it."""
        launcher = self._popen.pid
        if not self._launched:
            return [launcher]
        children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def rest(self) -> None:
        """Return when the program sleeps: what had woken it before this call is dealt with.

        The kernel makes a program runnable in the very call that causes what it waits for.
        """
        patience = Patience(PATIENCE)
        for pid in self.pids:
            stat = Path(f"/proc/{pid}/stat")
            while stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "S":
                assert not patience.is_over(), self.report("never at rest")
                time.sleep(0.001)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself; one that has ended gets none."""
        if self.running:
            for pid in self.pids:
                os.kill(pid, number)
            if number == signal.SIGCONT and self._launched:
                os.kill(self._popen.pid, number)  # nsenter stops itself with what it has started

    def terminate(self, seconds: float = PATIENCE) -> int:
        """Ask the program to end (SIGTERM); return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def end(self) -> None:
        """End the program and all that it left in its process group; harmless when it ended."""
        if self.running:
            os.killpg(self._popen.pid, signal.SIGKILL)
        self.wait()

    def report(self, problem: str) -> str:
        """``problem`` with the command and its whole output, for a failed assertion."""
        return f"{problem}: {self.command}\n--- its output\n{self.log}\n---"
