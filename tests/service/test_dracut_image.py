# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that the real dracut of a release makes: who can read them, and the warnings."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import debian, efi_files, newcomer
from harness.debian import PACKAGES, DebianMachine
from harness.keys import FILES
from mandos.check.loader import unified_images

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.packages, pytest.mark.slow, pytest.mark.timeout(900)]

IMAGE = "/run/image"
LONG = 300.0
KEYS = "conf/conf.d/mandos"
#: A module of dracut that runs after ours: lists what others can read while the tree grows.
LOOK = """#!/bin/sh
check() { return 0; }
install() {
    echo "$initdir" >/run/tree
    setpriv --reuid=65534 --regid=65534 --clear-groups find "$initdir" -readable >/run/seen 2>&1
    return 0
}
"""


@pytest.fixture(params=newcomer.SUITES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DebianMachine]:
    """A machine with dracut, our client, and keys."""
    if (reason := debian.why_no_debian()) is not None:
        pytest.skip(reason)
    suite = str(request.param)
    newcomer.download(tmp_path / "download", suite)
    with DebianMachine(newcomer.dracut_tree(suite), tmp_path / "download") as machine:
        libraries = f"--libraries={PACKAGES}/build/libraries"
        packages = ("--packages", "common", "boot-client")
        machine.run(f"{PACKAGES}/tools/install", "--prefix=/usr", libraries, *packages)
        machine.run("mandos-keygen", "--type=ed25519", "--subtype=cv25519")
        yield machine


def make(machine: DebianMachine, *options: str, umask: str = "0022") -> str:
    """Make an image without a kernel; return what dracut said."""
    words = " ".join(("dracut", "--force", "--no-kernel", "--no-compress", *options, IMAGE))
    command = f"umask {umask} && {words}"
    process = machine.start("sh", "-c", command)
    assert process.wait(LONG) == 0, process.log
    return process.log


def test_images_are_for_root(machine: DebianMachine) -> None:
    """The image has mode 0600 by itself; its keys are root's, and unreadable while it grows."""
    look = "/usr/lib/dracut/modules.d/99zz-look"
    machine.path(look).mkdir()
    machine.write(f"{look}/module-setup.sh", LOOK, mode=0o755)
    said = make(machine, "--add", "'crypt zz-look'")
    assert machine.run("stat", "--format=%U %a", IMAGE) == b"root 600\n"
    assert "umask" not in said
    listed = machine.run("lsinitrd", IMAGE).decode()
    for name in FILES:
        assert re.search(
            rf"^-r-------- +1 root +root .* {KEYS}/{name}$", listed, flags=re.MULTILINE
        )
    assert re.search(rf"^drwx------ +\d+ root +root .* {KEYS}$", listed, flags=re.MULTILINE)
    tree = machine.path("/run/tree").read_text(encoding="utf-8").strip()
    seen = machine.path("/run/seen").read_text(encoding="utf-8")
    assert tree in seen  # find was there
    assert "seckey" not in seen


def test_what_dracut_reports(machine: DebianMachine) -> None:
    """Where systemd's program for encrypted disks is missing, and where there are no keys."""
    has_program = bool(machine.run("sh", "-c", "ls /usr/lib/systemd/systemd-cryptsetup || :"))
    said = make(machine, "--add", "crypt")
    reported = "mandos-image: warning: systemd-cryptsetup is not installed" in said
    assert reported == (not has_program), said
    assert reported == ("hint: apt install systemd-cryptsetup" in said)
    said = make(machine, "--add", "crypt", "--omit", "'systemd systemd-initrd dracut-systemd'")
    assert "mandos-image: warning" not in said
    machine.run("mv", "/etc/keys/mandos", "/etc/keys/elsewhere")
    said = make(machine)
    assert "the image has no Mandos client" in said
    assert "mandos-keygen makes them" in said


def test_kernel_hook_checks_the_image(machine: DebianMachine) -> None:
    """After dracut's own hook: silent when the image is good, else it names what is missing."""
    version, uuid = "6.1.0-test", "00000000-0000-4000-8000-000000000000"
    for folder in (f"/lib/modules/{version}", "/boot/grub", "/dev/disk/by-uuid"):
        machine.path(folder).mkdir(parents=True)
    for name in ("order", "builtin", "builtin.modinfo", "dep"):
        machine.write(f"/lib/modules/{version}/modules.{name}", "")
    machine.write(f"/boot/vmlinuz-{version}", "no kernel")
    machine.write(f"/dev/disk/by-uuid/{uuid}", "no disk")
    machine.write("/boot/grub/grub.cfg", f"""
set timeout=5
menuentry 'Debian' {{
    linux /boot/vmlinuz-{version} root=/dev/mapper/cryptroot rd.luks.name={uuid}=cryptroot
    initrd /boot/initrd.img-{version}
}}
""")  # fmt: skip
    settings = "/etc/dracut.conf.d/test.conf"

    def kernel_package() -> str:
        words = (f"--arg={version}", f"--arg=/boot/vmlinuz-{version}", "/etc/kernel/postinst.d")
        process = machine.start("run-parts", *words)
        assert process.wait(LONG) == 0, process.log
        assert f"dracut: Generating /boot/initrd.img-{version}" in process.log
        return process.log

    machine.write(settings, 'no_kernel="yes"\nadd_dracutmodules+=" crypt "\n')
    assert "mandos-check" not in kernel_package()
    machine.write(settings, 'no_kernel="yes"\nomit_dracutmodules+=" mandos "\n')
    said = kernel_package()
    assert "would NOT come back from a reboot by itself" in said, said
    assert re.search("^    programs in the image +BROKEN ", said, re.MULTILINE), said
    assert said.count("mandos-check: warning") == 1
    by_hand = machine.start("dracut", "--force", f"/boot/initrd.img-{version}", version)
    assert by_hand.wait(LONG) == 0, by_hand.log
    runs_hooks = "post-update.d" in machine.path("/usr/bin/dracut").read_text(encoding="utf-8")
    assert ("mandos-check: warning" in by_hand.log) == runs_hooks, by_hand.log


