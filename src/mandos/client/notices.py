# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices for the person at the console: few lines, each once, however bad the network is.

A notice is a line of the client that begins with a word (``is_notice``): the programs that run the
client show it on the console, while everything else goes to the log.
"""

from __future__ import annotations

_MARK = "notice: "
_PROGRAM = "mandos-client"
#: Lines that may be shown one after the other, and seconds until each further one may.
BURST, PAUSE = 20, 60.0
#: Notices on the console, likewise; and seconds until the same text is shown again.
SHOWN_BURST, SHOWN_PAUSE, SHOWN_AGAIN = 8, 300.0, 600.0
#: Seconds for which a client's notices are held back.
HELD_BACK = 10.0
_MEMORY = 256  # texts


def notice(text: str) -> str:
    """Mark a text as one for the console."""
    return _MARK + text


def is_notice(line: str) -> bool:
    """Whether a line of the client's standard error is for the console."""
    return line.startswith(f"{_PROGRAM}: {_MARK}")


class Sparing:
    """Decides which texts may be shown now; logic only, the caller has the clock.

    At first ``burst`` of them, and one more every ``pause`` seconds; the same one only after
    ``again`` seconds.
    """

    __slots__ = ("_again", "_burst", "_left", "_pause", "_since", "_told", "dropped")

    def __init__(self, burst: int, pause: float, again: float) -> None:
        self._burst = burst
        self._pause = pause
        self._again = again
        self._left = float(burst)
        self._since = 0.0
        self._told: dict[str, float] = {}
        self.dropped = 0

    def allows(self, text: str, now: float) -> bool:
        """Whether this may be shown; counts those that may not, but for repetitions."""
        self._left = min(self._burst, self._left + (now - self._since) / self._pause)
        self._since = now
        if now < self._told.get(text, -self._again) + self._again:
            return False
        if self._left < 1:
            self.dropped += 1
            return False
        self._left -= 1
        self._told.pop(text, None)
        self._told[text] = now
        while len(self._told) > _MEMORY:
            del self._told[next(iter(self._told))]
        return True


class Board:
    """Collects the notices of one client after the other for the console.

    The lines of a client's first seconds are held back: most boots end before, and then the lines
    are of no use.
    """

    __slots__ = ("_begin", "_pending", "_sparing")

    def __init__(self) -> None:
        self._sparing = Sparing(SHOWN_BURST, SHOWN_PAUSE, SHOWN_AGAIN)
        self._pending: list[str] = []
        self._begin = 0.0

    def begin(self, now: float) -> None:
        """Note that a client has started; pending notices of a failed one remain to be shown."""
        if not self._pending:
            self._begin = now + HELD_BACK

    def end(self) -> None:
        """The client had the password: drop its notices, which are of no use any more."""
        self._pending = []

    def feed(self, line: str) -> None:
        """Take a line of its standard error."""
        if is_notice(line) and len(self._pending) < SHOWN_BURST:
            self._pending.append(line.replace(_MARK, "", 1))

    @property
    def deadline(self) -> float | None:
        """When to call ``due``; never while there is nothing to show."""
        return self._begin if self._pending else None

    def due(self, now: float) -> list[str]:
        """The lines to show now."""
        if now < self._begin:
            return []
        lines, self._pending = self._pending, []
        return [line for line in lines if self._sparing.allows(line, now)]
