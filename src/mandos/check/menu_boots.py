# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels in systemd-boot's menu, the next one first, and findings about the menu."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mandos.check import kernel_release
from mandos.check.boot_entry import Boot, Boots
from mandos.check.findings import Finding, Link, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.check.boot_menu import MenuEntry
    from mandos.check.systemd_boot import Menu

_SETTINGS = "loader/loader.conf"
#: Characters of a release; it becomes the name of a folder.
_NO_RELEASE = re.compile(r"[^\w.+~-]")
_PREFIX = "vmlinuz-"


def boots(menu: Menu) -> Boots:
    """The kernels that the menu starts; None is next where it starts nothing."""
    chosen = menu.chosen
    first = boot_of(chosen)
    others = list(_others(menu, first))
    findings = list(_of_menu(menu))
    text = f"systemd-boot: {chosen.title}, with the kernel {first.name}"
    missing = [path for path in chosen.images if not path.is_file()]
    if missing:
        broken = Finding(
            Link.BOOT_LOADER, Verdict.BROKEN,
            f"{text}: {chosen.file} names {missing[0]}, which does not exist",
            meaning="the boot loader stops with an error",
            cure=f"run {_made_anew(first.name)}",
        )  # fmt: skip
        return Boots(None, others, [*findings, broken])
    ok = Finding(Link.BOOT_LOADER, Verdict.OK, text)
    return Boots(first, others, [ok, *findings])


def boot_of(entry: MenuEntry) -> Boot:
    """The kernel of one entry."""
    name = _release(entry)
    made_anew = _made_anew(name)
    return Boot(
        name,
        entry.kernel,
        entry.images[-1] if entry.images else None,
        entry.words,
        earlier=entry.images[:-1],
        command_line=f"in {entry.file}, and in /etc/kernel/cmdline for kernels to come",
        renewal=f"run {made_anew}",
    )


def _made_anew(release: str) -> str:
    return f"kernel-install add {release} /boot/{_PREFIX}{release}"


def _others(menu: Menu, first: Boot) -> Iterator[Boot]:
    """All other entries; those with a kernel that came before are named after their files."""
    names = {first.name}
    for entry in menu.entries:
        if entry is not menu.chosen:
            boot = boot_of(entry)._replace(words=None)
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
    for entry in menu.hidden:
        yield Finding(
            Link.BOOT_LOADER, Verdict.WARNING,
            f"{entry.file} names {entry.kernel}, which does not exist",
            meaning="systemd-boot hides this entry",
            cure=f"run {_made_anew(_release(entry))}, or remove the file",
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
        with entry.kernel.open("rb") as file:
            release = kernel_release.of_image(file.read(kernel_release.HEAD))
    except OSError:
        release = ""
    kernel = entry.kernel.name
    named = kernel.removeprefix(_PREFIX) if kernel.startswith(_PREFIX) else entry.identity
    return _NO_RELEASE.sub("_", release or entry.version or named)
