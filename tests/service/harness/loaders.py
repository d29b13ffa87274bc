# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real boot loaders: systemd's tools in a change root, and systemd-boot itself in a VM with EFI."""

from __future__ import annotations

import base64
import lzma
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


#: The first program of a system that prints its EFI variables, and ends.
_PRINTER = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox insmod /efivarfs.ko
/bin/busybox mount -t efivarfs efivarfs /sys/firmware/efi/efivars
cd /sys/firmware/efi/efivars
for file in Boot* Loader* Stub* Secure*; do
    [ ! -e $file ] || echo "VARIABLE $file $(/bin/busybox base64 -w 0 $file) END"
done
echo "NO MORE VARIABLES"
/bin/busybox poweroff -f
"""
_VARIABLE = re.compile(rb"VARIABLE (\S+) (\S+) END")
_NO_MORE = re.compile(rb"NO MORE (VARIABLES)")


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


class Kernel:
    """Debian's kernel for clouds, and a system that prints its EFI variables."""

    def __init__(self, folder: Path) -> None:
        archives = loader_tree("trixie") / "var/cache/apt/archives"
        package = next(archives.glob("linux-image-[0-9]*.deb"))
        unpack = f"dpkg-deb --fsys-tarfile {package} | tar --extract --wildcards"
        names = "'*/boot/vmlinuz-*' '*/efivarfs.ko.xz'"
        folder.mkdir()
        subprocess.run(["sh", "-c", f"{unpack} {names}"], check=True, cwd=folder)
        self.image = next(folder.glob("boot/vmlinuz-*")).read_bytes()
        self._module = next(folder.rglob("efivarfs.ko.xz"))
        self._folder = folder

    def printer(self) -> bytes:
        """An initial RAM disk that prints the EFI variables."""
        tree = self._folder / "tree"
        busybox = shutil.which("busybox")
        assert busybox is not None
        listed = subprocess.run(["ldd", busybox], check=False, capture_output=True, text=True)
        for file in (busybox, *re.findall(r"/\S+", listed.stdout)):
            target = tree / ("bin/busybox" if file == busybox else file.lstrip("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        for name in ("dev", "proc", "sys"):
            (tree / name).mkdir()
        (tree / "efivarfs.ko").write_bytes(lzma.decompress(self._module.read_bytes()))
        (tree / "init").write_text(_PRINTER, encoding="ascii")
        (tree / "init").chmod(0o755)
        pack = "find . | cpio --create --format=newc --quiet"
        return subprocess.run(["sh", "-c", pack], cwd=tree, check=True, capture_output=True).stdout


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
        _said, match = self._run(partition, _COMMAND_LINE)
        return match[1].decode().split()

    def variables(self, partition: Path, folder: Path) -> None:
        """Boot a system that prints its EFI variables, and write them into a folder."""
        said, _match = self._run(partition, _NO_MORE)
        folder.mkdir(parents=True)
        for name, value in _VARIABLE.findall(said):
            (folder / name.decode()).write_bytes(base64.b64decode(value))

    def _run(self, partition: Path, until: re.Pattern[bytes]) -> tuple[bytes, re.Match[bytes]]:
        with subprocess.Popen(
            self._command(partition), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as machine:  # fmt: skip
            try:
                return _wait(machine, until)
            finally:
                machine.kill()

    def _command(self, partition: Path) -> Sequence[str]:
        code = f"if=pflash,format=raw,readonly=on,file={_CODE}"
        variables = f"if=pflash,format=raw,file={self._variables}"
        disk = f"file=fat:rw:{partition},format=raw,if=virtio"
        drives = [word for drive in (code, variables, disk) for word in ("-drive", drive)]
        words = ("-m", "768", "-nographic", "-net", "none", "-no-reboot", "-monitor", "none")
        return ("qemu-system-x86_64", *words, *drives)


def _wait(
    machine: subprocess.Popen[bytes], until: re.Pattern[bytes]
) -> tuple[bytes, re.Match[bytes]]:
    """The output up to a pattern."""
    assert machine.stdout is not None
    said = b""
    deadline = time.monotonic() + _SECONDS
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([machine.stdout], [], [], left)
        piece = os.read(machine.stdout.fileno(), 1 << 16) if ready else b""
        if not piece:
            break
        said += piece
        if match := until.search(said):
            return said, match
    raise AssertionError(f"no kernel was started:\n{said[-3000:].decode(errors='replace')}")
