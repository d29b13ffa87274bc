# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-monitor: its command line, and whether this terminal is good enough.

Manual page: mandos-monitor(8).  Drawing code is imported late, so --help and --version are fast.
"""

from __future__ import annotations

import curses
import os
import sys
from typing import TYPE_CHECKING, Final

import mandos
from mandos.errors import MachineError, MandosError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE: Final = """\
usage: mandos-monitor [--help] [--version]

Shows the clients of a Mandos server live, and lets you control them: press ? there.

options:
  -h, --help     show this help
  -v, --version  show the version

Only root and the group _mandos may talk to the server.  In scripts, use mandos-ctl.
"""
_FEW_COLOURS = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run mandos-monitor; returns the exit status."""
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except MandosError as error:
        for line in error.lines():
            sys.stderr.write(f"mandos-monitor: {line}\n")
        return error.exit_code


def _run(words: Sequence[str]) -> int:
    match words:
        case []:
            check_terminal()
            return _monitor()
        case ["-h" | "--help"]:
            sys.stdout.write(USAGE)
        case ["-v" | "--version"]:
            sys.stdout.write(f"mandos-monitor {mandos.__version__}\n")
        case [word, *_]:
            raise UsageError(f"unrecognized argument: {word}", "see mandos-monitor --help")
    return 0


def check_terminal() -> None:
    """Raise MachineError unless the screen can be drawn; turn colours off where there are few."""
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise MachineError(
            "standard input, output and error are not all a terminal",
            "for scripts there are mandos-ctl and mandos-ctl --watch",
        )
    try:
        curses.setupterm()
    except curses.error as error:
        raise MachineError(f"the terminal is unknown: {error}", "set TERM, to vt100 say") from error
    if curses.tigetstr("cup") is None:
        raise MachineError(
            f"a terminal of the type {os.environ.get('TERM', '')!r} cannot place its cursor",
            "set TERM to what it is; for plain text there is mandos-ctl --watch",
        )
    if curses.tigetnum("colors") < _FEW_COLOURS:
        os.environ["NO_COLOR"] = "1"


def _monitor() -> int:
    from mandos.admin.monitor.app import MonitorApp  # noqa: PLC0415 - slow, and often not needed

    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)  # the terminal knows better, also after it was resized
    app = MonitorApp()
    app.run()
    return app.return_code or 0
