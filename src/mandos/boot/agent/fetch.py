# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs mandos-client: starts, reads and ends it; its output goes into a vault's buffer."""

from __future__ import annotations

import os
import select

from mandos import passwords, process
from mandos.boot.agent.vault import Buffer
from mandos.errors import MachineError
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: How long, in seconds, the client may take to end: it stops network hooks and interfaces.
_ENDING = 10.0


class FetchError(MachineError):
    """The client brought no password."""


class ClientProcess:
    """One run of the client, as the real user and group of two numbers, effectively as we are.

    That is how a set-user-ID program starts, which mandos-client(8mandos) expects to be.
    It has a process group of its own; ``errors`` is its standard error.  Raises MachineError when
    it cannot be started.
    """

    __slots__ = ("_child", "_output", "_password", "_pidfd")

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        user: int,
        group: int,
        errors: int = 2,
    ) -> None:
        def become() -> None:
            os.setpgid(0, 0)
            os.chdir("/")
            os.setresgid(group, -1, -1)
            os.setresuid(user, -1, -1)

        self._output, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writing, True)
        try:
            self._child = process.launch(
                command, env=environment, standard=(None, writing, errors), prepare=become
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(writing)
        self._pidfd = os.pidfd_open(self._child)
        self._password = Buffer()

    def descriptors(self) -> list[int]:
        """The descriptors to wait for: output while there may be more, and the client's end."""
        return [self._pidfd] if self._output < 0 else [self._pidfd, self._output]

    def read(self) -> None:
        """Read the output; bytes beyond the greatest length of a password are not kept."""
        while self._output >= 0 and not self._password.full:
            try:
                with self._password.room as room:
                    count = os.readv(self._output, [room])
            except BlockingIOError:
                return
            self._password.size += count
            if not count:
                break
        if self._password.full and self._output >= 0:
            os.kill(self._child, signal.SIGTERM)
        self._close_output()

    def ended(self) -> bool:
        """Whether the client has exited."""
        return bool(_readable(self._pidfd, 0.0))

    def result(self) -> Buffer:
        """The password of a client that has ended.  Raises FetchError when it failed."""
        self.read()  # its output is complete, even when a child of its own keeps the pipe open
        status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        self._close_output()
        os.close(self._pidfd)
        problem = _problem(status, self._password)
        if problem:
            self._password.wipe()
            raise FetchError(problem)
        return self._password

    def stop(self) -> None:
        """End the client, by SIGTERM first, and its children; overwrite its output."""
        os.kill(self._child, signal.SIGTERM)
        _readable(self._pidfd, _ENDING)
        # The client is not reaped yet: its number cannot be another's.
        os.killpg(self._child, signal.SIGKILL)
        self._close_output()
        os.waitpid(self._child, 0)
        os.close(self._pidfd)
        self._password.wipe()

    def _close_output(self) -> None:
        if self._output >= 0:
            os.close(self._output)
            self._output = -1


def _problem(status: int, password: Buffer) -> str:
    if password.full:
        return f"{passwords.too_long()}; {passwords.LONGER_KEYS}"
    if status < 0:
        return f"the client was ended by signal {-status}"
    if status:
        return f"the client failed with exit status {status}"
    if password.has_nul():
        return f"the password has a NUL byte, where systemd splits it; {passwords.LONGER_KEYS}"
    return ""


def _readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
