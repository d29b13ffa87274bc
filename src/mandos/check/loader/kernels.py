# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels that can be booted, each with its initial RAM disk; the next one first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mandos.check.findings import Finding, Link, Verdict
from mandos.check.loader import (
    boot_loader,
    boot_partitions,
    efi_variables,
    grub,
    menu_boots,
    systemd_boot,
)
from mandos.check.loader.boot_entry import Boot, Boots
from mandos.check.loader.boot_loader import Loader
from mandos.check.loader.efi_variables import Variables
from mandos.check.loader.systemd_boot import NoEntryError
from mandos.errors import MandosError

if TYPE_CHECKING:
    from pathlib import Path

    from mandos.check.loader.boot_entry import BootEntry

_KERNEL = "vmlinuz-"
#: Names that initramfs-tools, and dracut on Debian and elsewhere, give to images.
IMAGES = ("initrd.img-{}", "initramfs-{}.img")
_DIGITS = re.compile(r"(\d+)")


def boots(root: Path) -> Boots:
    """The kernel that the boot loader starts next, and the others, the newest first."""
    installed = _installed(root / "boot")
    variables = Variables(root / efi_variables.FOLDER)
    try:
        partitions = boot_partitions.find(root)
        loader = boot_loader.next_loader(root, variables, partitions)
        if loader is not None and loader.program is not None and partitions is not None:
            return menu_boots.started_by_firmware(partitions, loader.program)
        if loader is not None and loader.kind is Loader.SYSTEMD_BOOT and partitions is not None:
            return menu_boots.boots(systemd_boot.read(partitions, variables), "systemd-boot")
        entry = grub.next_boot(root)
    except NoEntryError as error:
        return menu_boots.no_entry(error)
    except MandosError as error:
        return _assumed(installed, str(error), *([error.hint] if error.hint else []))
    if entry is None:
        return _assumed(installed, "no boot loader was found whose configuration can be read")
    return _of_grub(root, entry, installed)


def _of_grub(root: Path, entry: BootEntry, installed: list[Boot]) -> Boots:
    chosen = _from_entry(root, entry)
    others = [boot for boot in installed if boot.kernel != chosen.kernel]
    text = f"{entry.title}, with the kernel {chosen.name}"
    if not chosen.kernel.exists():
        finding = Finding(
            Link.BOOT_LOADER, Verdict.BROKEN, f"{text}: {entry.kernel} does not exist",
            meaning="the boot loader stops with an error",
            cure="run update-grub",
        )  # fmt: skip
        return Boots(None, others, [finding])
    found = [Finding(Link.BOOT_LOADER, Verdict.OK, text)]
    if entry.obstacle:
        found = [Finding(
            Link.BOOT_LOADER, Verdict.BROKEN, entry.obstacle, chosen.name,
            "the machine waits for a person before the kernel starts", entry.cure,
        )]  # fmt: skip
    return Boots(chosen, others, found)


def _assumed(
    installed: list[Boot], why: str, cure: str = "compare its next entry with that kernel by hand"
) -> Boots:
    """Without the boot loader's word the newest kernel is the most probable one."""
    if not installed:
        finding = Finding(
            Link.BOOT_LOADER, Verdict.NOT_SURE, f"{why}, and /boot has no kernel",
            meaning="it is unknown what this machine boots", cure=cure,
        )  # fmt: skip
        return Boots(None, [], [finding])
    newest, *others = installed
    finding = Finding(
        Link.BOOT_LOADER, Verdict.NOT_SURE, why,
        meaning=f"the check goes on with the newest kernel, {newest.name}; another one, or another"
        " kernel command line, may be booted",
        cure=cure,
    )  # fmt: skip
    return Boots(newest, others, [finding])


def _from_entry(root: Path, entry: BootEntry) -> Boot:
    kernel = _place(root, entry.kernel)
    images = [_place(root, image) for image in entry.images]
    name = kernel.name.removeprefix(_KERNEL)
    return Boot(name, kernel, images[-1] if images else None, entry.words)


def _place(root: Path, path: str) -> Path:
    """A boot loader's path on this machine, where /boot may be a file system of its own."""
    inside = path.lstrip("/")
    places = [root / inside, root / "boot" / inside]
    subvolume, slash, rest = inside.partition("/")
    if slash and subvolume.startswith("@"):  # the usual names of btrfs subvolumes
        places += [root / rest, root / "boot" / rest]
    return next((place for place in places if place.exists()), places[0])


def _installed(folder: Path) -> list[Boot]:
    found = []
    for kernel in folder.glob(f"{_KERNEL}*"):
        version = kernel.name.removeprefix(_KERNEL)
        images = [folder / name.format(version) for name in IMAGES]
        image = next((path for path in images if path.exists()), None)
        found.append(Boot(version, kernel, image))
    return sorted(found, key=lambda boot: _sort_key(boot.name), reverse=True)


def _sort_key(version: str) -> list[tuple[int, str]]:
    """Numbers compare as numbers: 6.1.0-9 comes before 6.1.0-25."""
    parts = _DIGITS.split(version)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
