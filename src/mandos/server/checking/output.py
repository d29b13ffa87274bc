# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last words of a checker: the end of its standard output and error, bounded.

A checker may print without end, or print data from strangers.  The server reads its output in
pieces, slowly when there is much of it, and keeps only the last line or two.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

from mandos.server.logs.text import printable

#: Most bytes that are kept, and most characters that are shown.
_KEPT = 1024
_SHOWN = 300
#: Bytes of one read; reads in a row; seconds of the pause after them.
_PIECE = 1 << 16
_PAUSE = 0.05


class CheckerOutput:
    """Reads the output of one checker; needs a running event loop.

    ``writing`` is the descriptor for the checker.  It is None when the process has no descriptors
    left: then nothing is read.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = b""
        self._pause: asyncio.TimerHandle | None = None
        self._reading: int | None = None
        self.writing: int | None = None
        with contextlib.suppress(OSError):
            self._reading, self.writing = os.pipe()
            os.set_blocking(self._reading, False)

    def started(self) -> None:
        """Begin to read, after the checker's process got its descriptor."""
        self._close_writing()
        self._listen()

    def finish(self) -> str:
        """End the reading; returns the last words as one line without control characters."""
        self._read()
        self.close()
        lines = (line.strip() for line in self._end.decode(errors="replace").splitlines())
        return printable(" / ".join(filter(None, lines)))[-_SHOWN:]

    def close(self) -> None:
        """End the reading; may be called again."""
        self._close_writing()
        if self._pause is not None:
            self._pause.cancel()
        if self._reading is not None:
            self._loop.remove_reader(self._reading)
            os.close(self._reading)
        self._reading = self._pause = None

    def _close_writing(self) -> None:
        if self.writing is not None:
            os.close(self.writing)
        self.writing = None

    def _listen(self) -> None:
        self._pause = None
        if self._reading is not None:
            self._loop.add_reader(self._reading, self._read)

    def _read(self) -> None:
        if self._reading is None:
            return
        try:
            data = os.read(self._reading, _PIECE)
        except BlockingIOError:
            return
        self._end = (self._end + data)[-_KEPT:]
        self._loop.remove_reader(self._reading)
        if len(data) == _PIECE:
            self._pause = self._loop.call_later(_PAUSE, self._listen)
        elif data:
            self._listen()
