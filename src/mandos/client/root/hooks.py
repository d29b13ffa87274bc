# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network hooks: programs that make and unmake interfaces, manual page mandos-client(8mandos).

A hook runs as root, in a process group of its own, with nothing to read; its output goes to
our standard error, since our standard output is for the password.
"""

from __future__ import annotations

import os
import select
import stat
import time

from mandos import process
from mandos.client.privileges import be_root
from mandos.errors import MandosError
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: Seconds that a hook may take; bringing a wireless network or a tunnel up takes a while.
TIMES = {"start": 60.0, "stop": 15.0}
#: Seconds that a hook has to tidy up when it is asked to end.
_ENDING_TIME = 1.0
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
_STDERR = 2


class Hooks:
    """The hooks of a directory.

    ``variables`` are added to the hook's environment, beside ours and MODE.  ``reports`` are two
    functions: the first reports to a person, the second only with ``--debug``.
    """

    def __init__(
        self,
        directory: str,
        variables: Mapping[str, str],
        reports: tuple[Callable[[str], None], Callable[[str], None]],
    ) -> None:
        self._directory = directory
        self._variables = {"MANDOSNETHOOKDIR": directory, **variables}
        self._say, self._debug = reports

    def run(self, mode: str, interrupt: int = -1) -> None:
        """Run all of them, one after the other in the order of their names.

        When the descriptor ``interrupt`` becomes readable, the one that runs is ended, and no
        other is begun.  Failures are reported, and otherwise make no difference.
        """
        for path in self.paths():
            if _is_readable(interrupt):
                return
            self._debug(f"running the network hook {path} {mode}")
            try:
                self._run(path, mode, interrupt)
            except MandosError as error:
                self._say(str(error))

    def paths(self) -> list[str]:
        """The hooks, in order, without those that another user than root could change."""
        try:
            names = sorted(os.listdir(self._directory))  # noqa: PTH208 - pathlib is expensive
        except OSError as error:
            self._debug(f"no network hooks: {self._directory}: {error.strerror}")
            return []
        if names and (why := _is_unsafe(os.stat(self._directory))):  # noqa: PTH116 - likewise
            self._say(f"no network hooks: {self._directory} {why}")
            return []
        return list(self._acceptable(names))

    def _acceptable(self, names: list[str]) -> Iterator[str]:
        for name in names:
            path = f"{self._directory}/{name}"
            why = _why_no_hook(name, path)
            if why:
                self._debug(f"{path} is no network hook: {why}")
            elif unsafe := _is_unsafe(os.stat(path)):  # noqa: PTH116 - likewise
                self._say(f"the network hook {path} is not run: it {unsafe}")
            else:
                yield path

    def _run(self, path: str, mode: str, interrupt: int) -> None:
        environment = {**os.environ, **self._variables, "MODE": mode}
        pid = process.launch(
            [path, mode], env=environment, standard=(None, _STDERR, _STDERR), prepare=_prepare
        )
        try:
            why = _await_end(pid, interrupt, TIMES[mode])
            if why:
                self._say(f"the network hook {path} {mode} was ended: {why}")
                _end_group(pid)
        finally:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status and not why:
            self._say(f"the network hook {path} {mode} failed with status {status}")


def _why_no_hook(name: str, path: str) -> str | None:
    if not _NAME.issuperset(name):
        return "its name has other characters than letters, digits, '_', '.' and '-'"
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - pathlib is expensive at boot
            return "it is no file"
    except OSError as error:
        return error.strerror
    return None if os.access(path, os.X_OK) else "it is not executable"


def _is_unsafe(status: os.stat_result) -> str | None:
    """Why another user than root, or than ourselves, controls the content of this file."""
    if status.st_uid not in (0, os.geteuid()):
        return "belongs to another user than root"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be changed by other users; run: chmod go-w"
    return None


def _prepare() -> None:
    os.setsid()
    os.chdir("/")
    be_root()  # a shell drops root when only the effective user is root


def _await_end(pid: int, interrupt: int, seconds: float) -> str | None:
    """Why a hook has to be ended; nothing when it has ended by itself."""
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        if interrupt >= 0:
            poll.register(interrupt, select.POLLIN)
        ready = dict(poll.poll(seconds * 1000))
    finally:
        os.close(ended)
    if ended in ready:
        return None
    return "the client is ending" if ready else f"it took longer than {seconds:g} seconds"


def _end_group(pid: int) -> None:
    """End a hook, that has not been reaped, with all that it started."""
    for number, patience in ((signal.SIGTERM, _ENDING_TIME), (signal.SIGKILL, 0.0)):
        os.killpg(pid, number)
        deadline = time.monotonic() + patience
        _await_end(pid, -1, max(0.0, deadline - time.monotonic()))


def _is_readable(descriptor: int) -> bool:
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
