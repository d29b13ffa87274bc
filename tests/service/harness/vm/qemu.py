# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How QEMU is started: one emulated processor, a serial console, disks, a network card."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: /dev/kvm may be there without a processor that can use it, so nothing but emulation is tried.
_MACHINE = (
    *("qemu-system-x86_64", "-nodefaults", "-M", "pc", "-cpu", "max"),
    *("-accel", "tcg,thread=multi,tb-size=512", "-smp", "1", "-m", "1024"),
    *("-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"),
    *("-object", "rng-random,id=rng,filename=/dev/urandom"),
    *("-device", "virtio-rng-pci,rng=rng"),
)
#: Checksums are the guest's work: a program that relays frames would find them missing.
_WHOLE_FRAMES = "csum=off,gso=off"

#: Where the network card's cable leads: to a hub with nothing else, or to a tap device.
UNPLUGGED = "hubport,hubid=0"


def command(
    kernel: Path, initrd: Path, words: str, drives: Iterable[str], cable: str = UNPLUGGED
) -> list[str]:
    """Return QEMU's command line; ``drives`` are of ``forgetful`` or ``lasting``."""
    system = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", words)
    return [*from_disk(drives, cable), *system]


def from_disk(drives: Iterable[str], cable: str = UNPLUGGED) -> list[str]:
    """Return QEMU's command line for a machine that boots from the first of its drives."""
    card = (
        *("-netdev", f"{cable},id=net"),
        *("-device", f"virtio-net-pci,netdev=net,romfile=,{_WHOLE_FRAMES}"),
    )
    disks = itertools.chain.from_iterable(("-drive", drive) for drive in drives)
    return [*_MACHINE, *disks, *card]


def plugged_into(tap: str) -> str:
    """A cable to a tap device."""
    return f"tap,ifname={tap},script=no,downscript=no"


def forgetful(path: Path) -> str:
    """A disk that forgets what is written, so that all machines can have the same."""
    return f"{lasting(path)},snapshot=on"


def lasting(path: Path) -> str:
    """A disk that keeps what is written to it."""
    return f"if=virtio,format=raw,cache=unsafe,file={path}"
