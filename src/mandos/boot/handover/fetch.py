# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs plugin-runner for the hand-over: takes its output as the password, and logs its messages.

The plugins that ask at the console are not started, since the prompt does that.  plugin-runner has
no terminal here, so it cannot ask there either when all plugins have failed.
"""

from __future__ import annotations

import os
import select

from mandos import passwords, process
from mandos.boot.kernel_log import Lines
from mandos.errors import MachineError
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

#: These would ask where askpass already asks, or read the password that we write for it.
_LEFT_TO_ASKPASS = ("password-prompt", "askpass-fifo", "plymouth")
#: Seconds for plugin-runner to end its plugins, and they the network.
_ENDING_TIME = 10.0
_PIECE = 1 << 16


class RunnerProcess:
    """One run of plugin-runner.  ``descriptors`` are to be waited for: output, then messages.

    ``hear`` is called with every line of the messages; ``problem`` says why a password is useless.
    """

    __slots__ = ("_lines", "_output", "_process", "descriptors", "problem")

    def __init__(self, runner: str, hear: Callable[[str], object]) -> None:
        """Raises MachineError when it cannot be started."""
        options = [f"--disable={plugin}" for plugin in _LEFT_TO_ASKPASS]
        self._output = bytearray()
        self.problem = ""
        self._lines = Lines(hear)
        output, messages = os.pipe(), os.pipe()
        self.descriptors = (output[0], messages[0])
        try:
            self._process = process.launch(
                [runner, *options], standard=(None, output[1], messages[1]), prepare=os.setsid
            )
        except MachineError:
            self._close()
            raise
        finally:
            os.close(output[1])
            os.close(messages[1])

    def read(self, ready: Container[int]) -> bool:
        """Read from the descriptors that are ready; return whether the output is complete."""
        output, messages = self.descriptors
        if messages in ready:
            self._lines.feed(os.read(messages, _PIECE))
        if output not in ready:
            return False
        piece = os.read(output, _PIECE)
        self._output += piece
        return not piece or len(self._output) > passwords.LIMIT

    def result(self) -> bytes | None:
        """Wait for its end, or force it; return the password, if it succeeded with one."""
        if len(self._output) > passwords.LIMIT:
            self.problem = f"{passwords.too_long()}; {passwords.LONGER_KEYS}"
            self.end()
            return None
        status = self._reap()
        return bytes(self._output) or None if status == 0 else None

    def end(self) -> None:
        """End plugin-runner now: it ends its plugins, which restore the network."""
        os.kill(self._process, signal.SIGTERM)
        self._reap()

    def _reap(self) -> int:
        """Wait for the end, for a while; returns the exit status."""
        handle = os.pidfd_open(self._process)
        deadline = select.poll()
        deadline.register(handle, select.POLLIN)
        if not deadline.poll(_ENDING_TIME * 1000):
            os.killpg(self._process, signal.SIGKILL)
        os.close(handle)
        _process, status = os.waitpid(self._process, 0)
        os.set_blocking(self.descriptors[1], False)
        try:  # noqa: SIM105 - contextlib is expensive at boot
            self._lines.feed(os.read(self.descriptors[1], _PIECE))
        except BlockingIOError:
            pass  # a plugin that has lost its runner still holds the other end
        self._close()
        return status

    def _close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
