# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the plugins' standard errors into one: whole lines, each with its plugin's name.

A prompt is a line without an end: it is shown as it is after a moment of silence.  Our reader may
be slow or stopped (Ctrl-S on a console): we write only as much as it takes at once, keep a bounded
rest, and drop the text beyond it.
"""

from __future__ import annotations

import os
import select

#: How long a line without an end is waited for, in seconds.
SILENCE = 0.1
_LINE_LIMIT = 4096  # bytes that a line may have before it is shown without its end
_REST_LIMIT = 1 << 16  # bytes that are kept for a reader that is slow
_CHUNK = 256  # bytes; a terminal that poll(2) calls writable takes these without blocking


class Relay:
    """Writes the messages of many sources to one descriptor; never blocks and never fails."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._halves: dict[str, tuple[bytes, float]] = {}
        self._speaking: str | None = None
        self._rest = bytearray()

    def deadline(self) -> float | None:
        """When ``show_halves`` is due."""
        return min((since + SILENCE for _half, since in self._halves.values()), default=None)

    def is_behind(self) -> bool:
        """Whether something waits until the descriptor can be written to."""
        return bool(self._rest)

    def feed(self, name: str, data: bytes, now: float) -> None:
        """Take text from a source; write its complete lines."""
        half, _since = self._halves.pop(name, (b"", now))
        *lines, half = (half + data).split(b"\n")
        for line in lines:
            self._say(name, line + b"\n")
        if len(half) > _LINE_LIMIT:
            self._say(name, half)
        elif half:
            self._halves[name] = (half, now)

    def show_halves(self, now: float) -> None:
        """Write the lines without an end whose source has been silent long enough."""
        for name, (half, since) in list(self._halves.items()):
            if since + SILENCE <= now:
                del self._halves[name]
                self._say(name, half)

    def begin_line(self) -> None:
        """Begin on a fresh line: a prompt of which nothing was said here stands on the terminal."""
        if self._speaking is None:
            self._write(b"\n", None)

    def end(self, name: str) -> None:
        """Close a source: end its last line."""
        half, _since = self._halves.pop(name, (b"", 0.0))
        if half:
            self._say(name, half)
        if self._speaking == name:
            self._write(b"\n", None)

    def flush(self, seconds: float = 0.0) -> None:
        """Write the waiting text, as far as it is taken; wait at most so long for each piece."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while self._rest and poll.poll(seconds * 1000):
            try:
                written = os.write(self._descriptor, self._rest[:_CHUNK])
            except OSError:
                written = len(self._rest)  # the reader has gone for good
            del self._rest[:written]

    def _say(self, name: str, text: bytes) -> None:
        prefix = b""
        if self._speaking != name:
            prefix = os.fsencode(f"{name}: ")
            prefix = b"" if text.startswith(prefix) else prefix
        start = b"" if self._speaking in (None, name) else b"\n"
        self._write(start + prefix + text, None if text.endswith(b"\n") else name)

    def _write(self, text: bytes, speaking: str | None) -> None:
        """Write whole or drop whole; ``speaking`` has the line that stands there then."""
        if len(self._rest) + len(text) <= _REST_LIMIT:
            self._rest += text
            self._speaking = speaking
        self.flush()
