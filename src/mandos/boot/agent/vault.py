# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the passwords of one run, numbered, in memory that is never written to disk.

A number stands for a password everywhere else, so that nothing else can print one.
"""

from __future__ import annotations

import mmap

from mandos.passwords import LIMIT

_LOCKED = 0x2000  # MAP_LOCKED of mmap(2); Python has no name for it
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Buffer:
    """Buffer for one password: locked in memory if allowed; in no core dump and no child."""

    __slots__ = ("_map", "size")

    def __init__(self) -> None:
        # A byte in this extra place shows that the password is too long.
        try:
            self._map = mmap.mmap(-1, LIMIT + 1, flags=_PRIVATE | _LOCKED)
        except OSError:
            self._map = mmap.mmap(-1, LIMIT + 1, flags=_PRIVATE)
        for advice in (mmap.MADV_DONTFORK, mmap.MADV_DONTDUMP):
            self._map.madvise(advice)
        self.size = 0

    @property
    def room(self) -> memoryview:
        """Where the rest of the password goes; the caller has to release it."""
        return memoryview(self._map)[self.size :]

    @property
    def full(self) -> bool:
        """Whether the password is longer than allowed."""
        return self.size > LIMIT

    def content(self) -> memoryview:
        """The password, not copied; the caller has to release it."""
        return memoryview(self._map)[: self.size]

    def has_nul(self) -> bool:
        """Whether the password contains a null byte, where a string of C ends."""
        return self._map.find(b"\0", 0, self.size) >= 0

    def same_as(self, other: Buffer) -> bool:
        """Whether both are the same password."""
        with self.content() as ours, other.content() as theirs:
            return ours == theirs

    def wipe(self) -> None:
        """Overwrite it and give the memory back."""
        self._map[:] = bytes(LIMIT + 1)
        self._map.close()


class Vault:
    """All different passwords that were fetched; ``current`` is the number of the newest."""

    __slots__ = ("_passwords", "current")

    def __init__(self) -> None:
        self._passwords: list[Buffer] = []
        self.current: int | None = None

    def add(self, password: Buffer) -> bool:
        """Keep a password as the current one; whether it is different from all before."""
        for number, known in enumerate(self._passwords):
            if known.same_as(password):
                password.wipe()
                self.current = number
                return False
        self.current = len(self._passwords)
        self._passwords.append(password)
        return True

    def content(self, number: int) -> memoryview:
        """A password, not copied; the caller has to release it."""
        return self._passwords[number].content()

    def wipe(self) -> None:
        """Forget all."""
        while self._passwords:
            self._passwords.pop().wipe()
        self.current = None
