# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which password goes to which prompt, and when to fetch; no input, output or clock.

A password is given to each disk once: cryptsetup drops a disk after a few wrong ones, and a wrong
password must not interrupt the person who types at the console.  When the disk asks
again, the servers are asked again too, less and less often, and another password is given at once.
The same one is tried again only after minutes, in case something else had gone wrong.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds from the end of a fetch to the next one: at first, and at most.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
_GROWTH = 1.5
#: Seconds until the same password is tried again; each time twice as long.
FIRST_RESPITE = 300.0


class Prompt:
    """A program that waits for a password: its process ID and the name of the disk."""

    __slots__ = ("disk", "process")

    def __init__(self, process: int, disk: str) -> None:
        self.process = process
        self.disk = disk


class Handover:
    """The passwords that were fetched and given so far."""

    __slots__ = ("_begin", "_given", "_password", "_pause", "_served")

    def __init__(self) -> None:
        self._password: bytes | None = None
        #: Time until which a password counts as wrong for a disk, and the length of that period.
        self._given: dict[tuple[str, bytes], tuple[float, float]] = {}
        self._served: set[int] = set()  # prompts that have their answer and are about to end
        self._begin = 0.0
        self._pause = FIRST_PAUSE

    def fetched(self, password: bytes | None, now: float) -> None:
        """Note that a fetch has ended, with or without a password."""
        if password and password != self._password:
            self._password = password
            self._pause = FIRST_PAUSE
        else:
            self._pause = min(_GROWTH * self._pause, LONGEST_PAUSE)
        self._begin = now + self._pause

    def answer(self, prompt: Prompt, now: float) -> bytes | None:
        """The password for this prompt, if there is one that may be right."""
        if prompt.process in self._served or self.is_wrong(prompt, now):
            return None
        return self._password

    def gave(self, prompt: Prompt, password: bytes, now: float) -> None:
        """Note that the prompt has taken its answer."""
        _until, pause = self._given.get((prompt.disk, password), (0.0, FIRST_RESPITE / 2))
        self._given[prompt.disk, password] = (now + 2 * pause, 2 * pause)
        self._served.add(prompt.process)

    def is_wrong(self, prompt: Prompt, now: float) -> bool:
        """Whether the disk asks again, though it was given the password that we have."""
        if self._password is None or prompt.process in self._served:
            return False
        until, _pause = self._given.get((prompt.disk, self._password), (now, 0.0))
        return now < until

    def next_fetch(self, prompts: Iterable[Prompt], now: float) -> float | None:
        """When to begin a fetch, if another password is wanted; this may be in the past."""
        if self._password is None or any(self.is_wrong(prompt, now) for prompt in prompts):
            return self._begin
        return None
