# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A growing root tree of an image: files stand where they stand on this machine.

Files of other hooks are left alone, so nothing is there twice; folders that are
symbolic links here (/lib, /lib64) become the same links there, unless the tree has them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class Tree:
    """The tree below a folder.  All paths that it is given are absolute, as the image sees them."""

    def __init__(self, top: Path) -> None:
        self.top = top.resolve()

    def inside(self, path: Path) -> Path:
        """Where a path of the image is now."""
        return self.top / path.relative_to("/")

    def copy(self, path: Path) -> None:
        """Copy a file of this machine to the same place; symbolic links stay links."""
        if path.is_symlink():
            real = Path(os.path.realpath(path))
            self.copy(real)
            self.link(path, real)
        elif self._is_free(path):
            shutil.copy(path, self.inside(path))

    def put(self, source: Path, path: Path, mode: int) -> None:
        """Copy a file to another place, unless there is one already."""
        if self._is_free(path):
            shutil.copyfile(source, self.inside(path))
            self.inside(path).chmod(mode)

    def put_private(self, source: Path, path: Path) -> None:
        """Copy a file into a private folder, unless there is one already; root alone reads it."""
        real = self.inside(path)
        if not os.path.lexists(real):
            descriptor = os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with os.fdopen(descriptor, "wb") as file:
                file.write(source.read_bytes())

    def private_folder(self, path: Path) -> None:
        """Have a folder that only its owner enters, from the first moment on."""
        self.folder(path.parent)
        real = self.inside(path)
        if not real.is_dir():
            real.mkdir(mode=0o700)
        real.chmod(0o700)

    def write(self, path: Path, data: bytes) -> None:
        """Make a file with this content, unless there is one already."""
        if self._is_free(path):
            self.inside(path).write_bytes(data)
            self.inside(path).chmod(0o644)

    def link(self, path: Path, target: Path) -> None:
        """Make a relative symbolic link, unless something is there."""
        if self._is_free(path):
            start = os.path.realpath(self.inside(path.parent))
            end = os.path.realpath(self.inside(target))
            self.inside(path).symlink_to(os.path.relpath(end, start))

    def folder(self, path: Path) -> None:
        """Make a folder as it is on this machine, with permission for plugins to enter.

        mkinitramfs makes folders that only root can enter, for it works with the umask of the
        image; plugins run as another user, and need the files in the folder.
        """
        if self.inside(path).is_dir():
            self.open(path)
            return
        self.folder(path.parent)
        if path.is_symlink():
            real = Path(os.path.realpath(path))
            self.folder(real)
            self.link(path, real)
        else:
            self.inside(path).mkdir()
            self.open(path)

    def open(self, path: Path) -> None:
        """Let everybody in the image enter a folder and those above it, if they are there."""
        for folder in (path, *path.parents):
            real = self.inside(folder).resolve()
            if real.is_dir() and real.is_relative_to(self.top):
                real.chmod(real.stat().st_mode | 0o555)

    def _is_free(self, path: Path) -> bool:
        self.folder(path.parent)
        return not os.path.lexists(self.inside(path))
