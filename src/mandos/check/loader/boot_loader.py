# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the boot loader that starts next: by the firmware's variables, or as the only one there is.

Sources: the UEFI specification, "Boot Manager"; systemd's Boot Loader Interface; bootctl(1).
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from mandos.check.loader import grub, loader_entries, pe_sections, unified_images
from mandos.check.loader.boot_entry import UnknownBootError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mandos.check.loader.boot_partitions import BootPartitions
    from mandos.check.loader.efi_variables import BootOption, Variables

_FIRMWARE = "sys/firmware"
#: The section by which systemd's programs are known, and its beginning in the boot loader.
_SYSTEMD, _SYSTEMD_BOOT = ".sdmagic", b"#### LoaderInfo: systemd-boot"
#: A section that grub-mkimage(1) makes.
_GRUB_MODULES = "mods"
#: shim starts the program with this name in its own folder.
_SECOND = "grub{}"
_SHIM = ("shim", "boot")
#: Folders of the EFI system partition that GRUB does not use.
_NOT_GRUB = ("/systemd/", "/efi/linux/")
#: The folder and the names of programs on disks without an entry: UEFI specification, 3.5.1.1.
_REMOVABLE, _REMOVABLE_NAME = "EFI/BOOT", re.compile(r"boot(x64|ia32|aa64|arm|riscv64)\.efi")
#: How a running loader names itself.
_NAMES = {"systemd-boot": "SYSTEMD_BOOT", "GRUB": "GRUB"}


class Loader(Enum):
    """A boot loader whose configuration can be read."""

    GRUB = auto()
    SYSTEMD_BOOT = auto()
    #: The firmware starts a unified kernel image by itself.
    UNIFIED_IMAGE = auto()


class NextLoader(NamedTuple):
    """A boot loader, or a unified kernel image with its place."""

    kind: Loader
    program: Path | None = None


def next_loader(
    root: Path, variables: Variables, partitions: BootPartitions | None
) -> NextLoader | None:
    """The boot loader; None if there is none that is known.

    Raises UnknownBootError, UnreadableVariableError and DamagedProgramError.
    """
    if variables.present():
        option = _next_option(variables, partitions)
        found = _of_option(option, partitions) if option is not None else None
        found = found or _of_running(option, variables, partitions)
        if found is not None:
            return found
    return _only_one(root, partitions)


def _next_option(variables: Variables, partitions: BootPartitions | None) -> BootOption | None:
    """The first program of the firmware's list that is there, or that started this system.

    Raises UnknownBootError if something else is tried before it.
    """
    passed: list[str] = []
    current = variables.current_option()
    for option in variables.next_options():
        there = _is_there(option, partitions)
        if option.number == current and there is not False:
            return option  # those before it failed at the last boot, too
        if there:
            return _first_of(passed, option)
        if there is None:
            passed.append(repr(option.title))
    return _first_of(passed, None)


def _is_there(option: BootOption, partitions: BootPartitions | None) -> bool | None:
    """Whether its program exists; None if it may come from the network or from another disk."""
    if not option.path or _is_elsewhere(option, partitions):
        return None
    return partitions is None or _program(option, partitions).is_file()


def _first_of(passed: Sequence[str], option: BootOption | None) -> BootOption | None:
    if passed:
        raise UnknownBootError(
            f"the firmware tries {', '.join(passed)} first, which is the network or another disk"
        )
    return option


def _is_elsewhere(option: BootOption, partitions: BootPartitions | None) -> bool:
    known = partitions.identity if partitions is not None else ""
    return bool(known and option.partition and known != option.partition)


def _program(option: BootOption, partitions: BootPartitions) -> Path:
    return partitions.esp / option.path.lstrip("/")


def _of_option(option: BootOption, partitions: BootPartitions | None) -> NextLoader | None:
    """The loader that an option starts, by its program; None if that is unknown."""
    if partitions is None:
        if any(folder in option.path.lower() for folder in _NOT_GRUB):
            raise UnknownBootError(
                f"the firmware starts {option.path}, and no EFI system partition is mounted"
            )
        return None
    if _is_elsewhere(option, partitions):
        return None
    program = _program(option, partitions) if option.path else _fallback(partitions)
    if program is None:
        return None
    found = _of_program(program)
    if found is None and program.name.lower().startswith(_SHIM):
        for second in program.parent.iterdir():
            if second.name.lower() == _second_stage(program):
                return _of_program(second)
    return found


def _fallback(partitions: BootPartitions) -> Path | None:
    """The program that the firmware starts from a disk without an entry of its own."""
    folder = partitions.esp / _REMOVABLE
    files = list(folder.iterdir()) if folder.is_dir() else []
    found = [file for file in files if _REMOVABLE_NAME.fullmatch(file.name.lower())]
    return found[0] if len(found) == 1 else None


def _second_stage(shim: Path) -> str:
    """The name of the program that shim starts: grubx64.efi beside shimx64.efi or BOOTX64.EFI."""
    name = shim.name.lower()
    return _SECOND.format(name[len(next(word for word in _SHIM if name.startswith(word))) :])


def _of_program(program: Path) -> NextLoader | None:
    sections = {section.name: section for section in pe_sections.sections(program)}
    if ".linux" in sections:
        return NextLoader(Loader.UNIFIED_IMAGE, program)
    if _GRUB_MODULES in sections:
        return NextLoader(Loader.GRUB)
    magic = sections.get(_SYSTEMD)
    if magic is not None and pe_sections.contents(program, magic).startswith(_SYSTEMD_BOOT):
        return NextLoader(Loader.SYSTEMD_BOOT)
    return None


def _of_running(
    option: BootOption | None, variables: Variables, partitions: BootPartitions | None
) -> NextLoader | None:
    """The loader that started the running system, if the firmware does not start another one."""
    if option is not None and variables.current_option() != option.number:
        return None
    name = variables.loader_text("LoaderInfo")
    for beginning, kind in _NAMES.items():
        if name.startswith(beginning):
            return NextLoader(Loader[kind])
    image = variables.loader_text("LoaderImageIdentifier").replace("\\", "/").lstrip("/")
    if variables.loader_text("StubInfo") and not name and image and partitions is not None:
        return NextLoader(Loader.UNIFIED_IMAGE, partitions.esp / image)
    return None


def _only_one(root: Path, partitions: BootPartitions | None) -> NextLoader | None:
    """The only boot loader that is installed; a machine without EFI cannot start systemd-boot."""
    firmware = root / _FIRMWARE
    without_efi = firmware.is_dir() and not (firmware / "efi").exists()
    with_grub = (root / grub.CONFIGURATION).exists()
    with_menu = partitions is not None and _has_menu(partitions)
    if with_grub and with_menu and not without_efi:
        raise UnknownBootError(
            "GRUB and systemd-boot are both installed, and no EFI variable says which one starts",
            "remove the one that is not used",
        )
    if with_grub:
        return NextLoader(Loader.GRUB)
    if with_menu and without_efi:
        raise UnknownBootError(
            "systemd-boot is installed, and this machine was started without EFI"
        )
    return NextLoader(Loader.SYSTEMD_BOOT) if with_menu else None


def _has_menu(partitions: BootPartitions) -> bool:
    folders = (loader_entries.FOLDER, unified_images.FOLDER)
    return any((place / folder).is_dir() for place in partitions.all() for folder in folders)
