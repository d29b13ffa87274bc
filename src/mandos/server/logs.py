# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the server's log lines go: to syslog, and to standard error in the foreground."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from pathlib import Path

_SYSLOG = Path("/dev/log")


def set_up(level: int, *, foreground: bool) -> None:
    """Send lines of this level and above to whoever listens.

    Under systemd standard error is the journal, and syslog would show every line twice.
    """
    in_journal = "JOURNAL_STREAM" in os.environ
    root = logging.getLogger()
    root.setLevel(level)
    if foreground:
        root.addHandler(_console(in_journal=in_journal))
    if _SYSLOG.is_socket() and not (foreground and in_journal):
        root.addHandler(_syslog())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _console(*, in_journal: bool) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    if in_journal:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s mandos: %(levelname)s: %(message)s"))
    return handler


def _syslog() -> logging.Handler:
    handler = logging.handlers.SysLogHandler(
        str(_SYSLOG), facility=logging.handlers.SysLogHandler.LOG_DAEMON
    )
    handler.setFormatter(logging.Formatter(f"mandos[{os.getpid()}]: %(message)s"))
    return handler


class _JournalFormatter(logging.Formatter):
    """Puts the priority in front, as sd-daemon(3) describes."""

    _PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def format(self, record: logging.LogRecord) -> str:
        priority = next((code for level, code in self._PRIORITIES if record.levelno >= level), 7)
        return f"<{priority}>{super().format(record)}"
