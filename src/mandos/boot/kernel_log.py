# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for the kernel's log: kmsg(4) of the kernel's documentation, dev-kmsg.

A prompt on the console is not disturbed by them, and the journal of the machine that comes up has
them all.  For that all of them have the lowest level: without the word "quiet" on its command line
the kernel shows all others on the console, in the midst of the prompt's line.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The level, syslog(2), that the kernel shows on the console only when set to debug.
_DEBUG = 7

_DEVICE = "/dev/kmsg"
_STDERR = 2
#: Size of one record, with room for its level.
_LINE_LIMIT = 900


def log(text: str) -> None:
    """Write one record; to standard error where there is no kernel log to write to."""
    line = text.encode(errors="replace")[:_LINE_LIMIT]
    try:
        device = os.open(_DEVICE, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        _complain(line)
        return
    try:
        os.write(device, b"<%d>%b\n" % (_DEBUG, line))
    except OSError:
        _complain(line)
    finally:
        os.close(device)


def _complain(line: bytes) -> None:
    try:  # noqa: SIM105 - contextlib is expensive at boot
        os.write(_STDERR, line + b"\n")
    except OSError:
        pass  # no other place to report it


class Lines:
    """Takes a program's messages in pieces, logs whole lines, and calls ``also`` with each."""

    __slots__ = ("_also", "_half")

    def __init__(self, also: Callable[[str], object]) -> None:
        self._also = also
        self._half = b""

    def feed(self, piece: bytes) -> None:
        """Log the lines that are complete; an empty piece ends the last one."""
        *lines, self._half = (self._half + piece).split(b"\n")
        if not piece or len(self._half) > _LINE_LIMIT:
            lines.append(self._half)
            self._half = b""
        for line in filter(None, lines):
            text = line.decode(errors="replace")
            log(text)
            self._also(text)
