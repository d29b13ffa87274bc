# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of the questions, watched: inotify(7).

It may not exist yet, and may be removed and made again: then what exists of its path is watched
until the rest appears.  The kernel's events only say that there is something to see; what there is
tells the listing, so that no lost event leads to a lost question.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from mandos.boot.agent import question
from mandos.errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.boot.agent.answer_policy import Key

#: Files of one directory that are looked at; the others wait until these have gone.
_MOST = 256
_PIECE = 1 << 14

# From sys/inotify.h; the functions return -1 and set errno.
_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _OVERFLOW, _IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
_ONLY_DIRECTORY = 0x01000000
_GONE = _DELETE_SELF | _MOVE_SELF
_QUESTIONS = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _DELETE | _GONE | _ONLY_DIRECTORY
_APPEARANCE = _CREATE | _MOVED_TO | _GONE | _ONLY_DIRECTORY
_LOST = _GONE | _UNMOUNT | _OVERFLOW | _IGNORED
_EVENT = struct.Struct("=iIII")  # watch, mask, cookie, length of the name
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


class Directory:
    """A watched directory: its descriptor can be read when there may be something new."""

    __slots__ = ("_complete", "_descriptor", "_libc", "path")

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100 - pathlib is too dear for early boot
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1
        self._complete = False
        self._watch()

    def fileno(self) -> int:
        """What to wait for; it may be another one after each call of the other methods."""
        return self._descriptor

    def read_events(self) -> None:
        """Read what the kernel tells, and watch anew when what is watched has gone."""
        masks = 0
        for piece in self._pieces():
            for mask in _masks(piece):
                masks |= mask
        if masks & _LOST or not self._complete:
            self._watch()

    def listing(self) -> list[Key]:
        """The files that may be questions, in the order of their names."""
        try:
            names = sorted(
                name
                for name in os.listdir(self.path)  # noqa: PTH208 - pathlib is too dear here
                if name.startswith(question.PREFIX)
            )
        except OSError:
            if self._complete:
                self._watch()
            return []
        return [key for key in map(self._key, names[:_MOST]) if key is not None]

    def close(self) -> None:
        """Watch no longer."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _key(self, name: str) -> Key | None:
        try:
            status = os.lstat(os.path.join(self.path, name))  # noqa: PTH118 - likewise
        except OSError:
            return None
        return name, status.st_ino, status.st_size, status.st_mtime_ns

    def _pieces(self) -> Iterator[bytes]:
        while True:
            try:
                piece = os.read(self._descriptor, _PIECE)
            except BlockingIOError:
                return
            yield piece

    def _watch(self) -> None:
        """Watch the directory, or the deepest part of its path that exists.

        A part that appears while its parent is about to be watched is not overlooked.
        """
        self.close()
        self._descriptor = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._complete = self._add(self.path, _QUESTIONS)
        while not self._complete:
            missing, there = self.path, os.path.dirname(self.path)  # noqa: PTH120 - likewise
            while not self._add(there, _APPEARANCE):
                missing, there = there, os.path.dirname(there)  # noqa: PTH120
            if not os.path.isdir(missing):  # noqa: PTH112 - likewise
                return
            self._complete = self._add(self.path, _QUESTIONS)

    def _add(self, path: str, mask: int) -> bool:
        if self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask) >= 0:
            return True
        if ctypes.get_errno() in _NOT_THERE and path != "/":
            return False
        raise MachineError(f"cannot watch {path}: {os.strerror(ctypes.get_errno())}")

    def _checked(self, result: int) -> int:
        if result < 0:
            raise MachineError(f"inotify does not work: {os.strerror(ctypes.get_errno())}")
        return result


def _masks(piece: bytes) -> Iterator[int]:
    offset = 0
    while offset < len(piece):
        _watch, mask, _cookie, length = _EVENT.unpack_from(piece, offset)
        yield mask
        offset += _EVENT.size + length
