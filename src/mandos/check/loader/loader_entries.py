# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads entries of type #1 of the Boot Loader Specification (UAPI.1): ``loader/entries/*.conf``."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from mandos.check.loader.boot_menu import MenuEntry, kernel_words, without_counters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "loader/entries"
_SUFFIX = ".conf"
#: Longer files are no entries, in bytes.
_LIMIT = 1 << 20
#: The words of the UEFI specification for the machines of uname(2).
_ARCHITECTURES = {
    "x86_64": "x64",
    "i686": "ia32",
    "aarch64": "aa64",
    "armv7l": "arm",
    "riscv64": "riscv64",
    "loongarch64": "loongarch64",
}
#: Keys for the program to start; the first one that an entry has counts.
_PROGRAMS = ("linux", "efi", "uki")


def read_folder(partition: Path) -> Iterator[MenuEntry]:
    """The entries of a partition, as its folder lists them.

    Entries for another architecture and such as name no program are left out: boot loaders hide
    them.  Raises OSError if a file cannot be read.
    """
    folder = partition / FOLDER
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.name.lower().endswith(_SUFFIX) and not file.name.startswith("."):
            with file.open("rb") as stream:
                text = stream.read(_LIMIT).decode("utf-8", errors="surrogateescape")
            entry = _entry(partition, file, pairs(text))
            if entry is not None:
                yield entry


def pairs(text: str) -> list[tuple[str, str]]:
    """Keys and values of a file of this format, which loader.conf(5) has as well."""
    lines = (line.strip() for line in text.splitlines())
    split = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return [(words[0], words[1]) for words in split if len(words) > 1]


def _entry(partition: Path, file: Path, rows: list[tuple[str, str]]) -> MenuEntry | None:
    single = dict(rows)
    program = next((single[key] for key in _PROGRAMS if key in single), None)
    if program is None or not _is_for_us(single.get("architecture", "")):
        return None
    identity, tries_left = without_counters(file.name)
    images = [_inside(partition, value) for key, value in rows if key == "initrd"]
    return MenuEntry(
        identity=identity,
        file=file,
        title=single.get("title", identity),
        kernel=_inside(partition, program),
        images=tuple(images),
        words=kernel_words(" ".join(value for key, value in rows if key == "options")),
        version=single.get("version", ""),
        sort_key=single.get("sort-key", ""),
        machine_id=single.get("machine-id", ""),
        tries_left=tries_left,
    )


def _is_for_us(architecture: str) -> bool:
    ours = _ARCHITECTURES.get(platform.machine())
    return not architecture or ours is None or architecture.lower() == ours


def _inside(partition: Path, path: str) -> Path:
    """A path of an entry; all are relative to the partition, with or without a slash before."""
    return partition / path.replace("\\", "/").lstrip("/")
