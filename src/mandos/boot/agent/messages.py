# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes the client's standard error on to ours, and its notices to the console too.

systemd asks on the console, and its question stands there without a line's end.  So a notice begins
on a fresh line, and the question follows it again.
"""

from __future__ import annotations

import os

from mandos.client.notices import Board

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_STDERR = 2
_PIECE = 1 << 12
_LINE_LIMIT = 1 << 12  # bytes of a line that has no end yet


class Messages:
    """A pipe for the standard error of one client after the other (``writing``)."""

    __slots__ = ("_board", "_console", "_half", "_reading", "writing")

    def __init__(self, console: str) -> None:
        """Show notices on the terminal ``console``, where there is one."""
        self._reading, self.writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reading, False)
        self._console = console
        self._board = Board()
        self._half = b""

    def fileno(self) -> int:
        """The descriptor to wait at until it can be read."""
        return self._reading

    def begin(self, now: float) -> None:
        """Note that a client has been started."""
        self._board.begin(now)

    def end(self) -> None:
        """Note that the client had the password."""
        self._board.end()

    @property
    def deadline(self) -> float | None:
        """When to call ``show``; never while there is nothing to show."""
        return self._board.deadline

    def read(self) -> None:
        """Pass on the messages that have arrived."""
        try:
            piece = os.read(self._reading, _PIECE)
        except BlockingIOError:
            return
        _write(_STDERR, piece)
        *lines, self._half = (self._half + piece).split(b"\n")
        self._half = self._half[-_LINE_LIMIT:]
        for line in lines:
            self._board.feed(line.decode(errors="replace"))

    def show(self, now: float, questions: Iterable[str]) -> None:
        """Show the notices that are due on the console, and the open questions again."""
        lines = self._board.due(now)
        if not lines:
            return
        try:
            console = os.open(self._console, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return
        text = "\n".join(["", *lines, *(f"{question} " for question in questions)])
        _write(console, text.encode(errors="replace"))
        os.close(console)

    def close(self) -> None:
        """Pass on the remaining messages, and end."""
        self.read()
        os.close(self._reading)
        os.close(self.writing)


def _write(descriptor: int, data: bytes) -> None:
    try:  # noqa: SIM105 - contextlib is expensive at boot
        os.write(descriptor, data)
    except OSError:
        pass  # standard error is closed: no reader
