# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The serial console of a machine: read as it comes, prompts without a line's end too, typed into.

``expect`` goes forward through what was printed: each call begins where the last one has ended.
"""

from __future__ import annotations

import bisect
import codecs
import os
import re
import time
from typing import IO, TYPE_CHECKING

from harness.process import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds in which a machine that lives shows something, emulated and on a busy computer, or does
#: anything that is seen elsewhere; reached on failure only.
PATIENCE = 600.0
#: Lines of the console that a failure shows.
TAIL = 60
#: Escape sequences and control characters that are there for a terminal: ECMA-48, 5.4.
_FOR_TERMINALS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_c78]|[\r\x00\x07]"
)
#: Such a sequence whose end has not come yet.
_BEGUN = re.compile(r"\x1b(\[[0-?]*[ -/]*|[]P^_X][^\x07\x1b]*\x1b?)?\Z")


class Console(Process):
    """A machine as a program: its standard output is its serial console, its input the keyboard."""

    def __init__(self, command: Sequence[str], *, launcher: Sequence[str]) -> None:
        self.began = time.monotonic()
        self._text = ""
        self._seen = 0
        self._ends: list[int] = []
        self._times: list[float] = []
        super().__init__(command, launcher=launcher)

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
            rest = ""
            while chunk := os.read(pipe.fileno(), 65536):
                text = rest + decoder.decode(chunk)
                begun = _BEGUN.search(text)
                rest = text[begun.start() :] if begun else ""
                with self._news:
                    self._text += _FOR_TERMINALS.sub("", text.removesuffix(rest))
                    self._ends.append(len(self._text))
                    self._times.append(time.monotonic() - self.began)
                    self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    @property
    def text(self) -> str:
        """Everything printed so far."""
        with self._news:
            return self._text

    def expect(
        self, pattern: str, seconds: float | None = None, *, silence: float = PATIENCE
    ) -> re.Match[str]:
        """Return the first match that follows the last one; fails with the console's tail.

        Without ``seconds`` a slow machine may take as long as it goes on showing something.
        """
        wanted = re.compile(pattern, re.MULTILINE)
        end = None if seconds is None else time.monotonic() + seconds
        with self._news:
            while (found := wanted.search(self._text, self._seen)) is None and self._open:
                limit = silence if end is None else end - time.monotonic()
                if limit <= 0 or not self._news.wait(limit):
                    break
        assert found is not None, self.report(f"nothing on the console matched {pattern!r}")
        self._seen = found.end()
        return found

    def when(self, pattern: str) -> float:
        """Seconds from the start to the first match of all, which has been printed."""
        with self._news:
            found = re.search(pattern, self._text, re.MULTILINE)
            assert found is not None, pattern
            return self._times[bisect.bisect_left(self._ends, found.end())]

    def type(self, line: str) -> None:
        """Type a line."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n".encode())
        self._popen.stdin.flush()

    def report(self, problem: str) -> str:
        """``problem`` with the end of what was printed."""
        tail = "\n".join(self.text.splitlines()[-TAIL:])
        return f"{problem}\n--- the end of the console\n{tail}\n---"
