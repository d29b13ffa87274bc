# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive over an image is one that the check's own reader, and cpio(1), unpack."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from mandos.check import archive
from mandos.check.trial.overlay import card_name, laid_over

if TYPE_CHECKING:
    from pathlib import Path

FILE = "etc/systemd/network/00-mandos-check.link"


def test_card_gets_its_name(tmp_path: Path) -> None:
    """The file matches the card by its address."""
    image = tmp_path / "image"
    image.write_bytes(laid_over(card_name("02:00:00:00:00:01", "other"), b""))
    image.write_bytes(laid_over(image.read_bytes() + b"\0", card_name("02:00:00:00:00:02", "eno1")))
    tree = tmp_path / "tree"
    tree.mkdir()
    archive.unpack(image, tree)
    text = (tree / FILE).read_text(encoding="ascii")
    assert text == "[Match]\nMACAddress=02:00:00:00:00:02\n\n[Link]\nName=eno1\n"


@pytest.mark.skipif(shutil.which("cpio") is None, reason="not installed: cpio")
def test_other_program_reads_it() -> None:
    """The format is not only ours."""
    done = subprocess.run(
        ["cpio", "--list", "--quiet"], input=card_name("02:00:00:00:00:02", "eno1"),
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.decode().split()[-1] == FILE