RENEW = """
import sys
sys.path += ["/usr/lib/mandos/python", "/usr/lib/mandos/server-python"]
from pathlib import Path
from mandos.errors import MandosError
from mandos.rotation.images import renew
try:
    renew(Path("/"))
except MandosError as error:
    sys.exit("\\n".join(error.lines()))
"""
VERSION = "6.1.0-test"


def test_images_of_a_rotation(machine: DebianMachine) -> None:
    """A new one is made beside the old one, which stays when the disk is full."""
    image = f"/boot/initrd.img-{VERSION}"
    machine.run("mount", "-t", "tmpfs", "tmpfs", "/boot")
    machine.write(f"/boot/vmlinuz-{VERSION}", "")
    machine.write(image, "old")
    machine.path(f"/usr/lib/modules/{VERSION}").mkdir(parents=True)
    machine.run("depmod", VERSION)
    machine.write("/etc/dracut.conf.d/small.conf", "no_kernel=yes\ncompress=cat\n")
    machine.run("mount", "-o", "remount,size=64k", "/boot")
    process = machine.start("python3", "-IS", "-c", RENEW)
    assert process.wait(LONG) == 1
    assert "No space left on device" in process.log
    assert machine.run("cat", image) == b"old"
    assert machine.run("sh", "-c", "ls -A /boot").split() == [
        f"initrd.img-{VERSION}".encode(), f"vmlinuz-{VERSION}".encode(),
    ]  # fmt: skip
    machine.run("mount", "-o", "remount,size=1G", "/boot")
    process = machine.start("python3", "-IS", "-c", RENEW)
    assert process.wait(LONG) == 0, process.log
    assert machine.run("stat", "--format=%U %a", image) == b"root 600\n"
    assert f"{KEYS}/seckey.txt" in machine.run("lsinitrd", image).decode()


STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
UNIFIED = f"/boot/EFI/Linux/linux-{VERSION}.efi"


def _give_objcopy(machine: DebianMachine) -> None:
    """Give a machine the programs and the stub of which dracut makes unified images."""
    suite = machine.run("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").decode().strip()
    tree = debian.loader_tree(suite)
    names = ("libbfd-*", "libopcodes-*", "libsframe.so.*", "libctf*")
    libraries = [file for name in names for file in (tree / LIBRARIES).glob(name)]
    for file in (tree / STUB, *libraries):
        target = machine.path(f"/{file.relative_to(tree)}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    for name in ("objcopy", "objdump"):
        shutil.copy2(tree / f"usr/bin/x86_64-linux-gnu-{name}", machine.path(f"/usr/bin/{name}"))


def test_unified_image_of_a_rotation(machine: DebianMachine) -> None:
    """Made anew where dracut's configuration says so; elsewhere it is no initial RAM disk."""
    _give_objcopy(machine)
    machine.run("mount", "-t", "tmpfs", "tmpfs", "/sys/firmware")  # that of a machine with EFI
    machine.path("/sys/firmware/efi").mkdir()
    machine.path(UNIFIED).parent.mkdir(parents=True)
    machine.path(UNIFIED).write_bytes(efi_files.image(release=VERSION))
    before = machine.path(UNIFIED).read_bytes()
    machine.write(f"/boot/vmlinuz-{VERSION}", "no kernel")
    machine.path(f"/usr/lib/modules/{VERSION}").mkdir(parents=True)
    machine.run("depmod", VERSION)
    settings = (
        f'no_kernel=yes\ncompress=cat\nuefi_stub=/{STUB}\nkernel_cmdline="root=/dev/x quiet"\n'
    )
    machine.write("/etc/dracut.conf.d/small.conf", settings)
    process = machine.start("python3", "-IS", "-c", RENEW)
    assert process.wait(LONG) == 1, process.log
    assert "unknown which program makes it" in process.log
    assert machine.path(UNIFIED).read_bytes() == before
    machine.write("/etc/dracut.conf.d/unified.conf", 'uefi="yes"\n')
    process = machine.start("python3", "-IS", "-c", RENEW)
    assert process.wait(LONG) == 0, process.log
    made = unified_images.read(machine.path(UNIFIED))
    assert made is not None
    assert made.text(".cmdline") == "root=/dev/x quiet"
    assert f"{KEYS}/seckey.txt".encode() in made.initrd()
    assert [file.name for file in machine.path(UNIFIED).parent.iterdir()] == [Path(UNIFIED).name]
