# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The common parts of the programs in the initial RAM disk: signals, messages, exit status.

A plugin is a command line and a function (``run_program``).  Signals that end it unwind the
function first, so that ``finally`` undoes every change: to a terminal, a FIFO, a question on the
boot screen.  A program with a loop over poll(2) watches the descriptor of ``wake_on_signals``
instead.  Either way a program sets up signals before it does anything that takes time.
"""

from __future__ import annotations

import os
import select
import sys

from mandos import passwords
from mandos.errors import MachineError, MandosError
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from mandos.options import CommandLine, ParsedOptions

    Say = Callable[[str], None]

ENDING_SIGNALS: dict[int, str] = {
    signal.SIGTERM: "SIGTERM",
    signal.SIGINT: "SIGINT",
    signal.SIGHUP: "SIGHUP",
    signal.SIGQUIT: "SIGQUIT",
}
#: Exit status of a plugin that has nothing to do on this machine: EX_UNAVAILABLE.
NOT_HERE = 69
_STDOUT = 1


class Ended(BaseException):
    """A signal asks the program to end; not an Exception, so that nothing holds it up."""

    def __init__(self, number: int) -> None:
        self.number = number


class OutputError(MachineError):
    """The password could not be handed on whole."""

    exit_code = 74  # EX_IOERR


class TooLongError(MachineError):
    """A person gave more than a password may have; plugin-runner lets the plugin ask again."""

    exit_code = 75  # EX_TEMPFAIL

    def __init__(self) -> None:
        super().__init__(passwords.too_long())


def run_program(
    command_line: CommandLine,
    work: Callable[[ParsedOptions, Say], int],
    arguments: Sequence[str] | None = None,
) -> int:
    """Read the command line, do the work, return the exit status: 128 and more after a signal."""
    say = speaker(command_line.program)
    try:
        raise_on_signals()
        given = parsed_options(command_line, arguments)
        return 0 if given is None else work(given, say)
    except MandosError as error:
        return report(error, say)
    except Ended as end:
        if end.number != signal.SIGTERM:  # which is how all but one plugin end at every boot
            say(f"ended by {ENDING_SIGNALS[end.number]}")
        return 128 + end.number


def parsed_options(
    command_line: CommandLine, arguments: Sequence[str] | None
) -> ParsedOptions | None:
    """The options in ``arguments`` (None: the process's); None when they asked for help.

    The help, or the version, is then printed.  Raises UsageError.
    """
    given = command_line.parse(sys.argv[1:] if arguments is None else arguments)
    answer = command_line.answer(given)
    if answer is None:
        return given
    print(answer)  # noqa: T201 - help is for standard output
    return None


def report(error: MandosError, say: Say) -> int:
    """Print the lines of an error; returns its exit status."""
    for line in error.lines():
        say(line)
    return error.exit_code


def raise_on_signals(*, if_ignored: bool = True) -> None:
    """From now on the first signal that asks for an end raises Ended, and later ones do nothing.

    Without ``if_ignored`` a signal that is ignored stays so, as under nohup(1).
    """
    for number in ENDING_SIGNALS:
        if if_ignored or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def ignore_signals() -> None:
    """From now on signals that ask for an end do nothing: the program is ending already."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _frame: FrameType | None) -> None:
    ignore_signals()
    raise Ended(number)


def wake_on_signals() -> int:
    """A descriptor on which each signal that asks for an end arrives, as one byte: its number.

    Reading it never blocks, and it stays open until the process ends.
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in ENDING_SIGNALS:
        signal.signal(number, _note)
    return reading


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the number is on the descriptor already."""


def end_by_signal(wakeup: int) -> None:
    """End as the first signal on the descriptor ends a process; returns when none came."""
    try:
        number = os.read(wakeup, 1)[0]
    except BlockingIOError:
        return
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def speaker(program: str) -> Say:
    """A function that prints a message, with the program's name, on standard error."""

    def say(message: str) -> None:
        line = f"{program}: {message}\n".encode(errors="backslashreplace")
        try:  # noqa: SIM105 - contextlib is expensive at boot
            os.write(2, line)
        except OSError:
            pass  # the reader has gone; the work goes on

    return say


def keep_quiet(_message: str) -> None:
    """Stand in for a speaker where nothing shall be said."""


def print_password(password: bytes | bytearray) -> int:
    """Write the password on standard output, whole and unchanged; returns the exit status 0.

    Raises OutputError when it cannot be written whole.
    """
    rest = memoryview(password)
    try:
        while rest:
            try:
                rest = rest[os.write(_STDOUT, rest) :]
            except BlockingIOError:  # the reader has made its end non-blocking, and so ours
                select.select([], [_STDOUT], [])
    except OSError as error:
        raise OutputError(f"cannot write the password: {error.strerror}") from error
    return 0
