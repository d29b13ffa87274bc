# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the boot loader that starts next."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from mandos.check import grub, loader_entries
from mandos.check.boot_entry import UnknownBootError

if TYPE_CHECKING:
    from pathlib import Path

    from mandos.check.boot_partitions import BootPartitions


class Loader(Enum):
    """A boot loader whose configuration can be read."""

    GRUB = auto()
    SYSTEMD_BOOT = auto()


def next_loader(root: Path, partitions: BootPartitions | None) -> Loader | None:
    """The boot loader; None if there is none that is known.  Raises UnknownBootError."""
    installed = [Loader.GRUB] if (root / grub.CONFIGURATION).exists() else []
    if partitions is not None and _has_menu(partitions):
        installed.append(Loader.SYSTEMD_BOOT)
    if len(installed) > 1:
        raise UnknownBootError("both GRUB and systemd-boot are installed")
    return installed[0] if installed else None


def _has_menu(partitions: BootPartitions) -> bool:
    return any((place / loader_entries.FOLDER).is_dir() for place in partitions.all())
