# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs checkers: shell commands with exit status 0 when a client is alive.

The number of checkers at a time has a limit; the others wait, and the most urgent one is next.  A
checker that takes long no longer counts, so that hanging checkers cannot keep the others from
running.  Each has a session of its own, so that stopping it also stops its children.  It is reaped
through its pidfd (pidfd_open(2)), so nothing here depends on SIGCHLD.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import os
import pwd
import signal
from itertools import count
from typing import NamedTuple, Protocol

from mandos.errors import MachineError
from mandos.process import spawn
from mandos.server.checking.output import CheckerOutput

log = logging.getLogger(__name__)

#: Checkers started before others get their turn.
_BATCH = 8
#: Seconds until the next try when this machine cannot start a process.
_RETRY = 1.0
#: Seconds after which a running checker no longer counts, and most checkers that do not count.
_LONG = 30.0
_LONG_LIMIT = 1024
#: Seconds between asking a checker to end and killing it.
_GRACE = 0.25


#: Variables of the server's environment that checkers inherit, beside LC_*.
_INHERITED = ("PATH", "LANG", "LANGUAGE", "TZ")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Run(NamedTuple):
    """One run of a client's checker, by the client's name and the number of the run."""

    client: str
    number: int


class Supervisor(Protocol):
    """Supplies the command of a run, and hears of its start and its end."""

    def command(self, run: Run) -> str:
        """Return the command for the shell."""

    def began(self, run: Run, command: str) -> None:
        """Hear that the run's process has been started."""

    def refused(self) -> None:
        """This machine cannot start a process at present; called at each try that fails."""

    def completed(self, run: Run, command: str, wait_status: int, words: str) -> None:
        """Hear that the run's process has ended, with this wait(2) status and these last words."""


class _Running:
    """A process that runs, or has ended and waits to be reaped."""

    __slots__ = ("command", "output", "patience", "pid", "pidfd", "run", "stopped")

    def __init__(self, run: Run, command: str, pid: int, output: CheckerOutput) -> None:
        self.run = run
        self.command = command
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.output = output
        self.stopped = False
        self.patience: asyncio.TimerHandle | None = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children; its ID stays valid until it is reaped."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class Checkers:
    """Runs checkers, at most ``limit`` at once; needs a running event loop."""

    def __init__(self, supervisor: Supervisor, limit: int) -> None:
        self._supervisor = supervisor
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._waiting: set[Run] = set()
        self._queue: list[
            tuple[float, int, Run]
        ] = []  # a heap; runs that no longer wait stay in it
        self._ticket = count()
        self._environment = environment()
        self._running: dict[Run, _Running] = {}
        self._long: set[Run] = set()
        self._starting: asyncio.Handle | None = None
        self._failing = False
        self._closed = False
        self._all_ended = asyncio.Event()

    def __len__(self) -> int:
        return len(self._running)

    def want(self, run: Run, urgency: float = 0.0) -> None:
        """Start this run as soon as the limit allows; a lower ``urgency`` goes first."""
        self._waiting.add(run)
        heapq.heappush(self._queue, (urgency, next(self._ticket), run))
        self._start_soon()

    def stop(self, run: Run) -> None:
        """End a run, and its children; the supervisor hears nothing of it."""
        running = self._running.get(run)
        if running is None:
            self._waiting.discard(run)
            return
        running.stopped = True
        running.signal(signal.SIGTERM)
        self._loop.call_later(_GRACE, self._kill, running)

    async def close(self) -> None:
        """End all runs; returns when all their processes have ended."""
        self._closed = True
        self._waiting.clear()
        self._queue.clear()
        if self._starting is not None:
            self._starting.cancel()
        if not self._running:
            return
        for running in self._running.values():
            running.stopped = True
            running.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_ended.wait(), _GRACE)
        for running in list(self._running.values()):
            running.signal(signal.SIGKILL)
        if self._running:
            await self._all_ended.wait()

    def _kill(self, running: _Running) -> None:
        if self._running.get(running.run) is running:
            running.signal(signal.SIGKILL)

    def _start_soon(self) -> None:
        if self._starting is None and self._waiting and not self._closed:
            self._starting = self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._starting = None
        for _turn in range(_BATCH):
            if not self._waiting or len(self._running) - len(self._long) >= self._limit:
                return
            run = self._next()
            if not self._begin(run, self._supervisor.command(run)):
                self._supervisor.refused()
                self._starting = self._loop.call_later(_RETRY, self._start)
                return
            heapq.heappop(self._queue)
            self._waiting.discard(run)
        self._start_soon()

    def _next(self) -> Run:
        """Return the most urgent run that waits."""
        while self._queue[0][2] not in self._waiting:
            heapq.heappop(self._queue)
        return self._queue[0][2]

    def _begin(self, run: Run, command: str) -> bool:
        output = CheckerOutput()
        try:
            pid = spawn(("/bin/sh", "-c", command), self._environment, output=output.writing)
        except MachineError as error:
            output.close()
            self._complain(error)
            return False
        try:
            running = _Running(run, command, pid, output)
        except OSError as error:
            output.close()
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._complain(MachineError(f"cannot watch a checker: {error.strerror}"))
            return False
        self._failing = False
        self._running[run] = running
        output.started()
        self._loop.add_reader(running.pidfd, self._ended, running)
        running.patience = self._loop.call_later(_LONG, self._make_room, run)
        self._supervisor.began(run, command)
        return True

    def _make_room(self, run: Run) -> None:
        if len(self._long) < _LONG_LIMIT:
            self._long.add(run)
            self._start_soon()

    def _complain(self, error: MachineError) -> None:
        """Log the first failure in a row; they come every second until the machine recovers."""
        if not self._failing:
            log.error("cannot start checkers, will try again: %s", error)
        self._failing = True

    def _ended(self, running: _Running) -> None:
        self._loop.remove_reader(running.pidfd)
        os.close(running.pidfd)
        if running.stopped:
            running.signal(signal.SIGKILL)
        _pid, wait_status = os.waitpid(running.pid, 0)
        del self._running[running.run]
        self._long.discard(running.run)
        if running.patience is not None:
            running.patience.cancel()
        if not self._running:
            self._all_ended.set()
        words = running.output.finish()
        if not running.stopped:
            self._supervisor.completed(running.run, running.command, wait_status, words)
        self._start_soon()


def environment() -> dict[str, str]:
    """Return the environment of checkers: path, language and time zone of the server, its user.

    A checker that needs more variables can set them itself; see env(1).
    """
    try:
        user = pwd.getpwuid(os.geteuid())
        name, home = user.pw_name, user.pw_dir
    except KeyError:
        name, home = str(os.geteuid()), "/"
    ours = {
        key: value
        for key, value in os.environ.items()
        if key in _INHERITED or key.startswith("LC_")
    }
    return {"PATH": _PATH, "SHELL": "/bin/sh", "HOME": home, "USER": name, "LOGNAME": name} | ours
