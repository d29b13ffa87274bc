# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes EFI programs and EFI variables in their real formats, for tests."""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
VARIABLES = "sys/firmware/efi/efivars"
OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 13"\nID=debian\nVERSION_ID="13"\n'


def program(*sections: tuple[str, bytes]) -> bytes:
    """A PE file with these sections, each aligned as linkers do, and no code."""
    header, optional, alignment = 0x80, 0xF0, 0x200
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", header)
    head = head.ljust(header, b"\0") + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, optional, 0x22)
    head += b"\x0b\x02".ljust(68, b"\0") + b"\x0a\0".ljust(40, b"\0")  # PE32+, for EFI
    head += struct.pack("<I", 16).ljust(132, b"\0")  # its sixteen directories, all empty
    place = -(-(len(head) + 40 * len(sections)) // alignment) * alignment
    rows, bodies = b"", b""
    for number, (name, data) in enumerate(sections):
        size = -(-len(data) // alignment) * alignment
        sizes = (len(data), 0x1000 * (number + 1), size, place)
        rows += struct.pack("<8s4I12xI", name.encode(), *sizes, 0)
        bodies += data.ljust(size, b"\0")
        place += size
    return (head + rows).ljust(place - len(bodies), b"\0") + bodies


def image(
    *more: tuple[str, bytes],
    words: str = "root=/dev/x ro",
    release: str = "6.12.1-amd64",
    system: str = OS_RELEASE,
) -> bytes:
    """A unified kernel image whose initial RAM disk is no archive."""
    return program(
        (".text", b"stub"),
        (".osrel", system.encode()),
        (".cmdline", words.encode()),
        (".uname", release.encode()),
        (".linux", b"kernel"),
        (".initrd", b"no archive"),
        *more,
    )


def set_variable(root: Path, name: str, value: bytes, vendor: str = GLOBAL) -> None:
    """Set an EFI variable: the attributes "boot service, runtime, stored", then the value."""
    folder = root / VARIABLES
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-{vendor}").write_bytes(b"\x07\0\0\0" + value)


def set_text(root: Path, name: str, value: str) -> None:
    """Set a variable of the boot loader."""
    set_variable(root, name, f"{value}\0".encode("utf-16-le"), LOADER)


def set_numbers(root: Path, name: str, *numbers: int) -> None:
    """Set BootOrder, BootNext or BootCurrent."""
    set_variable(root, name, struct.pack(f"<{len(numbers)}H", *numbers))


def set_option(
    root: Path,
    number: int,
    path: str,
    *,
    active: bool = True,
    category: int = 0,
    partition: str = "",
) -> None:
    """Set a load option: a partition and a file on it; without a path it is a network card."""
    nodes = b""
    if partition:
        signature = uuid.UUID(partition).bytes_le
        nodes += struct.pack("<BBHIQQ16sBB", 4, 1, 42, 1, 2048, 1 << 20, signature, 2, 2)
    if path:
        text = f"{path}\0".encode("utf-16-le")
        nodes += struct.pack("<BBH", 4, 4, 4 + len(text)) + text
    else:
        nodes += struct.pack("<BBH32sB", 3, 11, 37, b"\x52\x54" * 16, 1)
    nodes += struct.pack("<BBH", 0x7F, 0xFF, 4)
    title = f"option {number}\0".encode("utf-16-le")
    data = struct.pack("<IH", active | category << 8, len(nodes)) + title + nodes + b"more data"
    set_variable(root, f"Boot{number:04X}", data)
