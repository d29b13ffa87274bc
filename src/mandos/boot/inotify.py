# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of files and folders, by inotify(7), which Python's library lacks."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from mandos.errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Events and flags, sys/inotify.h.
CLOSE_WRITE, OPENED, MOVED_FROM, MOVED_TO, CREATED, DELETED = 0x8, 0x20, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, UNMOUNT, OVERFLOW, IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
ONLY_DIRECTORY = 0x01000000

_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_ROOM = 1 << 14
_EVENT = struct.Struct("=iIII")  # watch, mask, cookie, length of the name
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


class Inotify:
    """An inotify descriptor; ``fileno`` is ready for reading once something has happened."""

    __slots__ = ("_descriptor", "_library")

    def __init__(self) -> None:
        """Raises MachineError when the kernel gives no descriptor."""
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._library.inotify_init1(_FLAGS)
        if self._descriptor < 0:
            raise MachineError(f"inotify does not work: {os.strerror(ctypes.get_errno())}")

    def watch(self, path: str, events: int) -> bool:
        """Watch a path; False when it does not exist.  Raises MachineError when that fails."""
        if self._library.inotify_add_watch(self._descriptor, os.fsencode(path), events) >= 0:
            return True
        if ctypes.get_errno() in _NOT_THERE:
            return False
        raise MachineError(f"cannot watch {path}: {os.strerror(ctypes.get_errno())}")

    def fileno(self) -> int:
        """For a selector."""
        return self._descriptor

    def drain(self) -> int:
        """Read the events that have happened; returns all their bits in one mask."""
        mask = 0
        for piece in self._pieces():
            for one in _masks(piece):
                mask |= one
        return mask

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _pieces(self) -> Iterator[bytes]:
        while True:
            try:
                yield os.read(self._descriptor, _ROOM)
            except BlockingIOError:
                return


def watch_folder(folder: str, events: int) -> Inotify:
    """Watch a folder that must exist; raises MachineError when it cannot be watched."""
    inotify = Inotify()
    try:
        there = inotify.watch(folder, events)
    except MachineError:
        inotify.close()
        raise
    if not there:
        inotify.close()
        raise MachineError(f"cannot watch {folder}: it does not exist")
    return inotify


def _masks(piece: bytes) -> Iterator[int]:
    offset = 0
    while offset < len(piece):
        _watch, mask, _cookie, length = _EVENT.unpack_from(piece, offset)
        yield mask
        offset += _EVENT.size + length
