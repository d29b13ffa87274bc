# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program of an unpacked image; neither it nor its children outlive this process.

The program is in a PID namespace of its own (pid_namespaces(7)), whose first process is a fork of
this one.  That process ends when the program does, and when its socket to this process is closed:
by ``end``, and by any end of this process, SIGKILL included.  With it the kernel ends all processes
of the namespace.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Self

from mandos import process
from mandos.check import private_root
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: Search path of an image's programs, and no locale.
ENVIRONMENT = {"PATH": "/bin:/sbin:/usr/bin:/usr/sbin", "LANG": "C"}
_FAILED = 127  # as a shell reports a program that does not start
_STANDARD_INPUT = 0
#: Message that the program has started; any other one is the reason why it has not.
_STARTED = b"+"
_REASON_LIMIT = 1 << 10


class Confined:
    """A program that runs with an unpacked image as its root directory, without capabilities.

    ``command`` returns it; it is called in the program's network, a new one with loopback alone if
    ``own_network`` says so.  ``output`` and ``errors`` are descriptors, None for /dev/null.
    ``prepare`` runs last in the new process, see ``process.launch``.  Raises MachineError when the
    program cannot be started.
    """

    def __init__(
        self,
        tree: Path,
        command: Callable[[], Sequence[str]],
        *,
        output: int | None,
        errors: int | None = None,
        own_network: bool = True,
        prepare: Callable[[], object] = bool,
    ) -> None:
        failure: list[Exception] = []

        def start() -> None:
            try:
                if own_network:
                    private_root.leave_the_network()
                private_root.leave_the_processes()
                self._start(tree, command(), (output, errors), prepare)
            except (OSError, MachineError) as error:
                failure.append(error)

        self._ended = -1
        self._lifeline, self._other_end = socket.socketpair()
        thread = threading.Thread(target=start)  # one thread can change its namespaces alone
        thread.start()
        try:
            thread.join()
        except BaseException:  # a signal ends us: so the program ends as well
            thread.join()
            self.end()
            raise
        if failure:
            self.end()
            raise MachineError(f"the image's program cannot be run: {failure[0]}")

    def _start(
        self,
        tree: Path,
        command: Sequence[str],
        files: tuple[int | None, int | None],
        prepare: Callable[[], object],
    ) -> None:
        confine = private_root.confinement(tree)

        def become() -> None:
            confine()
            prepare()

        def first_process() -> int:
            with socket.socket(fileno=_STANDARD_INPUT) as lifeline:
                try:
                    private_root.show_own_processes(tree)
                    child = process.launch(
                        command, env=ENVIRONMENT, standard=(None, 1, 2), prepare=become
                    )
                except (OSError, MachineError) as error:
                    lifeline.sendall(str(error).encode(errors="replace"))
                    return _FAILED
                lifeline.sendall(_STARTED)
                return _wait(child, lifeline)

        standard = (self._other_end.fileno(), *files)
        self._child = process.launch_work(first_process, standard=standard)
        self._other_end.close()
        self._ended = os.pidfd_open(self._child)
        said = self._lifeline.recv(_REASON_LIMIT)
        if said != _STARTED:
            raise MachineError(said.decode(errors="replace") or "its first process has ended")

    @property
    def is_over(self) -> bool:
        """Whether the program has ended."""
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Wait for the program's end; returns whether it came in time."""
        return bool(select.select([self._ended], [], [], seconds)[0])

    def end(self) -> int:
        """End the program and its children, and return when they are gone; harmless when repeated.

        Returns the exit status of a program that has ended by itself; otherwise it has no meaning.
        """
        status = 0
        for end in (self._lifeline, self._other_end):
            end.close()
        if self._ended >= 0:
            os.close(self._ended)
            self._ended = -1
            status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def _wait(child: int, lifeline: socket.socket) -> int:
    """The first process's work: wait for the child or the end of the lifeline.

    Orphans stay unreaped until then: a client leaves one or two.  Returns the exit status of the
    child, as a shell has it.
    """
    ended = os.pidfd_open(child)
    heard = lifeline.fileno()
    while heard not in (readable := select.select([ended, heard], [], [])[0]):
        if ended in readable:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return code if code >= 0 else 128 - code
    return _FAILED
