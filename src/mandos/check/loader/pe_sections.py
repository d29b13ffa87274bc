# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the section table of a PE file: the format of EFI programs and unified kernel images.

Source: the PE Format page of Microsoft, "COFF File Header" and "Section Table".  A file may be
damaged, so each place is compared with the file's size before anything is read there.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mandos.errors import MandosError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

MAGIC: Final = b"MZ"
_SIGNATURE = b"PE\0\0"
_PLACE_OF_HEADER = 0x3C
_WORD = struct.Struct("<I")
#: Number of sections, and size of the optional header that stands before their table.
_HEADER = struct.Struct("<2xH12xH2x")
#: The kind of optional header, the place in it of the certificates' directory, and its size.
_PE32_PLUS: Final = b"\x0b\x02"
_CERTIFICATES, _CERTIFICATES_PE32, _DIRECTORY = 144, 128, 8
#: Name, size in memory, size and place in the file.
_SECTION = struct.Struct("<8sI4xII16x")
#: The most sections that a loader of PE files has to accept.
_SECTION_LIMIT = 96


class DamagedProgramError(MandosError):
    """The file cannot be read, or is no whole PE file."""


class Section(NamedTuple):
    """One section: where its contents are in the file, and how many bytes they have."""

    name: str
    place: int
    size: int


def sections(path: Path) -> list[Section]:
    """The sections in the order of the table; raises DamagedProgramError."""
    try:
        with path.open("rb") as file:
            return _table(file)
    except OSError as error:
        raise DamagedProgramError(f"{path} cannot be read: {error.strerror}") from error
    except DamagedProgramError as error:
        raise DamagedProgramError(f"{path} is damaged: {error}") from None


def contents(path: Path, section: Section) -> bytes:
    """The bytes of a section; raises DamagedProgramError."""
    try:
        with path.open("rb") as file:
            return _read(file, section.place, section.size, f"the section {section.name}")
    except OSError as error:
        raise DamagedProgramError(f"{path} cannot be read: {error.strerror}") from error
    except DamagedProgramError as error:
        raise DamagedProgramError(f"{path} is damaged: {error}") from None


def is_signed(path: Path) -> bool:
    """Whether an EFI program has a certificate, good or bad; raises DamagedProgramError.

    Source: the PE Format page, "Optional Header Data Directories", and "The Attribute Certificate
    Table".
    """
    try:
        with path.open("rb") as file:
            (header,) = _WORD.unpack(_read(file, _PLACE_OF_HEADER, _WORD.size, "the header"))
            optional = header + len(_SIGNATURE) + _HEADER.size
            kind = _read(file, optional, len(_PE32_PLUS), "the optional header")
            place = optional + (_CERTIFICATES if kind == _PE32_PLUS else _CERTIFICATES_PE32)
            return any(_read(file, place, _DIRECTORY, "the table of directories"))
    except OSError as error:
        raise DamagedProgramError(f"{path} cannot be read: {error.strerror}") from error
    except DamagedProgramError as error:
        raise DamagedProgramError(f"{path} is damaged: {error}") from None


def _table(file: BinaryIO) -> list[Section]:
    if file.read(len(MAGIC)) != MAGIC:
        raise DamagedProgramError("it does not begin as an EFI program")
    (header,) = _WORD.unpack(_read(file, _PLACE_OF_HEADER, _WORD.size, "the header"))
    if _read(file, header, len(_SIGNATURE), "the PE header") != _SIGNATURE:
        raise DamagedProgramError("it has no PE header")
    place = header + len(_SIGNATURE)
    number, optional = _HEADER.unpack(_read(file, place, _HEADER.size, "the PE header"))
    if number > _SECTION_LIMIT:
        raise DamagedProgramError(f"{number} sections, more than {_SECTION_LIMIT}")
    place += _HEADER.size + optional
    rows = _read(file, place, number * _SECTION.size, "the section table")
    found = []
    end = file.seek(0, 2)
    for raw, memory, size, start in _SECTION.iter_unpack(rows):
        name = raw.rstrip(b"\0").decode("ascii", errors="replace")
        length = min(memory, size)  # the rest of either is padding
        if start + length > end:
            raise DamagedProgramError(f"the section {name} goes beyond the end of the file")
        found.append(Section(name, start, length))
    return found


def _read(file: BinaryIO, place: int, size: int, part: str) -> bytes:
    file.seek(place)
    data = file.read(size)
    if len(data) != size:
        raise DamagedProgramError(f"{part} goes beyond the end of the file")
    return data
