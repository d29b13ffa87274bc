# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin plymouth: asks on the boot screen (manual page plymouth(8mandos)).

plymouth(8) asks; this program starts it and reads its answer.  plymouthd cannot be told to forget
a question: killing plymouth(8) leaves it on the screen, in front of every later one.  So when this
program is ended before the answer, it ends plymouthd and starts it anew with the same arguments.
"""

from __future__ import annotations

import os
import select
import time

from mandos import passwords, process
from mandos.bare import signal
from mandos.boot.plymouthd import find_plymouthd
from mandos.boot.program import (
    NOT_HERE,
    Ended,
    TooLongError,
    keep_quiet,
    print_password,
    run_program,
)
from mandos.boot.terminal import disk_prompt
from mandos.errors import MachineError, MandosError
from mandos.options import CommandLine, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.boot.program import Say
    from mandos.options import Given

_PLYMOUTH = "/bin/plymouth"
_STOP_LIMIT = 3.0  # seconds until a daemon that does not end is killed, and then is given up
_START_LIMIT = 3.0  # seconds until a new daemon has to answer

COMMAND_LINE = CommandLine(
    "plymouth",
    "Asks for a password on the boot screen and prints it.",
    (
        Option("prompt", "", "PROMPT", "ask this, whatever disk it is for"),
        Option("debug", "", None, "tell on standard error what happens"),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run plymouth; returns the exit status."""
    return run_program(COMMAND_LINE, _work, arguments)


def _work(given: Given, say: Say) -> int:
    debug = say if "debug" in given else keep_quiet
    found = find_plymouthd()
    if found is None:
        debug("no plymouthd runs: there is no boot screen to ask on")
        return NOT_HERE
    daemon = Daemon(found)
    prompt = given.text(
        "prompt", disk_prompt(os.environ, nameless="Unlocking the disk\nEnter passphrase")
    )
    debug(f"asking by plymouthd (process {found})")
    try:
        return print_password(_ask(prompt))
    except Ended:
        debug("withdrawing the question: plymouthd is started anew")
        daemon.restart(say)
        raise


def _ask(prompt: str) -> bytes:
    """Let plymouth(8) ask.  Raises MachineError when it fails."""
    reading, writing = os.pipe()
    child = -1
    try:
        command = [_PLYMOUTH, "ask-for-password", f"--prompt={prompt}"]
        child = process.launch(command, standard=(None, writing, 2), prepare=_be_root)
        os.close(writing)
        writing = -1
        answer = _read(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        child = -1
    finally:
        _put_away(child, reading, writing)
    if status != 0:
        raise MachineError(f"plymouth ask-for-password ended with status {status}")
    return answer


def _put_away(child: int, *descriptors: int) -> None:
    if child > 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _read(reading: int) -> bytes:
    answer = bytearray()
    while piece := os.read(reading, passwords.LIMIT + 1):
        answer += piece
        if len(answer) > passwords.LIMIT:
            raise TooLongError
    return bytes(answer)


def _be_root() -> None:
    """Whoever started us: plymouthd answers root only, and so may the new one be started."""
    if os.geteuid() == 0:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)


class Daemon:
    """A running plymouthd, held by a descriptor: no other process can be taken for it."""

    def __init__(self, found: int) -> None:
        try:
            self._descriptor = os.pidfd_open(found)
            self._command = _command_of(found)
        except OSError as error:
            raise MachineError(f"plymouthd went away: {error.strerror}") from error

    def restart(self, say: Say) -> None:
        """End it, and start the same command; complaints are said, since we are ending too."""
        try:
            self._end()
            _start(self._command)
        except (MandosError, OSError) as error:
            say(f"cannot restart plymouthd: {error}")

    def _end(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(self._descriptor, number)
            if poll.poll(_STOP_LIMIT * 1000):
                return
        raise MachineError("it does not end")


def _command_of(found: int) -> list[str]:
    """The program, by its path, and its arguments."""
    with open(f"/proc/{found}/cmdline", "rb") as file:  # noqa: PTH123 - pathlib is dear at boot
        words = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    program = os.readlink(f"/proc/{found}/exe")  # noqa: PTH115 - the same
    return [program.removesuffix(" (deleted)"), *words[1:]]


def _start(command: list[str]) -> None:
    """Start a daemon and let it show its screen again; with --no-daemon it is our child."""
    process.launch(command, prepare=_be_root)
    deadline = time.monotonic() + _START_LIMIT
    while not _tell("--ping"):
        if time.monotonic() > deadline:
            raise MachineError("it was started but does not answer")
        time.sleep(0.05)
    _tell("show-splash")


def _tell(word: str) -> bool:
    child = process.launch([_PLYMOUTH, word], prepare=_be_root)
    return os.waitpid(child, 0)[1] == 0
