# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network of a test, with servers' hosts and encrypted machines that are switched on.

QEMU runs on the host that is the network's switch, so its tap device lives and ends there.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from harness.bus import start_avahi, start_system_bus
from harness.host import Host
from harness.router import start_router
from harness.vm import qemu
from harness.vm.console import Console
from harness.vm.images import TYPED
from harness.vm.layouts import PLAIN, ROOT_UUID
from harness.vm.vlan import allow_taps, start_vlan

if TYPE_CHECKING:
    from pathlib import Path

    from harness.vm.images import Disks, Image

#: What a person sees who could type the password.
PROMPT = {
    "initramfs-tools": "unlock disk cryptroot",
    "dracut": r"(?i)enter passphrase for disk",
    "dracut-plain": r"Unlocking the disk /dev/vda \(cryptroot\)|Enter passphrase for /dev/vda",
}
#: The root has been mapped.
MAPPED = {
    "initramfs-tools": "cryptroot: set up successfully",
    "dracut": r"Finished .*ryptography Setup for cryptroot",
    "dracut-plain": r"EXT4-fs \(dm-0\): mounted",
}
#: Run the small reporting program as the first process, not systemd: seconds less.
QUICK = "init=/usr/local/sbin/report"
#: A switch has no addresses.
_NO_IPV6 = "for c in all default; do echo 1 >/proc/sys/net/ipv6/conf/$c/disable_ipv6; done"
#: What the router of a site announces, by the number of the site.
_PREFIXES = ("2001:db8:51:{number:x}::", "fd00:51:0:{number:x}::")

_numbers = itertools.count()


