# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels in systemd-boot's menu, the next one first, and findings about the menu."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mandos.check.findings import Finding, Link, Verdict
from mandos.check.loader import kernel_release, unified_images
from mandos.check.loader.boot_entry import Boot, Boots
from mandos.check.loader.pe_sections import DamagedProgramError
from mandos.check.loader.systemd_boot import Menu, NoEntryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mandos.check.loader.boot_menu import MenuEntry
    from mandos.check.loader.boot_partitions import BootPartitions

_SETTINGS = "loader/loader.conf"
#: Characters of a release; it becomes the name of a folder.
_NO_RELEASE = re.compile(r"[^\w.+~-]")
_PREFIX = "vmlinuz-"
_LONGEST = 128


def boots(menu: Menu, loader: str) -> Boots:
    """The kernels of a menu of this boot loader; None is next where it starts nothing."""
    chosen = menu.chosen
    first = boot_of(chosen)
    others = list(_others(menu, first))
    findings = list(_of_menu(menu))
    text = f"{loader}: {chosen.title}, with the kernel {first.name}"
    problem = chosen.problem or _missing(chosen)
    if problem:
        broken = Finding(
            Link.BOOT_LOADER, Verdict.BROKEN, f"{text}: {problem}",
            meaning="the boot loader stops with an error",
            cure=f"run {_made_anew(first.name)}",
        )  # fmt: skip
        return Boots(None, others, [*findings, broken])
    ok = Finding(Link.BOOT_LOADER, Verdict.OK, text)
    return Boots(first, others, [ok, *findings])


def started_by_firmware(partitions: BootPartitions, program: Path) -> Boots:
    """The boot of a unified kernel image that the firmware starts without a boot loader."""
    found = unified_images.read_folder(partitions.esp)
    entries = [entry for entry in found.entries if not _is_same(entry.kernel, program)]
    try:
        image = unified_images.read(program)
        chosen = unified_images.entry_of(partitions.esp, image) if image is not None else None
    except DamagedProgramError as error:
        return no_entry(NoEntryError("the firmware starts a damaged image", [str(error)]))
    if chosen is None:
        return no_entry(NoEntryError(f"{program} is no unified kernel image", []))
    return boots(Menu(chosen, [chosen, *entries]), "EFI firmware")


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def no_entry(error: NoEntryError) -> Boots:
    """The finding about a menu that starts no Linux."""
    why = "".join(f"; {problem}" for problem in error.problems)
    finding = Finding(
        Link.BOOT_LOADER, Verdict.BROKEN, f"{error}{why}",
        meaning="the machine stops in the boot loader's menu, or starts another system",
        cure="run kernel-install add with the version of a kernel and its file in /boot",
    )  # fmt: skip
    return Boots(None, [], [finding])


def _missing(entry: MenuEntry) -> str:
    missing = [path for path in entry.images if not path.is_file()]
    return f"{entry.file} names {missing[0]}, which does not exist" if missing else ""


def boot_of(entry: MenuEntry) -> Boot:
    """The kernel of one entry."""
    name = _release(entry)
    made_anew = _made_anew(name)
    unified = entry.file == entry.kernel
    of_file = f"in {entry.file}, and in /etc/kernel/cmdline for kernels to come"
    return Boot(
        name,
        entry.kernel,
        entry.images[-1] if entry.images else None,
        entry.words,
        earlier=entry.images[:-1],
        command_line=f"in /etc/kernel/cmdline, then run {made_anew}" if unified else of_file,
        renewal=f"run {made_anew}",
    )


def _made_anew(release: str) -> str:
    return f"kernel-install add {release} /boot/{_PREFIX}{release}"


def _others(menu: Menu, first: Boot) -> Iterator[Boot]:
    """All other entries; those with a kernel that came before are named after their files."""
    names = {first.name}
    for entry in menu.entries:
        if entry is not menu.chosen and not entry.problem:
            boot = boot_of(entry)
            yield boot._replace(entry=entry.identity) if boot.name in names else boot
            names.add(boot.name)


def _of_menu(menu: Menu) -> Iterator[Finding]:
    chosen = menu.chosen
    if menu.unmatched:
        yield Finding(
            Link.BOOT_LOADER, Verdict.WARNING,
            f"no entry of systemd-boot is named {menu.unmatched}, which should be the next one",
            meaning=f"{chosen.identity} is booted",
            cure=f"run bootctl set-default {chosen.identity}, or correct {_SETTINGS}",
        )  # fmt: skip
    if chosen.bad():
        yield Finding(
            Link.BOOT_LOADER, Verdict.WARNING,
            f"{chosen.file} has no tries left: each boot of it has failed",
            meaning="systemd-boot starts it all the same, since it has no better entry",
            cure=f"if it boots well, rename the file to {chosen.identity}",
        )  # fmt: skip
    for problem in menu.hidden:
        yield Finding(
            Link.BOOT_LOADER, Verdict.WARNING, problem,
            meaning="systemd-boot hides this entry",
            cure="remove the file, or make it anew with kernel-install add",
        )  # fmt: skip
    for entry in menu.entries:
        if entry.problem and entry is not chosen:
            yield Finding(
                Link.BOOT_LOADER, Verdict.WARNING, entry.problem,
                meaning=f"if you boot {entry.identity}: the boot loader stops with an error",
                cure=f"run {_made_anew(_release(entry))}",
            )  # fmt: skip
    if menu.waits:
        yield Finding(
            Link.BOOT_LOADER, Verdict.BROKEN, "systemd-boot's menu waits for a key: menu-force",
            meaning="the machine waits in the menu",
            cure=f"remove timeout menu-force in {_SETTINGS}, or run bootctl set-timeout 5",
        )  # fmt: skip


def _release(entry: MenuEntry) -> str:
    """The version of the kernel, by its file, by the entry, or by the names of files."""
    try:
        release = _release_in_file(entry.kernel)
    except (OSError, DamagedProgramError):
        release = ""
    kernel = entry.kernel.name
    named = kernel.removeprefix(_PREFIX) if kernel.startswith(_PREFIX) else entry.identity
    return _NO_RELEASE.sub("_", release or entry.version or named)[:_LONGEST].strip(".") or "_"


def _release_in_file(kernel: Path) -> str:
    unified = unified_images.read(kernel) if unified_images.is_program(kernel) else None
    if unified is not None:
        return unified.release()
    with kernel.open("rb") as file:
        return kernel_release.of_image(file.read(kernel_release.HEAD))
