# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network that the next boot will use: its interfaces, their links, and their drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.boot.image.network_check import ip_interface
from mandos.check.findings import GRUB_COMMAND_LINE, Finding, Link, Verdict, renewal
from mandos.client.selection import MISSING_TIME, NONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CARDS = "sys/class/net"
_LOOPBACK = "lo"
#: Files of dracut's images, with systemd and without.
_DRACUT = ("usr/lib/dracut", "usr/lib/initrd-release", "etc/initrd-release", "dracut-state.sh")


def check(root: Path, tree: Path, interfaces: Sequence[str], name: str) -> Iterator[Finding]:
    """Look at the named interfaces, or at all if none is named.

    ``name`` is the version of the kernel, whose modules are in ``tree``.
    """
    folder = root / _CARDS
    there = {path.name for path in folder.iterdir()} - {_LOOPBACK} if folder.is_dir() else set()
    wanted = [interface for interface in interfaces if interface != NONE]
    if missing := [interface for interface in wanted if interface not in there]:
        yield Finding(
            Link.NETWORK, Verdict.WARNING,
            f"this machine has no network interface {', '.join(missing)}", name,
            f"the client waits for it {MISSING_TIME:g} seconds, then uses the others",
            "correct --interface in /etc/mandos/plugin-runner.conf or DEVICE in"
            f" /etc/initramfs-tools/initramfs.conf, then {renewal(name)}",
        )  # fmt: skip
    used = sorted(there.intersection(wanted) or there)
    linked = [interface for interface in used if _has_link(folder / interface)]
    if not linked:
        yield Finding(
            Link.NETWORK, Verdict.BROKEN,
            f"no network interface has a carrier ({', '.join(used) or 'there is none'})", name,
            "no server can be reached", "plug the cable in, or switch the interface on",
        )  # fmt: skip
        return
    yield from _drivers(folder, tree, linked, name)


def check_command_line(
    root: Path, tree: Path, words: Sequence[str], name: str, *, needed: bool
) -> Iterator[Finding]:
    """Look at the interfaces that ``ip=`` names, by the grammar of the image's generator.

    ``needed`` says that no server is reached without the network that ``ip=`` sets up.
    """
    dracut = any((tree / file).exists() for file in _DRACUT)
    named = (ip_interface(word[3:], dracut=dracut) for word in words if word.startswith("ip="))
    there = root / _CARDS
    missing = [interface for interface in named if interface and not (there / interface).exists()]
    if not missing:
        return
    yield Finding(
        Link.NETWORK, Verdict.BROKEN if needed else Verdict.WARNING,
        f"ip= on the kernel command line names {', '.join(missing)}, which this machine does not"
        " have", name,
        "the network is not set up at boot, and no server is reached over it" if needed
        else f"the client waits for it {MISSING_TIME:g} seconds, then uses the others; with"
        " Debian's initramfs-tools the boot waits up to three minutes once the disks are unlocked",
        f"correct ip= {GRUB_COMMAND_LINE}",
    )  # fmt: skip


def _has_link(interface: Path) -> bool:
    """Whether an interface is up and has a carrier: the kernel's sysfs-class-net."""
    try:
        return (interface / "carrier").read_text(encoding="ascii").strip() == "1"
    except OSError:  # it is switched off, so the kernel does not know
        return False


def _drivers(folder: Path, tree: Path, linked: Sequence[str], name: str) -> Iterator[Finding]:
    """The drivers of cards with a link: one that the image has is enough."""
    needed = {interface: _driver(folder / interface) for interface in linked}
    without = {
        interface: driver
        for interface, driver in needed.items()
        if driver and not has_module(tree, name, driver)
    }
    shown = ", ".join(sorted(linked))
    if not without:
        yield Finding(Link.NETWORK, Verdict.OK, f"{shown} can be used at boot", name)
        return
    missing = ", ".join(f"{driver} of {interface}" for interface, driver in without.items())
    verdict = Verdict.BROKEN if len(without) == len(needed) else Verdict.WARNING
    yield Finding(
        Link.NETWORK, verdict, f"the image lacks the driver {missing}", name,
        "this network card does not work at boot",
        renewal(name),
    )  # fmt: skip


def _driver(interface: Path) -> str:
    """The kernel module of a network card; empty when it is built in, or for a virtual one."""
    module = interface / "device/driver/module"
    return module.resolve().name if module.exists() else ""


def has_module(tree: Path, version: str, driver: str) -> bool:
    """Whether the image has a module, or its kernel does not need it as a file."""
    names = {driver, driver.replace("_", "-"), driver.replace("-", "_")}
    for folder in (tree / "usr/lib/modules" / version, tree / "lib/modules" / version):
        if any(path.name.partition(".ko")[0] in names for path in folder.rglob("*.ko*")):
            return True
        builtin = folder / "modules.builtin"
        if builtin.is_file():
            lines = builtin.read_text(encoding="utf-8", errors="replace").splitlines()
            if any(line.rpartition("/")[2].removesuffix(".ko") in names for line in lines):
                return True
    return False