class Site:
    """A switch, what is plugged into it, and the machines on it; all end with it.

    As on most networks there is a router, which announces a global prefix and a unique local one:
    so hosts, and machines that boot, soon have several IPv6 addresses.  The hosts have an IPv4
    address beside these.  Without ``router`` there are link-local addresses only.
    """

    def __init__(self, stack: ExitStack, *, router: bool = True) -> None:
        self._stack = stack
        self._number = next(_numbers)
        self._hosts = 0
        self.switch = stack.enter_context(Host("switch"))
        self._switch("link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
        self.switch.run("sh", "-c", _NO_IPV6)
        self._switch("link", "set", "bridge", "up")
        self.router = self._start_router() if router else None

    def _start_router(self) -> Host:
        router = self._stack.enter_context(Host("router"))
        self.cable(router)
        router.run("ip", "link", "set", "eth0", "up")
        router.give_addresses(*(prefix + "1" for prefix in self.prefixes), self._address4(254))
        start_router(router, self.prefixes)
        return router

    @property
    def prefixes(self) -> list[str]:
        """The global prefix and the unique local one that the router announces, of 64 bits."""
        return [prefix.format(number=self._number) for prefix in _PREFIXES]

    def _address4(self, host: int) -> str:
        return f"10.{self._number >> 8 & 0xFF}.{self._number & 0xFF}.{host}"

    def _switch(self, *words: str) -> None:
        self.switch.run("ip", *words)

    def cable(self, host: Host, card: str = "eth0", *then: str) -> str:
        """Lay a cable to a host, whose end is down; ``then`` as for hosts.  Returns the port."""
        port = f"port{next(_numbers)}"
        host.lay_cable(card, self.switch, port, *then)
        self._switch("link", "set", port, "master", "bridge", "up")
        return port

    def host(self, *, avahi: bool = False, vlan: int = 0) -> Host:
        """Return a new host that is plugged in; its eth0 is in the VLAN of that number, if any."""
        host = self._stack.enter_context(Host(f"server{next(_numbers)}"))
        card = "trunk" if vlan else "eth0"
        self.cable(host, card)
        host.run("ip", "link", "set", card, "up")
        if vlan:
            start_vlan(host, card, vlan, "eth0")
        host.link_local("eth0")
        if self.router is not None and not vlan:
            self._hosts += 1
            host.give_addresses(self._address4(self._hosts))
            host.addresses(number=len(self.prefixes))
        if avahi:
            start_system_bus(host)
            start_avahi(host)
        return host

    def plug(self, tap: str, *, plugged: bool = True) -> None:
        """Plug a machine's cable in, or out."""
        self._switch("link", "set", tap, "up" if plugged else "down")

    def boot(
        self,
        disks: Disks,
        image: Image,
        words: str = QUICK,
        *,
        initrd: Path | None = None,
        plugged: bool = True,
    ) -> Machine:
        """Switch a machine on; ``words`` are added to the kernel's command line."""
        tap = self._tap(plugged=plugged)
        drives = [disks.folder / name for name in image.layout.drives]
        kernel, ramdisk = image.folder / "vmlinuz", initrd or image.folder / "initrd"
        line, cable = command_line(image, words), qemu.plugged_into(tap)
        command = qemu.command(kernel, ramdisk, line, map(qemu.forgetful, drives), cable)
        return self._switch_on(command, disks, image, tap)

    def boot_from(self, loader: Path, disks: Disks, image: Image) -> Machine:
        """Switch a machine on that boots from the disk ``loader``, which has the image."""
        tap = self._tap(plugged=True)
        drives = [loader, *(disks.folder / name for name in image.layout.drives)]
        command = qemu.from_disk(map(qemu.forgetful, drives), qemu.plugged_into(tap))
        return self._switch_on(command, disks, image, tap)

    def _tap(self, *, plugged: bool) -> str:
        """Make the switch's end of a machine's cable."""
        tap = f"tap{next(_numbers)}"
        self._switch("tuntap", "add", tap, "mode", "tap")
        self._switch("link", "set", tap, "master", "bridge")
        self.plug(tap, plugged=plugged)
        return tap

    def _switch_on(self, command: list[str], disks: Disks, image: Image, tap: str) -> Machine:
        console = self._stack.enter_context(Console(command, launcher=self.switch.entrance))
        return Machine(console, disks, image, tap)

    @classmethod
    def of(cls, stack: ExitStack, *, router: bool = True) -> Self:
        """Make a switch to which QEMU can attach machines."""
        site = cls(stack, router=router)
        allow_taps(site.switch)
        return site


def command_line(image: Image, words: str) -> str:
    """The kernel command line with which an image boots; ``words`` are added."""
    layout = image.layout
    line = f"console=ttyS0,115200 panic=-1 root={layout.root} ro {layout.words} {words}"
    if image.generator.startswith("dracut"):
        line += f" {layout.dracut_words} rd.luks.timeout=0 rd.retry=3600 rd.shell=0"
    if image.generator == "dracut-plain":
        line += f" rd.luks.uuid={ROOT_UUID}"
    return line


@dataclass(frozen=True)
class Machine:
    """An encrypted machine that has been switched on."""

    console: Console
    disks: Disks
    image: Image
    tap: str

    def expect_prompt(self) -> None:
        """Return when a person could type the password."""
        self.console.expect(self.prompt)

    def type_password(self) -> dict[str, float]:
        """Type the password, until it is taken; return as ``expect_boot`` does.

        cryptsetup shows its prompt, which images without systemd come to in the end, before it
        switches the echo off and drops what is typed already: faster than any person, a test would
        see its echo, or after a part of it the next prompt.
        """
        again = TYPED
        if self.image.generator == "dracut-plain":
            again += "|" + self.prompt
        self.console.type(TYPED)
        while self.console.expect(f"{again}|(?=^booted )").group():
            self.console.type(TYPED)
        return self.expect_boot()

    @property
    def prompt(self) -> str:
        """What a person sees who could type the password, as a pattern."""
        pattern = PROMPT[self.image.generator]
        return pattern.replace("cryptroot", self.image.layout.name_of_root)

    def expect_boot(self) -> dict[str, float]:
        """Return when the decrypted root has said so itself: seconds to what happened."""
        layout = self.image.layout
        device = layout.mounted_as or layout.root
        marker = f"^booted {self.disks.nonce} from {device} after"
        self.console.expect(marker)
        took = {"marker": self.console.when(marker)}
        if layout is PLAIN:
            took["root"] = self.console.when(MAPPED[self.image.generator])
        return took

    @property
    def report(self) -> dict[str, list[str]]:
        """What the decrypted root has told of itself: processes, links, mapped disks, journal."""
        told: dict[str, list[str]] = {}
        for line in self.console.text.splitlines():
            if line.startswith("report "):
                _, kind, rest = line.split(" ", 2)
                told.setdefault(kind, []).append(rest)
        return told
