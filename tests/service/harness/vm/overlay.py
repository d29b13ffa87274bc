# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few files of an initial RAM disk, changed as only an accident would.

The kernel unpacks a second archive over the first one: its documentation, "initramfs buffer
format" (Documentation/driver-api/early-userspace/buffer-format.rst).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.vm.images import Image


_REPACK = """
if [ -d main ]; then
    for part in early*; do
        if [ -d "$part" ]; then cp -a "$part/." main/; fi
    done
    cd main
fi
sh -euc "$2"
find . | cpio --create --format=newc --owner=0:0 --quiet | zstd -q -1 -f -o "$1"
"""


def unpack(image: Image, folder: Path) -> Path:
    """Unpack an initial RAM disk into a new folder; returns the tree that programs run in.

    An archive for the processor may stand before it, of which the kernel makes the same tree.
    """
    subprocess.run(["unmkinitramfs", image.folder / "initrd", folder], check=True)
    return folder / "main" if (folder / "main").is_dir() else folder


def without_python(image: Image, folder: Path) -> Path:
    """Make an initial RAM disk whose every interpreter is a link to nothing."""
    programs = folder / "overlay" / "usr" / "bin"
    programs.mkdir(parents=True)
    inside = subprocess.run(
        ["lsinitramfs", image.folder / "initrd"], capture_output=True, text=True, check=True
    ).stdout
    interpreters = re.findall(r"^usr/bin/(python[\d.]+)$", inside, re.MULTILINE)
    assert interpreters, "the image has no Python that could be lost"
    for name in interpreters:
        (programs / name).symlink_to("/nowhere")
    return _laid_over(image, folder)


def _laid_over(image: Image, folder: Path) -> Path:
    """Append what is in the folder ``overlay``."""
    tree = folder / "overlay"
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    archive = subprocess.run(
        ["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"],
        cwd=tree, input="\n".join(names).encode(), capture_output=True, check=True,
    ).stdout  # fmt: skip
    first = (image.folder / "initrd").read_bytes()
    made = folder / "initrd"
    made.write_bytes(first + bytes(-len(first) % 4) + archive)
    return made


def with_files(image: Image, folder: Path, files: Mapping[str, str]) -> Path:
    """Make an initial RAM disk in which these files have other contents."""
    for name, text in files.items():
        file = folder / "overlay" / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")
    return _laid_over(image, folder)


def repacked(initrd: Path, folder: Path, script: str) -> Path:
    """Make an initial RAM disk of one archive, whose tree a shell script has changed."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["unmkinitramfs", initrd, folder], check=True)
    made = folder.with_name(f"{folder.name}.img")
    # unmkinitramfs(8): several archives, each in a folder of its own, the last one in "main".
    subprocess.run(
        ["sh", "-euc", _REPACK, "sh", made, script], cwd=folder, check=True, capture_output=True
    )
    shutil.rmtree(folder)
    return made
