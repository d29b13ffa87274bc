# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads EFI variables: what the firmware starts next, and what the boot loader keeps.

Sources: the kernel's Documentation/filesystems/efivarfs.rst (each file begins with 4 bytes of
attributes); the UEFI specification, "Boot Manager" and "Device Path Protocol"; the Boot Loader
Interface of systemd.
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

from mandos.errors import MandosError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER: Final = "sys/firmware/efi/efivars"
#: The vendors of variables: the firmware, and boot loaders.
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_ATTRIBUTES = 4
#: A load option's attributes, and the size of its device path; then come its title and the path.
_OPTION = struct.Struct("<IH")
_ACTIVE = 0x1
#: Bits for the category: options of others than that of boots, 0, start only when they are chosen.
_CATEGORY = 0x1F00
#: Each node of a device path: type, subtype, and size with these four bytes.
_NODE = struct.Struct("<BBH")
_HARD_DRIVE, _FILE = (4, 1), (4, 4)
#: A partition's GUID in the node of a hard drive: its place, and the type of signature "GUID".
_SIGNATURE, _SIGNATURE_TYPE, _IS_GUID = slice(24, 40), slice(41, 42), b"\x02"


class UnreadableVariableError(MandosError):
    """A variable exists, but cannot be read or is damaged."""


class BootOption(NamedTuple):
    """One program that the firmware can start.

    ``active`` says that it starts without being chosen.
    ``path`` is that of the program with slashes, below the partition whose GUID is ``partition``;
    both are empty if the option names no file, as for a network card or a whole disk.
    """

    number: int
    title: str
    active: bool
    path: str
    partition: str


class Variables:
    """The variables in a folder, which is that of efivarfs or has the same format."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def present(self) -> bool:
        """Whether there are any: not so without EFI, or where efivarfs is not mounted."""
        try:
            return any(self._folder.iterdir())
        except OSError:
            return False

    def loader_text(self, name: str) -> str:
        """A text of the boot loader; empty if it is not set.  Raises UnreadableVariableError."""
        data = self._bytes(name, _LOADER)
        return "" if data is None else _text(data, name)

    def secure_boot(self) -> bool:
        """Whether the firmware starts signed programs only.  Raises UnreadableVariableError."""
        return self._bytes("SecureBoot", _GLOBAL) == b"\x01"

    def current_option(self) -> int | None:
        """The number of the option that started the running system; None if it is unknown."""
        return next(iter(self._numbers("BootCurrent")), None)

    def next_options(self) -> Iterator[BootOption]:
        """The programs that the firmware tries at the next boot, in order.

        BootNext comes first, and counts once; then the active ones of BootOrder.  Raises
        UnreadableVariableError.
        """
        for number in (*self._numbers("BootNext"), *self._numbers("BootOrder")):
            option = self._option(number)
            if option is not None and option.active:
                yield option

    def _numbers(self, name: str) -> list[int]:
        data = self._bytes(name, _GLOBAL) or b""
        if len(data) % 2:
            raise UnreadableVariableError(f"the EFI variable {name} is damaged")
        return [number for (number,) in struct.iter_unpack("<H", data)]

    def _option(self, number: int) -> BootOption | None:
        name = f"Boot{number:04X}"
        data = self._bytes(name, _GLOBAL)
        if data is None:
            return None  # a firmware skips numbers without an option
        if len(data) < _OPTION.size:
            raise UnreadableVariableError(f"the EFI variable {name} is damaged")
        attributes, size = _OPTION.unpack_from(data)
        title, rest = _first_text(data[_OPTION.size :], name)
        if len(rest) < size:
            raise UnreadableVariableError(f"the EFI variable {name} is damaged")
        path, partition = _of_device_path(rest[:size], name)
        active = attributes & (_ACTIVE | _CATEGORY) == _ACTIVE
        return BootOption(number, title, active, path, partition)

    def _bytes(self, name: str, vendor: str) -> bytes | None:
        """The value of a variable; None if it is not set."""
        try:
            data = (self._folder / f"{name}-{vendor}").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableVariableError(
                f"the EFI variable {name} cannot be read: {error.strerror}"
            ) from error
        if len(data) < _ATTRIBUTES:
            raise UnreadableVariableError(f"the EFI variable {name} is damaged")
        return data[_ATTRIBUTES:]


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-16-le").partition("\0")[0]
    except UnicodeDecodeError as error:
        raise UnreadableVariableError(f"the EFI variable {name} is damaged") from error


def _first_text(data: bytes, name: str) -> tuple[str, bytes]:
    """The text up to its two zero bytes, and the bytes behind them."""
    for place in range(0, len(data) - 1, 2):
        if data[place : place + 2] == b"\0\0":
            return _text(data[:place], name), data[place + 2 :]
    raise UnreadableVariableError(f"the EFI variable {name} is damaged")


def _of_device_path(data: bytes, name: str) -> tuple[str, str]:
    """The file and the partition that a device path names; each empty if it names none."""
    path = partition = ""
    while len(data) >= _NODE.size:
        kind, subtype, size = _NODE.unpack_from(data)
        if size < _NODE.size or size > len(data):
            raise UnreadableVariableError(f"the EFI variable {name} is damaged")
        node, data = data[:size], data[size:]
        if (kind, subtype) == _FILE:
            path = _joined(path, _text(node[_NODE.size :], name))
        elif (kind, subtype) == _HARD_DRIVE and node[_SIGNATURE_TYPE] == _IS_GUID:
            partition = str(uuid.UUID(bytes_le=node[_SIGNATURE].ljust(16, b"\0")))
    return path, partition


def _joined(path: str, part: str) -> str:
    """Parts of a path may stand in several nodes; names are separated by backslashes."""
    return f"{path.rstrip('/')}/{part.strip(chr(92))}".replace("\\", "/")
