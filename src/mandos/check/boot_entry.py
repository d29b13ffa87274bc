# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a boot loader starts: a kernel, its images and the kernel command line."""

from __future__ import annotations

from typing import NamedTuple

from mandos.errors import MandosError


class UnknownBootError(MandosError):
    """The boot loader's files do not say what it boots next."""


class BootEntry(NamedTuple):
    """One entry of a boot loader's menu.

    ``kernel`` and ``images`` are paths as the boot loader has them: below the file system that it
    reads, which may be mounted on /boot.  ``words`` is the kernel command line.
    """

    title: str
    kernel: str
    images: tuple[str, ...]
    words: tuple[str, ...]
