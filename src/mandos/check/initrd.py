# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The initial RAM disks of a boot: unpacks them into one folder, in the kernel's order.

Each is a file of its own, or a section of a unified kernel image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.check import archive
from mandos.check.loader import pe_sections, unified_images

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mandos.check.loader.unified_images import UnifiedImage


def unpack(images: Iterable[Path], folder: Path) -> None:
    """Write the files of each image into an empty folder; later ones replace earlier ones.

    Raises MandosError.
    """
    for image in images:
        unified = _unified(image)
        if unified is None:
            archive.unpack(image, folder)
        else:
            archive.unpack_data(unified.initrd(), image, folder)


def packed(images: Iterable[Path]) -> bytes:
    """All images as one, each at a multiple of four bytes; raises MandosError and OSError."""
    whole = b""
    for image in images:
        unified = _unified(image)
        whole += bytes(-len(whole) % 4)
        whole += image.read_bytes() if unified is None else unified.initrd()
    return whole


def kernel(path: Path) -> bytes:
    """A kernel, also one in a unified kernel image; raises MandosError and OSError."""
    unified = _unified(path)
    if unified is None:
        return path.read_bytes()
    return pe_sections.contents(path, unified.sections[".linux"])


def _unified(image: Path) -> UnifiedImage | None:
    return unified_images.read(image) if _is_program(image) else None


def _is_program(image: Path) -> bool:
    try:
        return unified_images.is_program(image)
    except OSError:
        return False  # the archive's reader reports the reason
