# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real initramfs images, made by this machine's mkinitramfs on a host of its own.

The host's /usr, /etc and /boot are layers over this machine's: what a test installs or removes
there is nowhere else.  The kernel is only a version without modules.  ``ImageMaker`` is such a host
without, ``BootedMaker`` one with a systemd that runs.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host import Host
from harness.keys import FILES
from harness.machine import Machine

if TYPE_CHECKING:
    from harness.keys import Credentials

ROOT = Path(__file__).parents[3]
VERSION = "6.1.0-test"
PYTHON = "/usr/bin/python3"
NEEDED = ("mkinitramfs", "cryptsetup", "zstd", "cpio", "busybox", "strip")
LAYERS = """
for top in usr etc boot; do
    mkdir /run/$top.new /run/$top.work
    mount -t overlay overlay /$top \
        -o lowerdir=/$top,upperdir=/run/$top.new,workdir=/run/$top.work
done
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
"""
CONTENT = """
mkdir -p /usr/lib/modules/$1
for file in order builtin builtin.modinfo dep; do : >/usr/lib/modules/$1/modules.$file; done
echo CONFIG_RD_ZSTD=y >/boot/config-$1
echo MODULES=list >/etc/initramfs-tools/conf.d/test
: >/etc/initramfs-tools/modules
echo 'cryptroot UUID=00000000-0000-4000-8000-000000000000 none luks,initramfs' >/etc/crypttab
rm -rf /etc/mandos /etc/keys
[ "$2" = bare ] || exit 0
dpkg-query --listfiles mandos-client | while read -r file; do
    if [ -f "$file" ]; then rm "$file"; fi
done
"""


@functools.cache
def why_no_images() -> str | None:
    """Say why no images can be made here; None when they can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if not Path("/usr/share/initramfs-tools/hooks/cryptroot").exists():
        missing.append("cryptsetup-initramfs")
    if missing:
        return f"not installed: {', '.join(missing)} (tools/test-setup does it when root)"
    check = "import sys, ctypes; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run([PYTHON, "-IS", "-c", check], check=False).returncode != 0:
        return f"{PYTHON} is older than 3.11"
    return None


class Maker(Host):
    """A host that makes images."""

    def file(self, path: str) -> Path:
        """Where the test reaches any file of this host."""
        return Path(f"/proc/{self.pid}/root{path}")

    def install(self) -> None:
        """Install the client side as a package does, and strip what dh_strip would."""
        libraries = Path("/run/libraries")
        spec = find_spec("openpgp")
        assert spec is not None
        assert spec.origin is not None
        self.file(str(libraries)).mkdir()
        shutil.copytree(Path(spec.origin).parent, self.file(str(libraries / "openpgp")))
        extensions = self.file(str(libraries)).rglob("*.so")
        subprocess.run(["strip", "--strip-unneeded", *extensions], check=True)
        self.run(
            *(PYTHON, "-IS", str(ROOT / "tools" / "install"), "--python", PYTHON),
            *("--prefix", "/usr", "--libraries", str(libraries)),
            *("--packages", "common", "boot-client", "--packaging"),
        )

    def give_keys(self, credentials: Credentials) -> None:
        """Put a client's keys where its images take them from."""
        keys = self.file("/etc/keys/mandos")
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in FILES:
            shutil.copy2(credentials.maker.path(f"{credentials.directory}/{name}"), keys)

    def make(self, name: str) -> Path:
        """Make an image; returns it."""
        self.run("mkinitramfs", "-o", f"/run/{name}", VERSION, seconds=300)
        return self.file(f"/run/{name}")

    def unpack(self, name: str) -> Path:
        """Unpack an image; returns its tree."""
        tree = f"/run/{name}.tree"
        self.run("sh", "-ec", 'mkdir "$2"; cd "$2"; zstd -dc "$1" | cpio -id --quiet', "sh",
                 f"/run/{name}", tree)  # fmt: skip
        return self.file(tree)


class ImageMaker(Maker):
    """A host that makes images; Mandos is not installed there until ``install``."""

    def __init__(self, *, reference: bool = False) -> None:
        super().__init__("image-maker")
        kind = "reference" if reference else "bare"
        self.run("sh", "-ec", LAYERS + CONTENT, "sh", VERSION, kind)


class BootedMaker(Maker, Machine):
    """The same on a host where systemd runs."""

    def __init__(self) -> None:
        super().__init__("booted-maker")

    def _install(self) -> None:
        self.run("sh", "-ec", CONTENT, "sh", VERSION, "bare")
