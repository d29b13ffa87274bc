# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that mandos-check judges while it runs, and that is switched on afterwards.

Check and boot have the same kernel, image, kernel command line, disks, keys and server.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.families import ours
from harness.host import Host
from harness.keys import make_credentials
from harness.peers import PORT, start_server
from harness.vm.boot import QUICK
from harness.vm.console import PATIENCE
from harness.vm.images import PASSWORD, boot_disks
from harness.vm.live import CHECK, LiveMachine
from harness.vm.overlay import repacked

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from harness.keys import Credentials
    from harness.peers import Server
    from harness.vm.boot import Machine, Site
    from harness.vm.images import Disks, Image

KEYS = "/etc/keys/mandos"
#: Where an image has the keys and the configuration, below its tree.
IN_IMAGE = "conf/conf.d/mandos"
#: The network card has the same name on the host that is checked and in QEMU.
CARD = "eth0"
_WORDS = f"net.ifnames=0 {QUICK}"


@dataclass
class Judged:
    """One machine, healthy at first; ``folder`` is a folder of the test.

    ``section`` is what the server has of it; ``plugged`` whether its cable is in; ``loader`` the
    disk with its boot loader, without which QEMU loads the kernel itself.
    """

    site: Site
    made: Image
    disks: Disks
    folder: Path
    stack: ExitStack
    section: str = ""
    plugged: bool = True
    words: str = _WORDS
    loader: Path | None = None
    live: LiveMachine = field(init=False)
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        self.section = self.made.section
        self.live = self.stack.enter_context(
            LiveMachine(self.site, self.made, self.disks, self.words)
        )
        self.host = self.site.host(avahi=True)

    def serve(self) -> Server:
        """Start the server, which is announced, and has the port that options may name."""
        port = ("--port", str(PORT))
        return start_server(self.host, ours(), self.section, zeroconf=True, options=port)

    def check(self) -> tuple[int, list[dict[str, Any]]]:
        """Run mandos-check on the running machine; returns its exit status and its findings."""
        process = self.live.start(CHECK, "--json")
        status = process.wait(PATIENCE)
        assert "Traceback" not in process.log, process.report("traceback")
        return status, json.loads(process.stdout)["findings"]

    def install_grub(self, *, off: bool) -> None:
        """Let GRUB boot the machine; with ``off`` its configuration has mandos=off."""
        healthy, switched_off = boot_disks(self.made, self.words)
        self.loader = switched_off if off else healthy
        shutil.copyfile(self.loader.with_suffix(".cfg"), self.live.file("/boot/grub/grub.cfg"))

    def switch_on(self) -> Machine:
        """Boot it: with the image, the words and the disks that were checked."""
        if self.loader is not None:
            return self.site.boot_from(self.loader, self.disks, self.made)
        initrd = self.folder / "booted"
        shutil.copyfile(self.live.initrd, initrd)
        return self.site.boot(
            self.disks, self.made, self.words, initrd=initrd, plugged=self.plugged
        )

    def boot_with(self, words: str) -> None:
        """Put more words into the boot loader's kernel command line."""
        self.words = f"{words} {self.words}"
        self.live.boot_with(self.made, self.words)

    def change_image(self, script: str) -> None:
        """Run a shell script in the unpacked image, and pack it again."""
        made = repacked(self.live.initrd, self.folder / "image", script)
        shutil.copyfile(made, self.live.initrd)

    def configure(self, *lines: str) -> None:
        """Give the image these lines of plugin-runner.conf."""
        text = "".join(f"{line}\n" for line in lines)
        (self.folder / "conf").write_text(text, encoding="ascii")
        self.change_image(f"cp '{self.folder}/conf' {IN_IMAGE}/plugin-runner.conf")

    def keys_of_another(self) -> Credentials:
        """Make the keys and the section of another machine with the same name and password."""
        workshop = self.stack.enter_context(Host("workshop"))
        return make_credentials(workshop, ours(), "alpha", PASSWORD.encode(), ())

    def put_into_image(self, other: Credentials, *names: str) -> None:
        """Give the image the other machine's files of these names."""
        for name in names:
            shutil.copy2(other.maker.path(f"{other.directory}/{name}"), self.folder / name)
        self.change_image(
            "\n".join(f"cp '{self.folder / name}' {IN_IMAGE}/{name}" for name in names)
        )

    def put_beside(self, other: Credentials, *names: str) -> None:
        """Give /etc/keys/mandos the other machine's files of these names, or all of them."""
        made = other.maker.path(other.directory)
        for path in (made / name for name in names) if names else made.iterdir():
            shutil.copy2(path, self.live.file(KEYS))

    def remove_slot(self) -> None:
        """Remove the key slot of the server's password; that of the typed one stays."""
        folder = self.folder / "disks"
        folder.mkdir()
        for name in ("root.img", "nonce"):
            shutil.copyfile(self.disks.folder / name, folder / name)
        subprocess.run(
            ["cryptsetup", "luksRemoveKey", "--batch-mode", "--key-file=-", folder / "root.img"],
            input=PASSWORD.encode(), check=True,
        )  # fmt: skip
        self.disks = replace(self.disks, folder=folder)
        self.live.has_disks(self.disks)

    def show_driver(self, module: str) -> None:
        """Let /sys show a card with a link, whose driver is this module, as QEMU's card has it."""
        self.live.run("sh", "-ec", """
            mkdir -p "/run/module/$2"
            mount -t tmpfs tmpfs /sys/class/net
            cd /sys/class/net
            mkdir -p lo "$1/device/driver"
            echo 1 >"$1/carrier"
            ln -s "/run/module/$2" "$1/device/driver/module"
        """, "sh", CARD, module)  # fmt: skip

    def unplug(self) -> None:
        """Take the cable out: of the running machine, and of the one that boots."""
        self.plugged = False
        self.live.run("ip", "link", "set", CARD, "down")
