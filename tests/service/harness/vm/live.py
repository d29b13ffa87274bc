# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that is running, as mandos-check finds it: its boot files, keys and encrypted disks.

It is a host, not a virtual machine, so that the virtual machine of ``mandos-check --boot`` is not
emulated inside of another one.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from harness.initramfs import ImageMaker
from harness.vm.boot import command_line
from harness.vm.images import version_of
from harness.vm.layouts import DATA_UUID, ROOT_UUID
from harness.vm.vlan import allow_taps

if TYPE_CHECKING:
    from pathlib import Path

    from harness.vm.boot import Site
    from harness.vm.images import Disks, Image

CHECK = "/usr/sbin/mandos-check"
UUIDS = {"root.img": ROOT_UUID, "data.img": DATA_UUID}
GRUB = """\
set timeout=5
menuentry 'Debian GNU/Linux' {
\tlinux\t/boot/vmlinuz-VERSION WORDS
\tinitrd\t/boot/initrd.img-VERSION
}
"""


class LiveMachine(ImageMaker):
    """A running machine that would boot this image from these disks; it is plugged in."""

    def __init__(self, site: Site, image: Image, disks: Disks, words: str = "quiet") -> None:
        super().__init__()
        self.install()
        allow_taps(self)
        site.cable(self)
        self.run("ip", "link", "set", "eth0", "up")
        self.link_local("eth0")
        self.run("mount", "-t", "sysfs", "sysfs", "/sys")  # that of this host's own network
        self.run("mkdir", "-p", "/boot/grub", "/dev/disk/by-uuid")
        self.version = version_of(image.folder / "vmlinuz")
        keys = self.file("/etc/keys/mandos")
        shutil.copytree(image.folder / "keys", keys, dirs_exist_ok=True)
        shutil.copy2(image.folder / "vmlinuz", self.file(f"/boot/vmlinuz-{self.version}"))
        shutil.copy(image.folder / "initrd", self.initrd)
        self.initrd.chmod(0o600)
        self.has_disks(disks)
        self.boot_with(image, words)

    def has_disks(self, disks: Disks) -> None:
        """Let the UUIDs lead to these disks."""
        for name in disks.layout.drives:
            link = self.file("/dev/disk/by-uuid") / UUIDS[name]
            link.unlink(missing_ok=True)
            link.symlink_to(disks.folder / name)

    def boot_with(self, image: Image, words: str) -> None:
        """Have the boot loader give the kernel these words."""
        line = command_line(image, words)
        text = GRUB.replace("VERSION", self.version).replace("WORDS", line)
        self.file("/boot/grub/grub.cfg").write_text(text, encoding="ascii")

    @property
    def initrd(self) -> Path:
        """The initial RAM disk."""
        return self.file(f"/boot/initrd.img-{self.version}")
