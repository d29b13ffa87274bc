# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Withdraws the prompt's question from the boot screen when we answer the prompt.

Where plymouthd runs, askpass starts plymouth(8) to ask there too, takes the first answer of FIFO,
console and screen, and kills plymouth(8) then (observed with cryptsetup 2.6.1).  The question would
stay on the screen.  So plymouthd is started anew before the password is given: the next prompt
finds a screen that is ready for its own question.  plymouth(8) is stopped meanwhile, since its end
would be an empty answer.
"""

from __future__ import annotations

import os
import select

from mandos.boot.handover import prompts
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ASKS = b"ask-for-password"
#: Seconds for the prompt to end the question, once it has its answer.
_PATIENCE = 5.0


def question_of(asker: int) -> Question | None:
    """The question that the process ``asker`` has put on the boot screen, if it has."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is expensive at boot
        if name.isdigit() and _asks_for(asker, name):
            try:
                return Question(int(name))
            except OSError:
                return None  # it has just been answered
    return None


class Question:
    """A running plymouth(8), held by a descriptor: no other process can be taken for it."""

    def __init__(self, process: int) -> None:
        self._handle = os.pidfd_open(process)

    def withdraw(self, say: Callable[[str], None]) -> None:
        """Take it off the screen; the prompt does not notice until ``close``."""
        # Machines without a boot screen need not load these.
        from mandos.boot.plymouth_restart import Daemon  # noqa: PLC0415 - as said
        from mandos.boot.plymouthd import find_plymouthd  # noqa: PLC0415 - as said
        from mandos.errors import MachineError  # noqa: PLC0415 - as said

        self._signal(signal.SIGSTOP)
        found = find_plymouthd()
        if found is None:
            return
        try:
            Daemon(found).restart(say)
        except MachineError as error:
            say(str(error))

    def close(self) -> None:
        """Let the prompt, which has its answer, end plymouth(8); else plymouth(8) goes on."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        if not poll.poll(_PATIENCE * 1000):
            self._signal(signal.SIGCONT)
        os.close(self._handle)

    def _signal(self, number: int) -> None:
        try:  # noqa: SIM105 - contextlib is expensive at boot
            signal.pidfd_send_signal(self._handle, number)
        except ProcessLookupError:
            pass  # it has ended


def _asks_for(asker: int, process: str) -> bool:
    """Whether a process is plymouth(8), asks for a password, and is a child of ``asker``."""
    words = _read(f"/proc/{process}/cmdline").split(b"\0")
    if len(words) < 2 or words[1] != _ASKS:
        return False
    try:
        return prompts.parent_of(process) == asker
    except OSError:
        return False  # it has just ended


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is expensive at boot
            return file.read()
    except OSError:
        return b""  # it has just ended
