# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An initramfs at work without a machine: its scripts and programs, in its own root directory.

Real are the image, its shell and its programs, and the prompt (askpass) on a terminal; the kernel
is the test machine's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host import Host

if TYPE_CHECKING:
    from harness.process import Process

_ROOT = "/run/root"
MOUNTS = """
cp -a "$1" /run/root
cd /run/root
mkdir -p dev proc
mkdir -p /dev/pts
mount -t devpts -o ptmxmode=666 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
mount --rbind /dev dev
mount -t proc proc proc
: >/run/cmdline
mount --bind /run/cmdline proc/cmdline
"""


class Prompt:
    """A question of cryptsetup-initramfs for one disk, as its scripts ask it."""

    def __init__(self, process: Process, answer: Path) -> None:
        self.process = process
        self._answer = answer

    def type(self, text: str) -> None:
        """Type at the console, once it asks: what came before that is dropped."""
        self.process.wait_for("^Please unlock")
        stdin = self.process._popen.stdin
        assert stdin is not None
        stdin.write(text.encode())
        stdin.flush()

    def answer(self) -> bytes:
        """What the prompt took as the password, from wherever it came."""
        assert self.process.wait() == 0, self.process.report("the prompt failed")
        return self._answer.read_bytes()


class EarlyBoot(Host):
    """A host whose programs run in an image's tree, its directory ``root``."""

    root = _ROOT

    def __init__(self, tree: Path, command_line: str = "") -> None:
        super().__init__("early-boot")
        self.run("sh", "-ec", MOUNTS, "sh", str(tree))
        self.path("/run/cmdline").write_text(f"quiet {command_line}\n", encoding="ascii")
        self._asked = 0

    def file(self, name: str) -> Path:
        """Where the test reaches a file of the image; links in it lead where they do there."""
        return self.path(_ROOT) / name.lstrip("/")

    def boot_script(self, name: str, **variables: str) -> Process:
        """Run a boot script of ours to its end; what it started in the background goes on."""
        environment = {"PATH": "/sbin:/usr/sbin:/bin:/usr/bin", "DEVICE": "", **variables}
        return self.start("chroot", _ROOT, f"/scripts/{name}/mandos", environment=environment)

    def use_plugin(self, text: str, name: str = "local") -> None:
        """Leave one plugin in the image, an administrator's."""
        plugins = self.file("/lib/mandos/plugins.d")
        for plugin in plugins.iterdir():
            plugin.unlink()
        (plugins / name).write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        (plugins / name).chmod(0o755)

    def ask(self, disk: str) -> Prompt:
        """Ask for a password at a terminal, as cryptsetup-initramfs does."""
        self._asked += 1
        answer = f"{_ROOT}/answer-{self._asked}"
        text = f"Please unlock disk {disk}:\n"  # a whole line, which can be waited for
        command = f"exec chroot {_ROOT} /lib/cryptsetup/askpass '{text}' >{answer}"
        process = self.start(
            *("script", "--quiet", "--return", "--command", command, "/dev/null"),
            environment={"CRYPTTAB_NAME": disk, "SHELL": "/bin/sh"},
        )
        return Prompt(process, self.path(answer))

    def programs(self) -> list[str]:
        """The names of all programs that run in the image now."""
        found = []
        for folder in self.path("/proc").glob("[0-9]*"):
            try:
                if str((folder / "root").readlink()) == _ROOT:
                    words = (folder / "cmdline").read_bytes().split(b"\0")
                    found += [Path(os.fsdecode(word)).name for word in words if b"mandos" in word]
            except OSError:
                continue
        return found
