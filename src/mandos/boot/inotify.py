# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Being told that something happens in a folder, inotify(7), which Python's library lacks."""

from __future__ import annotations

import ctypes
import os

from mandos.errors import MachineError

#: Events, sys/inotify.h.
OPENED = 0x20
CREATED = 0x100

_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_ROOM = 1 << 14


class Watch:
    """Watches one folder; ``fileno`` is ready for reading once something has happened in it."""

    __slots__ = ("_descriptor",)

    def __init__(self, folder: str, events: int) -> None:
        """Raises MachineError when the folder cannot be watched."""
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = library.inotify_init1(_FLAGS)
        path = os.fsencode(folder)
        if self._descriptor < 0 or library.inotify_add_watch(self._descriptor, path, events) < 0:
            error = os.strerror(ctypes.get_errno())
            self.close()
            raise MachineError(f"cannot watch {folder}: {error}")

    def fileno(self) -> int:
        """For a selector."""
        return self._descriptor

    def drain(self) -> None:
        """Forget what has happened."""
        try:
            while os.read(self._descriptor, _ROOM):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
