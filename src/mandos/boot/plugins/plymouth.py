# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin plymouth: asks on the boot screen (manual page plymouth(8mandos)).

plymouth(8) asks; this program starts it and reads its answer.  plymouthd has no order to forget
a question: killing plymouth(8) leaves it on the screen, in front of every later one.  So when this
program is ended before the answer, it ends plymouthd and starts it anew with the same arguments.
"""

from __future__ import annotations

import os

from mandos import passwords, process
from mandos.boot.plymouth_restart import PLYMOUTH, Daemon, be_root
from mandos.boot.plymouthd import find_plymouthd
from mandos.boot.terminal import disk_prompt
from mandos.errors import MachineError
from mandos.lean_stdlib import signal
from mandos.options import CommandLine, Option
from mandos.program import (
    NOT_HERE,
    Ended,
    TooLongError,
    keep_quiet,
    print_password,
    run_program,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.options import ParsedOptions
    from mandos.program import Say

COMMAND_LINE = CommandLine(
    "plymouth",
    "Asks for a password on the boot screen and prints it.",
    (
        Option("prompt", "", "PROMPT", "use this text instead of the disk's name"),
        Option("debug", "", None, "log each step on standard error"),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run plymouth; returns the exit status."""
    return run_program(COMMAND_LINE, _work, arguments)


def _work(given: ParsedOptions, say: Say) -> int:
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
        command = [PLYMOUTH, "ask-for-password", f"--prompt={prompt}"]
        child = process.launch(command, standard=(None, writing, 2), prepare=be_root)
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
