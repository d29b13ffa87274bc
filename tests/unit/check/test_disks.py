# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that an image opens, by its table and by the kernel command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.check.disks import in_image

if TYPE_CHECKING:
    from pathlib import Path

UUID = "6d616e64-6f73-4000-8000-000000000001"
OTHER = "6d616e64-6f73-4000-8000-000000000002"


def test_disk_that_is_named_twice(tmp_path: Path) -> None:
    """``rd.luks.uuid`` may select a disk that ``rd.luks.name`` has named: it is one disk."""
    words = (f"rd.luks.name={UUID}=cryptroot", f"rd.luks.uuid=luks-{UUID}")
    for order in (words, words[::-1]):
        (disk,) = in_image(tmp_path, order)
        assert disk.name == "cryptroot"


def test_two_disks(tmp_path: Path) -> None:
    """Another UUID is another disk, whose name is made of it."""
    words = (f"rd.luks.name={UUID}=cryptroot", f"rd.luks.uuid={OTHER}")
    assert [disk.name for disk in in_image(tmp_path, words)] == ["cryptroot", f"luks-{OTHER}"]
