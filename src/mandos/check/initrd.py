# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks all initial RAM disks of a boot into one folder, in the kernel's order.

Each is a file of its own, or a section of a unified kernel image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.check import archive, unified_images

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def unpack(images: Iterable[Path], folder: Path) -> None:
    """Write the files of each image into an empty folder; later ones replace earlier ones.

    Raises MandosError.
    """
    for image in images:
        unified = unified_images.read(image) if _is_program(image) else None
        if unified is None:
            archive.unpack(image, folder)
        else:
            archive.unpack_data(unified.initrd(), image, folder)


def _is_program(image: Path) -> bool:
    try:
        return unified_images.is_program(image)
    except OSError:
        return False  # the archive's reader reports the reason
