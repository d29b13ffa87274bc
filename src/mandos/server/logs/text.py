# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Common parts of the log handlers: the severity, and text that cannot pretend to be another line.

Lines quote text from peers and files.  Characters that are not printable (line ends, escape
sequences, marks that turn the direction of writing) are written as Python would write them.
"""

from __future__ import annotations

import logging
import traceback

IDENTIFIER = "mandos"
#: Facility "daemon", syslog(3).
FACILITY = 3

_SEVERITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


def severity(level: int) -> int:
    """The syslog severity of a level of the logging module: syslog(3)."""
    return next((number for least, number in _SEVERITIES if level >= least), _DEBUG)


def printable(text: str) -> str:
    """The text with everything that is not printable written as an escape sequence."""
    if text.isprintable():
        return text
    # Not by the codec "unicode_escape": Python loads that only when it is needed, which may be
    # after root is given up, when Python's files can no longer be read.
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def exception_text(line: logging.LogRecord) -> str:
    """The traceback that came with a line; empty when none did."""
    if not line.exc_info or line.exc_info[1] is None:
        return ""
    return "".join(traceback.format_exception(line.exc_info[1]))


def printable_lines(line: logging.LogRecord) -> list[str]:
    """The message in one line, then those of a traceback, marked so that none looks like ours."""
    rest = exception_text(line).splitlines()
    return [printable(line.getMessage()), *(f"| {printable(text)}" for text in rest)]
