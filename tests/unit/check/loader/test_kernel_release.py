# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release of a kernel, by the header of its file.

tests/service/test_systemd_boot.py reads it from Debian's kernel.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from mandos.check.loader.kernel_release import of_image
from mandos.check.loader.kernels import boots

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "6.12.118+deb13-cloud-amd64"


def _kernel(release: str = RELEASE, place: int = 0x3000) -> bytes:
    """The beginning of a kernel: boot.rst, "The Real-Mode Kernel Header"."""
    head = bytearray(0x8000)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, place)
    text = f"{release} (debian@example.org) #1 SMP".encode()
    head[place + 0x200 : place + 0x200 + len(text)] = text
    return bytes(head)


def test_release_stands_in_the_header() -> None:
    """It ends at the first blank."""
    assert of_image(_kernel()) == RELEASE


@pytest.mark.parametrize(
    "head",
    [b"", b"MZ", _kernel()[:0x20F], _kernel()[:0x3000], _kernel(place=0), bytes(0x8000),
     _kernel(release=" ")],
)  # fmt: skip
def test_other_files_have_none(head: bytes) -> None:
    """Kernels for other machines, cut off ones, and files that are none."""
    assert of_image(head) == ""


def test_kernel_is_known_by_its_file(tmp_path: Path) -> None:
    """Neither the entry's version nor the file's name has to be that of the modules."""
    entries = tmp_path / "efi/loader/entries"
    entries.mkdir(parents=True)
    (tmp_path / "efi/vmlinuz-linux").write_bytes(_kernel())
    text = "linux /vmlinuz-linux\nversion 6.12\n"
    (entries / "linux.conf").write_text(text, encoding="ascii")
    found = boots(tmp_path)
    assert found.next is not None
    assert found.next.name == RELEASE
