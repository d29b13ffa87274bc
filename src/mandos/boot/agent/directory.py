# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches the directory of the questions, with inotify(7).

The directory may not exist yet, and may be removed and made again: then the existing part of its
path is watched until the rest appears.  The kernel's events only say that something changed; a
directory listing shows the questions, so that no lost event leads to a lost question.
"""

from __future__ import annotations

import os

from mandos.boot import inotify
from mandos.boot.agent import question
from mandos.errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mandos.boot.agent.answer_policy import Key

#: Files of one directory that are looked at; the others wait until these have gone.
_MOST = 256

_GONE = inotify.DELETE_SELF | inotify.MOVE_SELF
_CHANGES = inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.DELETED
_QUESTIONS = _CHANGES | _GONE | inotify.ONLY_DIRECTORY
_APPEARANCE = inotify.CREATED | inotify.MOVED_TO | _GONE | inotify.ONLY_DIRECTORY
_LOST = _GONE | inotify.UNMOUNT | inotify.OVERFLOW | inotify.IGNORED


class Directory:
    """A watched directory: its descriptor is readable when questions may have changed."""

    __slots__ = ("_complete", "_inotify", "path")

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100 - pathlib is too expensive for early boot
        self._inotify: inotify.Inotify | None = None
        self._complete = False
        self._watch()

    def fileno(self) -> int:
        """The descriptor to wait for; each call of another method may replace it."""
        return -1 if self._inotify is None else self._inotify.fileno()

    def read_events(self) -> None:
        """Read the kernel's events; when a watched directory has gone, watch anew."""
        events = 0 if self._inotify is None else self._inotify.drain()
        if events & _LOST or not self._complete:
            self._watch()

    def listing(self) -> list[Key]:
        """The files that may be questions, in the order of their names."""
        try:
            names = sorted(
                name
                for name in os.listdir(self.path)  # noqa: PTH208 - pathlib is too expensive here
                if name.startswith(question.PREFIX)
            )
        except OSError:
            if self._complete:
                self._watch()
            return []
        return [key for key in map(self._key, names[:_MOST]) if key is not None]

    def close(self) -> None:
        """Watch no longer."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _key(self, name: str) -> Key | None:
        try:
            status = os.lstat(os.path.join(self.path, name))  # noqa: PTH118 - likewise
        except OSError:
            return None
        return name, status.st_ino, status.st_size, status.st_mtime_ns

    def _watch(self) -> None:
        """Watch the directory, or the deepest part of its path that exists.

        A part that appears while its parent is about to be watched is not overlooked.
        """
        self.close()
        watched = self._inotify = inotify.Inotify()
        self._complete = watched.watch(self.path, _QUESTIONS)
        while not self._complete:
            missing, there = self.path, os.path.dirname(self.path)  # noqa: PTH120 - likewise
            while not watched.watch(there, _APPEARANCE):
                if there == "/":
                    raise MachineError(f"cannot watch {self.path}: there is no root directory")
                missing, there = there, os.path.dirname(there)  # noqa: PTH120
            if not os.path.isdir(missing):  # noqa: PTH112 - likewise
                return
            self._complete = watched.watch(self.path, _QUESTIONS)
