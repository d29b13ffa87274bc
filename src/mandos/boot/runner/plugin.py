# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plugin's life: started, read from, ended, reaped, perhaps started again."""

from __future__ import annotations

import os

from mandos import passwords
from mandos.errors import MachineError
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Standard = tuple[int | None, int | None, int | None]

_PIECE = 1 << 16
_STDIN = 0
_TOO_MUCH = 65  # EX_DATAERR


class Plugin:
    """A program that may print the password.

    ``start`` of the constructor starts it with these three descriptors and returns its process ID.
    While it runs, ``output`` and ``errors`` can be read without blocking, and ``process`` is
    readable once it has ended.  Its output is kept only until the caller has taken it.
    """

    __slots__ = (
        "_limit", "_pid", "_printed", "_start", "_too_much",
        "errors", "name", "output", "process", "tries",
    )  # fmt: skip

    def __init__(
        self, name: str, start: Callable[[Standard], int], limit: int = passwords.LIMIT
    ) -> None:
        self.name = name
        self.tries = 0
        self.process = self.output = self.errors = -1
        self._start = start
        self._limit = limit
        self._pid = 0
        self._printed = bytearray()
        self._too_much = False

    @property
    def running(self) -> bool:
        """Whether it has been started and not been reaped yet."""
        return self._pid != 0

    def start(self) -> None:
        """Start it.  Raises MachineError when that is impossible."""
        self.tries += 1
        self._too_much = False
        self.output, writing = os.pipe()
        self.errors, complaining = os.pipe()
        try:
            self._pid = self._start((_STDIN, writing, complaining))
            self.process = os.pidfd_open(self._pid)
        except (MachineError, OSError):
            self.close()
            raise
        finally:
            os.close(writing)
            os.close(complaining)
        os.set_blocking(self.output, False)
        os.set_blocking(self.errors, False)

    def read_output(self) -> bool:
        """Read its output; False at the end.  Raises MachineError when it is too long."""
        while piece := _read(self.output):
            self._printed += piece
            if len(self._printed) > self._limit:
                self.forget()
                self._too_much = True
                raise MachineError(f"printed more than {self._limit} bytes")
        return piece is None

    def read_errors(self) -> bytes | None:
        """Read a part of its messages; None when there is nothing now, empty at the end."""
        return _read(self.errors)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended gets none."""
        if self.running and self.process >= 0:
            try:  # noqa: SIM105 - contextlib is expensive at boot
                signal.pidfd_send_signal(self.process, number)
            except ProcessLookupError:
                pass  # it has ended and will be reaped

    def reap(self) -> int:
        """Wait for its end; returns the exit status, minus the number of a signal.

        A plugin that printed too much has failed, also when it ended before that was seen.
        """
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._pid = 0
        return _TOO_MUCH if self._too_much else status

    def take(self) -> bytearray:
        """Return its output; from then on only the caller has it."""
        printed, self._printed = self._printed, bytearray()
        return printed

    def forget(self) -> None:
        """Overwrite its output."""
        wipe(self._printed)
        self._printed = bytearray()

    def close(self) -> None:
        """Close all descriptors; a process that still runs is killed."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self.reap()
        for descriptor in (self.process, self.output, self.errors):
            if descriptor >= 0:
                os.close(descriptor)
        self.process = self.output = self.errors = -1


def wipe(secret: bytearray) -> None:
    """Overwrite a secret that is no longer needed."""
    secret[:] = bytes(len(secret))


def _read(descriptor: int) -> bytes | None:
    """Read without blocking; None when there is nothing now, empty at the end."""
    try:
        return os.read(descriptor, _PIECE)
    except BlockingIOError:
        return None
