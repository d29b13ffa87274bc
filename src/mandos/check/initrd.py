# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks all initial RAM disks of a boot into one folder, in the kernel's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.check import archive

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def unpack(images: Iterable[Path], folder: Path) -> None:
    """Write the files of each image into an empty folder; later ones replace earlier ones.

    Raises MandosError.
    """
    for image in images:
        archive.unpack(image, folder)
