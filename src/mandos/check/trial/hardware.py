# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine's hardware: QEMU's program, and devices that the image has drivers for."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mandos import process
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable

_PROGRAM = "qemu-system-x86_64"
_ARCHITECTURE = "x86_64"
_KVM = Path("/dev/kvm")
_PROCESSOR = Path("/proc/cpuinfo")
_AVAILABLE = Path("/proc/meminfo")
#: Flags of processors that can run virtual machines: of Intel and of AMD.
_VIRTUALISATION = {"vmx", "svm"}
# From linux/kvm.h.
_GET_API_VERSION, _API_VERSION = 0xAE00, 12
#: For the process that opens /dev/kvm: bytes, seconds, and its answer.
_PROBE_MEMORY, _PROBE_TIME, _YES = 64 << 20, 10.0, b"+"
#: Memory that a system needs beside its image and the unlocking, and QEMU beside its guest, in MiB.
_BASE, _OVERHEAD = 640, 512
#: Processors; more would not make a boot faster.
_PROCESSORS = 2


class Device(NamedTuple):
    """An emulated device: kernel modules that it needs, and QEMU's name for it."""

    modules: tuple[str, ...]
    name: str


#: Disks and network cards, the fastest first.  ``{0}`` is the number of the disk.
DISKS = (
    Device(("virtio_pci", "virtio_blk"), "virtio-blk-pci"),
    Device(("nvme",), "nvme,serial=mandos{0}"),
)
CARDS = (Device(("virtio_pci", "virtio_net"), "virtio-net-pci,romfile=,csum=off,gso=off"),)


class Hardware(NamedTuple):
    """A virtual machine that can run an image; ``memory`` is in MiB."""

    disk: str
    card: str
    accelerated: bool
    memory: int
    processors: int


class UnfitError(MachineError):
    """This machine cannot be tried in a virtual machine here; the text says why."""


def choose(has_module: Callable[[str], bool], size: int, unlocking: int, user: int) -> Hardware:
    """The hardware for an image; raises UnfitError.

    ``has_module`` says whether the image has a kernel module, ``size`` is the size of its files in
    bytes, ``unlocking`` the memory that a key slot takes in KiB, ``user`` that of QEMU.
    """
    if platform.machine() != _ARCHITECTURE:
        raise UnfitError(f"virtual machines are tried on {_ARCHITECTURE} only, for now")
    if shutil.which(_PROGRAM) is None:
        raise UnfitError(f"{_PROGRAM} is not installed", "apt install qemu-system-x86")
    disk = _first(DISKS, has_module, "disk controller")
    card = _first(CARDS, has_module, "network card")
    memory = _BASE + (size >> 20) * 2 + (unlocking >> 10)
    available = _available_memory()
    if memory + _OVERHEAD > available:
        raise UnfitError(
            f"a virtual machine needs {memory + _OVERHEAD} MiB of memory, and {available} MiB are"
            " available"
        )
    return Hardware(disk, card, can_accelerate(user), memory, min(_PROCESSORS, os.cpu_count() or 1))


def _first(devices: tuple[Device, ...], has_module: Callable[[str], bool], kind: str) -> str:
    for device in devices:
        if all(map(has_module, device.modules)):
            return device.name
    known = ", ".join(device.modules[-1] for device in devices)
    raise UnfitError(
        f"the image has the driver of no {kind} that a virtual machine can have ({known})",
        "an image for any machine has them: MODULES=most in /etc/initramfs-tools/initramfs.conf,"
        ' or hostonly="no" for dracut',
    )


def can_accelerate(user: int) -> bool:
    """Whether this user (and group) can run virtual machines on the processor itself.

    /dev/kvm exists on some machines whose processor cannot, and QEMU then hangs instead of failing.
    """
    lines = _PROCESSOR.read_text(encoding="ascii", errors="replace").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    if not _VIRTUALISATION.intersection(flags.split()):
        return False
    try:
        answer = process.run_isolated(
            lambda: _open_kvm(user), memory=_PROBE_MEMORY, size=1, timeout=_PROBE_TIME
        )
    except MachineError:
        return False
    return answer == _YES


def kvm_groups() -> list[int]:
    """The group that may use /dev/kvm, unless that is root's, which may do more."""
    try:
        group = _KVM.stat().st_gid
    except OSError:
        return []
    return [group] if group else []


def _open_kvm(user: int) -> bytes:
    """Open /dev/kvm as QEMU will, and ask for its version: the kernel's virt/kvm/api.rst, 4.1."""
    os.setgroups(kvm_groups())
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    descriptor = os.open(_KVM, os.O_RDWR | os.O_CLOEXEC)
    return _YES if fcntl.ioctl(descriptor, _GET_API_VERSION) == _API_VERSION else b"-"


def _available_memory() -> int:
    """MiB that programs can take without swapping: proc_meminfo(5)."""
    for line in _AVAILABLE.read_text(encoding="ascii").splitlines():
        name, _colon, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) >> 10
    return 0
