# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program plugin-runner: a keyscript that prints the output of the first successful plugin.

Exit status 0 means that the whole password has been written.  The password is held in memory only,
never in a file, a message or a command line, and overwritten when it has been written.
"""

from __future__ import annotations

import os
import select

from mandos.boot.runner.plugin import Plugin, wipe
from mandos.boot.runner.plugin_files import find_plugins
from mandos.boot.runner.race import Race
from mandos.boot.runner.relay import Relay
from mandos.boot.runner.settings import COMMAND_LINE, RunnerSettings, read_settings
from mandos.boot.terminal import ask, disk_prompt
from mandos.errors import MachineError, MandosError
from mandos.lean_stdlib import signal
from mandos.process import launch_work
from mandos.program import (
    ENDING_SIGNALS,
    Ended,
    OutputError,
    keep_quiet,
    parsed_options,
    print_password,
    raise_on_signals,
    report,
    speaker,
    wake_on_signals,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.boot.runner.plugin import Standard
    from mandos.program import Say

_STDIN, _STDOUT, _STDERR = range(3)
_CHUNK = 512  # bytes: PIPE_BUF at the least, which poll(2) calls writable only when it fits
_CONSOLE = "console"  # its name among the plugins
_CONTROLLING_TERMINAL = "/dev/tty"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run plugin-runner; returns the exit status."""
    try:
        _require_standard_descriptors()
        wakeup = wake_on_signals()
        given = parsed_options(COMMAND_LINE, arguments)
        if given is None:
            return 0
        relay = Relay(_STDERR)
        say = _saying(relay)
        return _run(read_settings(given, say), wakeup, relay, say)
    except MandosError as error:
        return report(error, speaker(COMMAND_LINE.program))
    except Ended as end:
        if end.number != signal.SIGTERM:  # which is how a boot script ends us
            speaker(COMMAND_LINE.program)(f"ended by {ENDING_SIGNALS[end.number]}")
        return 128 + end.number


def _run(settings: RunnerSettings, wakeup: int, relay: Relay, say: Say) -> int:
    try:
        return _race(settings, wakeup, relay, say)
    except MandosError:
        raise
    except Exception as error:  # noqa: BLE001 - a mistake of ours must not keep people out
        say(f"unexpected failure, please report it: {type(error).__name__}")
        return _ask_on_console()


def _race(settings: RunnerSettings, wakeup: int, relay: Relay, say: Say) -> int:
    debug = say if settings.debug else keep_quiet
    plugins = find_plugins(settings, say, debug)
    race = Race(plugins, Plugin(_CONSOLE, _start_console), wakeup, (relay, say, debug))
    try:
        password = race.run()
        try:
            _write(password, wakeup)
        finally:
            wipe(password)
    finally:
        race.close()
    return 0


def _require_standard_descriptors() -> None:
    """Make sure that no file opened later gets the number of a standard descriptor."""
    try:
        os.fstat(_STDOUT)
    except OSError as error:
        raise OutputError("standard output is closed, so the password would be lost") from error
    for number in (_STDIN, _STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)


def _saying(relay: Relay) -> Say:
    """Our own messages go the way of the plugins', so that no line is torn."""

    def say(message: str) -> None:
        line = f"{message}\n".encode(errors="surrogateescape")
        relay.feed(COMMAND_LINE.program, line, 0.0)

    return say


def _write(password: bytearray, wakeup: int) -> None:
    """Write all of it, then close standard output, so that the reader need not wait for us.

    Raises Ended on a signal, OutputError when it cannot be written whole.
    """
    poll = select.poll()
    poll.register(wakeup, select.POLLIN)
    poll.register(_STDOUT, select.POLLOUT)
    rest = memoryview(password)
    try:
        while rest:
            if wakeup in dict(poll.poll()):
                raise Ended(os.read(wakeup, 1)[0])
            rest = rest[os.write(_STDOUT, rest[:_CHUNK]) :]
        _close_output()
    except OSError as error:
        raise OutputError(f"cannot write the password: {error.strerror}") from error
    finally:
        rest.release()


def _close_output() -> None:
    """Close it, which may report a late error, and keep its number from being used again."""
    null = os.open(os.devnull, os.O_WRONLY)
    last = os.dup(_STDOUT)
    os.dup2(null, _STDOUT)
    os.close(null)
    os.close(last)


def _start_console(standard: Standard) -> int:
    return launch_work(_ask_on_console, standard=standard)


def _ask_on_console() -> int:
    """The last way out, in a process of its own: ask on standard input's terminal, or on ours."""
    say = speaker(_CONSOLE)
    try:
        raise_on_signals()
        prompt = disk_prompt(os.environ, nameless="Password") + ": "
        return print_password(ask(prompt, _terminal()))
    except MandosError as error:
        say(str(error))
        return error.exit_code
    except Ended as end:
        return 128 + end.number


def _terminal() -> int:
    if os.isatty(_STDIN):
        return _STDIN
    try:
        return os.open(_CONTROLLING_TERMINAL, os.O_RDWR)
    except OSError as error:
        raise MachineError("there is no terminal to ask on") from error
