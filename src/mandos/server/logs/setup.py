# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses where log lines go: the journal or syslog, and the console in the foreground.

No line is sent twice to the same place: a journal also collects the lines from ``/dev/log`` and
from a unit's standard error.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mandos.server.logs import journal
from mandos.server.logs.datagrams import OutletHandler
from mandos.server.logs.journal import JournalHandler
from mandos.server.logs.text import FACILITY, IDENTIFIER, printable, printable_lines, severity

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSLOG = Path("/dev/log")
_STANDARD_ERROR = 2
#: Bytes of a syslog line; rsyslog takes no more by default.
_LINE_LIMIT = 8000
_OURS = "mandos-log"


def set_up(level: int, *, foreground: bool) -> None:
    """Send lines of this level and above to the daemon that is there; replaces an earlier set-up.

    The journal is preferred to syslog.  In the foreground lines are shown on standard error too,
    unless that is the journal.
    """
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if handler.name == _OURS]:
        root.removeHandler(old)
        old.close()
    root.setLevel(level)
    for handler in _handlers(foreground=foreground):
        handler.name = _OURS
        root.addHandler(handler)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _handlers(*, foreground: bool) -> Iterator[logging.Handler]:
    shown_by_journal = foreground and journal.holds(_STANDARD_ERROR)
    if foreground and not shown_by_journal:
        yield _stream(_ConsoleFormatter())
    if journal.listens():
        yield JournalHandler()
    elif shown_by_journal:
        yield _stream(_PriorityFormatter())
    elif not foreground or _SYSLOG.is_socket():
        yield SyslogHandler()


def _stream(formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    return handler


class SyslogHandler(OutletHandler):
    """Sends lines to the syslog daemon of this machine, which adds the time (RFC 3164)."""

    def __init__(self, path: Path = _SYSLOG) -> None:
        super().__init__(path)

    def datagrams(self, line: logging.LogRecord) -> Iterator[bytes]:
        """A datagram for each line of text; the daemon would not keep line ends apart."""
        head = f"<{FACILITY << 3 | severity(line.levelno)}>{IDENTIFIER}[{os.getpid()}]: "
        for text in printable_lines(line):
            yield (head + text).encode()[:_LINE_LIMIT].decode(errors="ignore").encode()


class _ConsoleFormatter(logging.Formatter):
    """Lines for a person: the time, the program, the level."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record)} {IDENTIFIER}: {printable(record.levelname)}: "
        return "\n".join(head + text for text in printable_lines(record))


class _PriorityFormatter(logging.Formatter):
    """Lines for a journal that reads standard error: the priority in front, sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"<{severity(record.levelno)}>"
        return "\n".join(head + text for text in printable_lines(record))
