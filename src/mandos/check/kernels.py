# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels that can be booted, each with its initial RAM disk; the next one first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mandos.check import grub
from mandos.check.boot_entry import UnknownBootError
from mandos.check.findings import Finding, Link, Verdict
from mandos.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from mandos.check.boot_entry import BootEntry

_KERNEL = "vmlinuz-"
#: Names that initramfs-tools, and dracut on Debian and elsewhere, give to images.
_IMAGES = ("initrd.img-{}", "initramfs-{}.img")
_DIGITS = re.compile(r"(\d+)")


class Boot(NamedTuple):
    """A kernel that can be booted.

    ``image`` is None where no initial RAM disk belongs to it.  ``words`` is its kernel command
    line, None when it is unknown, as for kernels that are not booted next.
    """

    name: str
    kernel: Path
    image: Path | None
    words: tuple[str, ...] | None = None


class Boots(NamedTuple):
    """All kernels of a machine, and what was found about the boot loader."""

    next: Boot | None
    others: list[Boot]
    findings: list[Finding]

    def named(self, version: str) -> Boot:
        """The kernel of this version; raises UsageError."""
        known = [*([self.next] if self.next else []), *self.others]
        for boot in known:
            if boot.name == version:
                return boot
        names = ", ".join(boot.name for boot in known) or "none"
        raise UsageError(f"--kernel takes the version of an installed kernel, not {version!r}",
                         f"installed: {names}")  # fmt: skip


def boots(root: Path) -> Boots:
    """The kernel that the boot loader starts next, and the others in /boot, the newest first."""
    installed = _installed(root / "boot")
    try:
        entry = grub.next_boot(root)
    except UnknownBootError as error:
        return _assumed(installed, str(error))
    if entry is None:
        return _assumed(installed, "no boot loader was found whose configuration can be read")
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
    return Boots(chosen, others, [Finding(Link.BOOT_LOADER, Verdict.OK, text)])


def _assumed(installed: list[Boot], why: str) -> Boots:
    """Without the boot loader's word the newest kernel is the most probable one."""
    if not installed:
        finding = Finding(
            Link.BOOT_LOADER, Verdict.NOT_SURE, f"{why}, and /boot has no kernel",
            meaning="it is unknown what this machine boots",
        )  # fmt: skip
        return Boots(None, [], [finding])
    newest, *others = installed
    finding = Finding(
        Link.BOOT_LOADER, Verdict.NOT_SURE, why,
        meaning=f"the check goes on with the newest kernel, {newest.name}; another one, or another"
        " kernel command line, may be booted",
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
        images = [folder / name.format(version) for name in _IMAGES]
        image = next((path for path in images if path.exists()), None)
        found.append(Boot(version, kernel, image))
    return sorted(found, key=lambda boot: _sort_key(boot.name), reverse=True)


def _sort_key(version: str) -> list[tuple[int, str]]:
    """Numbers compare as numbers: 6.1.0-9 comes before 6.1.0-25."""
    parts = _DIGITS.split(version)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
