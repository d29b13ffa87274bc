# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real boot loaders: systemd's tools in a change root, and systemd-boot itself in a VM with EFI."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.debian import loader_tree, why_no_debian

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Where Debian's package ovmf has EFI firmware for QEMU.
_FIRMWARE = Path("/usr/share/OVMF")
_CODE, _VARIABLES = _FIRMWARE / "OVMF_CODE_4M.fd", _FIRMWARE / "OVMF_VARS_4M.fd"
#: Arguments: the tree, a folder with roots of machines, and a script that runs for each of them.
#: The partition and the EFI variables of a root are those of the system while the script runs; the
#: folder "out" is /out.
_EACH = """
mount -t tmpfs -o mode=755,size=80% tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --rbind /dev dev
mkdir -p efi out
for root in "$2"/*; do
    mkdir -p "$root/efi" "$root/out" "$root/sys"
    mount -t tmpfs tmpfs efi
    cp -a "$root/efi/." efi/
    mount --bind "$root/sys" sys
    mount --bind "$root/out" out
    SYSTEMD_RELAX_ESP_CHECKS=1 SYSTEMD_ESP_PATH=/efi chroot . sh -euc "$3"
    rm -rf "$root/efi"
    cp -a efi "$root/"
    umount out sys efi
done
"""
_COMMAND_LINE = re.compile(rb"Command line: ([^\r\n]*)[\r\n]")
_SECONDS = 240.0  # for a boot up to the kernel's first lines, on a busy machine


def in_each(suite: str, roots: Path, script: str) -> None:
    """Run a shell script in a release's system for each machine below a folder.

    The machine's folder "efi" is its EFI system partition, "sys" its /sys, "out" is /out.
    """
    isolate = ("unshare", "--mount", "--propagation", "private")
    command = (*isolate, "sh", "-euc", _EACH, "sh", str(loader_tree(suite)), str(roots), script)
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def why_no_loaders() -> str | None:
    """Say why systems with boot loaders cannot be made here; None when they can."""
    return why_no_debian()


def why_no_firmware() -> str | None:
    """Say why no VM with EFI can be started; None when one can."""
    if shutil.which("qemu-system-x86_64") is None:
        return "not installed: qemu-system-x86 (tools/test-setup does it)"
    return None if _CODE.exists() else "not installed: ovmf (tools/test-setup does it)"


class Firmware:
    """The EFI firmware of one machine: its variables last from boot to boot."""

    def __init__(self, folder: Path) -> None:
        self._variables = folder / "variables.fd"
        shutil.copyfile(_VARIABLES, self._variables)

    def boot(self, partition: Path) -> list[str]:
        """Boot from a folder as the EFI system partition; returns the kernel's command line.

        Ends the machine as soon as the kernel has said it.  The firmware and the boot loader write
        to the folder and to the variables.
        """
        with subprocess.Popen(
            self._command(partition), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as machine:  # fmt: skip
            try:
                return _first_words(machine)
            finally:
                machine.kill()

    def _command(self, partition: Path) -> Sequence[str]:
        code = f"if=pflash,format=raw,readonly=on,file={_CODE}"
        variables = f"if=pflash,format=raw,file={self._variables}"
        disk = f"file=fat:rw:{partition},format=raw,if=virtio"
        drives = [word for drive in (code, variables, disk) for word in ("-drive", drive)]
        words = ("-m", "768", "-nographic", "-net", "none", "-no-reboot", "-monitor", "none")
        return ("qemu-system-x86_64", *words, *drives)


def _first_words(machine: subprocess.Popen[bytes]) -> list[str]:
    assert machine.stdout is not None
    said = b""
    deadline = time.monotonic() + _SECONDS
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([machine.stdout], [], [], left)
        piece = os.read(machine.stdout.fileno(), 1 << 16) if ready else b""
        if not piece:
            break
        said += piece
        if match := _COMMAND_LINE.search(said):
            return match[1].decode().split()
    raise AssertionError(f"no kernel was started:\n{said[-3000:].decode(errors='replace')}")
