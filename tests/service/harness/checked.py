# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that passes mandos-check: a real image, a real LUKS disk, a boot loader's menu."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.families import ours
from harness.host import Host
from harness.initramfs import VERSION, ImageMaker, why_no_images
from harness.keys import SMALL_RSA, make_credentials
from harness.peers import start_server
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.initramfs import Maker
    from harness.keys import Credentials
    from harness.peers import Server

CHECK = "/usr/sbin/mandos-check"
IMAGE = f"/boot/initrd.img-{VERSION}"
UUID = "00000000-0000-4000-8000-000000000000"  # that of the image's crypttab
KEYS = "/etc/keys/mandos"
SAVED = "/run/saved"
DISK = "/run/disk.img"
GRUB = """\
set default="0"
set timeout=5
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
\tlinux\t/boot/vmlinuz-VERSION root=/dev/mapper/cryptroot ro WORDS
\tinitrd\t/boot/initrd.img-VERSION
}
"""
#: Makes the encrypted disk, and keeps a copy of it.
MAKE_DISK = f"""\
truncate -s 24M {DISK}
cryptsetup luksFormat --batch-mode --uuid {UUID} --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \\
    --key-file /run/password {DISK}
mkdir -p /dev/disk
mount -t tmpfs tmpfs /dev/disk
mkdir /dev/disk/by-uuid
ln -s {DISK} /dev/disk/by-uuid/{UUID}
cp {DISK} {SAVED}/disk
"""
PREPARE = f"""
mkdir -p /boot/grub {SAVED}
: >/boot/vmlinuz-{VERSION}
mkinitramfs -o {SAVED}/initrd {VERSION} 2>/dev/null
cp -a {KEYS} {SAVED}/keys
{MAKE_DISK}"""


@dataclass
class Checked:
    """The machine that is checked, its server's host, and the keys that belong together."""

    machine: Maker
    server_host: Host
    keys: Credentials

    def restore(self, words: str = "quiet") -> None:
        """Make the machine healthy."""
        self.machine.run("sh", "-ec", f"""
            install -m 600 {SAVED}/initrd {IMAGE}
            rm -rf {KEYS} && cp -a {SAVED}/keys {KEYS} && cp {SAVED}/disk {DISK}
            ip link set eth0 up
        """)  # fmt: skip
        self.boot_with(words)

    def boot_with(self, words: str) -> None:
        """Give the kernel a command line."""
        text = GRUB.replace("VERSION", VERSION).replace("WORDS", words)
        self.machine.file("/boot/grub/grub.cfg").write_text(text, encoding="ascii")

    def change_password(self) -> None:
        """Give the disk another password: the slot that the server's opened is gone."""
        self.machine.run("sh", "-ec", f"""
            printf other >/run/other
            cryptsetup luksChangeKey --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \\
                --key-file /run/password {DISK} /run/other
        """)  # fmt: skip

    def serve(self, section: str | None = None) -> Server:
        """Start an announced server; it serves this machine if no section is given."""
        return start_server(self.server_host, ours(), section or self.keys.section, zeroconf=True)

    def change_image(self, *commands: str) -> None:
        """Run commands in the unpacked image, and pack it again."""
        script = "\n".join(commands)
        self.machine.run("sh", "-ec", f"""
            rm -rf /run/tree && mkdir /run/tree && cd /run/tree
            zstd -dcq {IMAGE} | cpio -id --quiet
            {script}
            find . | cpio --create --format=newc --quiet | zstd -q -1 >{IMAGE}
            chmod 600 {IMAGE}
        """)  # fmt: skip

    def check(self, *options: str) -> tuple[int, list[dict[str, Any]]]:
        """Run the program; returns its exit status and findings."""
        process = self.machine.start(CHECK, "--json", *options)
        status = process.wait()
        assert "Traceback" not in process.log, process.report("traceback")
        return status, json.loads(process.stdout)["findings"]


def make_checked(machine: Maker, server_host: Host, workshop: Host) -> Checked:
    """Make a machine healthy; its keys come from the workshop, its server runs on another host."""
    machine.connect(server_host)
    machine.install()
    keys = make_credentials(workshop, ours(), "checked", b"the disk's password", SMALL_RSA)
    machine.give_keys(keys)
    machine.file("/run/password").write_bytes(keys.password)
    machine.run("sh", "-ec", PREPARE, seconds=4 * PATIENCE)
    return Checked(machine, server_host, keys)


@contextmanager
def healthy_machine(workshop: Host, *, shows_network: bool = True) -> Iterator[Checked]:
    """A machine with image, disk and boot loader, and the host of its server on the same link.

    Without ``shows_network`` its /sys has the network of the test's machine.
    """
    if (reason := why_no_images()) is not None:
        pytest.skip(reason)
    with ImageMaker() as maker, Host("server") as server:
        if shows_network:
            maker.run("mount", "-t", "sysfs", "sysfs", "/sys")  # that of this host's own network
        yield make_checked(maker, server, workshop)
