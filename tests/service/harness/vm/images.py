# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted disks and initial RAM disks, made by shell scripts once and kept in the user's cache.

What is kept is named after everything that it depends on, and checked before it is used: what is
damaged is made again.  Only the newest few of each kind stay.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.debian import SUITE, alone, build_packages, cache, flags, once, why_no_debian
from harness.vm import qemu
from harness.vm.console import Console
from harness.vm.layouts import DATA_UUID, PLAIN, ROOT_UUID

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.vm.layouts import Layout

#: Debian 12, 13 and testing.
SUITES = ("bookworm", "trixie", "forky")
#: Debian 12 upgraded to 13, with our packages for the one or for the other.
UPGRADED = {f"upgraded-{suite}": suite for suite in SUITES[:2]}
#: The guest: a system that boots, both generators' needs, and those of our packages.
INSTALLED = (
    *("systemd", "systemd-sysv", "udev", "dbus", "kmod", "iproute2", "procps", "login"),
    *("linux-image-cloud-amd64", "initramfs-tools", "busybox", "zstd", "cryptsetup-initramfs"),
    *("python3", "adduser", "gnutls-bin", "ucf"),
)
#: What has another name in this suite, or is a package of its own only there.
NAMED_BY_SUITE = {"bookworm": ("libgnutls30",)}
SINCE_TRIXIE = ("libgnutls30t64", "systemd-cryptsetup")
#: What some images or disks get, each line on its own.
DOWNLOADED = (
    *("mandos-client", "dracut dracut-network", "plymouth", "lvm2", "btrfs-progs"),
    *("dropbear-initramfs", "keyutils"),
)
#: What the server hands out, and what a person types: each opens both disks.
PASSWORD = "what the server hands out"
TYPED = "what a person types"
TOOLS = (
    *("qemu-system-x86_64", "mmdebstrap", "mke2fs", "cryptsetup", "zstd", "unshare", "cpio"),
    "ssh-keygen",
)
#: What a workshop has, beside what every guest has, to make disks of any layout.
WORKSHOP = ("lvm2", "btrfs-progs")
#: The same to install a boot loader; these come from the mirror.
LOADER = ("grub-pc-bin", "grub2-common")
#: A partition table of a PC: one partition for Linux, bootable, from the sector 2048 on.  GRUB is
#: in the sectors before it.
PARTITION = b"\x80\x00\x02\x00\x83\xfe\xff\xff"
FIRST_SECTOR = 2048
#: Bytes of a partition for /boot.
BOOT_PARTITION = 96 << 20
#: Seconds for a workshop to make disks, at most.
WORKING_TIME = 1800.0
#: Of our packages, those that a client needs.
OF_CLIENT = ("common", "boot-client")
#: Bytes for an initial RAM disk that a machine makes, at most.
LARGEST_IMAGE = 256 << 20
#: What file systems of other layouts need beside the root's files, in MiB.
SPARE = 320
#: What our packages are not made of, though it is in the checkout (tools/build-deb), and what is
#: not unpacked in a guest (guest.sh).
NO_SOURCES = {"build", "dist", "tests", "benchmarks", "__pycache__"} | {
    *("docs", "man", "examples", "CHANGELOG.md", "README.md"),
}
#: So many of one kind are kept at least.
KEPT = 4
#: What was used within so many seconds may be in use now, by another run of the tests.
IN_USE = 4 * 3600.0

#: Where the header of a kernel for x86 says where its version begins, less 0x200: the kernel's
#: Documentation/arch/x86/boot.rst, "kernel_version".
_VERSION_FIELD, _VERSION_BASE = 0x20E, 0x200
_HERE = Path(__file__).parent
_ROOT = Path(__file__).parents[4]
_SUMS = "SHA256SUMS"
_ISOLATE = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")


@functools.cache
def why_no_vm() -> str | None:
    """Say why machines cannot be made and booted here; None when they can."""
    if platform.machine() != "x86_64":
        return "the guests are for amd64 machines"
    if (reason := why_no_debian()) is not None:
        return reason
    missing = [name for name in TOOLS if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (tools/test-setup does it)" if missing else None


@dataclass(frozen=True)
class Disks:
    """The encrypted disks of one layout, and what only the decrypted root knows."""

    folder: Path
    layout: Layout

    @property
    def root(self) -> Path:
        """The root's disk."""
        return self.folder / "root.img"

    @property
    def data(self) -> Path:
        """The second disk."""
        return self.folder / "data.img"

    @property
    def nonce(self) -> str:
        """What only the decrypted root knows."""
        return (self.folder / "nonce").read_text(encoding="ascii").strip()


@dataclass(frozen=True)
class Image:
    """A kernel, an initial RAM disk with a client, its keys, and its section."""

    folder: Path
    generator: str
    client: str
    suite: str
    layout: Layout

    @property
    def section(self) -> str:
        """The client's section of clients.conf, as mandos-keygen has written it."""
        return (self.folder / "section").read_text(encoding="utf-8")

    @property
    def size(self) -> int:
        """Bytes of the initial RAM disk, as the generator has compressed it."""
        return (self.folder / "initrd").stat().st_size


def disks(suite: str = SUITE, layout: Layout = PLAIN) -> Disks:
    """Return the disks of a layout."""
    if layout.made_as:
        return Disks(_made_in_workshop(suite, layout), layout)
    return Disks(_plain_disks(suite), layout)


def image(generator: str, client: str, suite: str = SUITE, layout: Layout = PLAIN) -> Image:
    """Return an initial RAM disk; ``ours`` is made of this checkout."""
    if suite in UPGRADED:
        return Image(_upgraded(suite), generator, client, suite, layout)
    if layout.modules == "dep":
        return _made_for_itself(suite, layout)
    packages = str(_packages(suite)) if client == "ours" else "/nonexistent"
    tables = ("\n".join(layout.crypttab), "\n".join(layout.fstab))
    words = (generator, client, PASSWORD, packages, *tables, layout.dracut_modules)

    def make(path: Path) -> None:
        script = (str(_HERE / "image.sh"), str(_guest(suite)), str(path))
        _run(*_ISOLATE, "--net", *script, *words, *layout.packages)

    scripts = _script("image.sh", "tree.sh", "vlan-hook.sh")
    depends = (scripts, str(_guest(suite)), *words, *layout.packages)
    folder = kept(f"image-{suite}-{layout.name}-{generator}-{client}", depends, make)
    return Image(folder, generator, client, suite, layout)


def _plain_disks(suite: str, *packages: str, keys: str = "") -> Path:
    """Disks made by disk.sh; with packages, the root is a workshop."""
    names = ["disk.sh", "tree.sh", "report.sh", "report.service"]
    if packages:
        names += ["make-disks.sh", "make-image.sh"]
    tables = ("\n".join(PLAIN.crypttab), "\n".join(PLAIN.fstab))
    words = (ROOT_UUID, DATA_UUID, PASSWORD, TYPED, *tables, keys, *packages)

    def make(path: Path) -> None:
        _run(*_ISOLATE, str(_HERE / "disk.sh"), str(_guest(suite)), str(path), *words)

    kind = "workshop" if packages else "disks"
    return kept(f"{kind}-{suite}", (_script(*names), str(_guest(suite)), *words), make)


def _made_in_workshop(suite: str, layout: Layout) -> Path:
    """Disks that a machine has made, with the tools of their layout."""
    workshop = _plain_disks(suite, *WORKSHOP)
    system = image("initramfs-tools", "none", suite)

    def make(path: Path) -> None:
        shutil.copy2(workshop / "nonce", path)
        size = (workshop / "root.img").stat().st_size + (SPARE << 20)
        for name in layout.drives:
            _make_empty(path / name, size)
        words = f"make-disks layout={layout.made_as} uuids={ROOT_UUID},{DATA_UUID}"
        _work(workshop, system, words, *(path / name for name in layout.drives))

    depends = (str(workshop), str(system.folder), *layout.drives)
    return kept(f"{layout.made_as}-{suite}", depends, make)


def _made_for_itself(suite: str, layout: Layout) -> Image:
    """An image that a machine with our packages has made, which knows what hardware it has."""
    system = image("initramfs-tools", "ours", suite)
    packages = [str(*_packages(suite).glob(f"mandos-{name}_*.deb")) for name in OF_CLIENT]
    workshop = _plain_disks(suite, *packages, keys=str(system.folder / "keys"))

    def make(path: Path) -> None:
        for name in ("vmlinuz", "section"):
            shutil.copy2(system.folder / name, path)
        shutil.copytree(system.folder / "keys", path / "keys")
        _make_empty(path / "initrd", LARGEST_IMAGE)
        console = _work(workshop, system, "make-image", path / "initrd")
        found = re.search(r"image: made, (\d+) bytes", console)
        assert found is not None
        os.truncate(path / "initrd", int(found[1]))

    folder = kept(f"image-{suite}-{layout.name}", (str(workshop), str(system.folder)), make)
    return Image(folder, "initramfs-tools", "ours", suite, layout)


def boot_disks(system: Image, words: str) -> tuple[Path, Path]:
    """Return a disk with GRUB and the kernel and image of a system; and one with mandos=off.

    GRUB gives the kernel these words, too.  Both are installed by a machine with the same root.
    """
    workshop = _plain_disks(system.suite, *LOADER, str(_package_of("make-grub")))
    names = ("healthy.img", "off.img")

    def make(path: Path) -> None:
        drives = [path / name for name in names]
        for drive in drives:
            _make_boot_partition(drive, system)
        _work(workshop, system, f"make-grub grub-words={words.replace(' ', ',')}", *drives)
        for drive in drives:
            config = drive.with_suffix(".cfg")
            place = f"{drive}?offset={FIRST_SECTOR * 512}"
            _run("debugfs", "-R", f"dump /grub/grub.cfg {config}", place)
            assert config.stat().st_size > 0

    folder = kept(f"grub-{system.suite}", (str(workshop), str(system.folder), words), make)
    healthy, off = (folder / name for name in names)
    return healthy, off


def _package_of(script: str) -> Path:
    """A Debian package with one of the scripts beside this file, for a workshop."""
    control = (
        f"Package: {script}\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: a test\n"
    )

    def make(path: Path) -> None:
        tree = path / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(control, encoding="ascii")
        (tree / "usr/local/sbin").mkdir(parents=True)
        shutil.copyfile(_HERE / f"{script}.sh", tree / "usr/local/sbin" / script)
        (tree / "usr/local/sbin" / script).chmod(0o755)
        _run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(path / f"{script}.deb"))
        shutil.rmtree(tree)

    return kept(script, (control, _script(f"{script}.sh")), make) / f"{script}.deb"


def _make_boot_partition(drive: Path, system: Image) -> None:
    """Make a disk whose first partition has a system's kernel and initial RAM disk."""
    _make_empty(drive, FIRST_SECTOR * 512 + BOOT_PARTITION)
    with drive.open("r+b") as file:
        file.seek(446)
        file.write(PARTITION + struct.pack("<II", FIRST_SECTOR, BOOT_PARTITION // 512))
        file.seek(510)
        file.write(b"\x55\xaa")
    with tempfile.TemporaryDirectory() as boot:
        version = version_of(system.folder / "vmlinuz")
        shutil.copyfile(system.folder / "vmlinuz", f"{boot}/vmlinuz-{version}")
        shutil.copyfile(system.folder / "initrd", f"{boot}/initrd.img-{version}")
        place = ("-E", f"offset={FIRST_SECTOR * 512}", str(drive), f"{BOOT_PARTITION >> 10}k")
        _run("mke2fs", "-q", "-F", "-t", "ext2", "-d", boot, *place)


def version_of(kernel: Path) -> str:
    """The version of a kernel, as its modules' folder is named."""
    data = kernel.read_bytes()
    begin = int.from_bytes(data[_VERSION_FIELD : _VERSION_FIELD + 2], "little") + _VERSION_BASE
    return data[begin : data.index(b" ", begin)].decode("ascii")


def _make_empty(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _work(workshop: Path, system: Image, words: str, *drives: Path) -> str:
    """Let a workshop do what the first of the words says; returns what its console has shown."""
    line = (
        "console=ttyS0,115200 panic=-1 quiet root=/dev/mapper/cryptroot ro mandos=off "
        f"init=/usr/local/sbin/{words}"
    )
    disks = [qemu.forgetful(workshop / "root.img"), *map(qemu.lasting, drives)]
    kernel, initrd = system.folder / "vmlinuz", system.folder / "initrd"
    with Console(qemu.command(kernel, initrd, line, disks), launcher=()) as console:
        console.expect("unlock disk cryptroot")
        console.type(TYPED)
        ended = console.expect(r"^(?:disks|image): (made.*|failed)\n", WORKING_TIME)
        assert ended[1] != "failed", console.report("the machine has made nothing")
        return console.text


def _upgraded(suite: str) -> Path:
    """The system of one of ``UPGRADED``: kernel, initial RAM disk, section, and guest."""
    old, new = UPGRADED.values()
    packages = [str(_packages(release)) for release in (old, new)]
    tables = ("\n".join(PLAIN.crypttab), "\n".join(PLAIN.fstab))
    words = (old, new, *packages, PASSWORD, *tables)

    def make(path: Path) -> None:
        _run(*_ISOLATE, str(_HERE / "upgrade.sh"), str(_guest(old)), str(path), *words)

    scripts = _script("upgrade.sh", "tree.sh", "../release_upgrade.sh")
    return kept("upgraded", (scripts, str(_guest(old)), *words), make) / UPGRADED[suite]


def _guest(suite: str) -> Path:
    if suite in UPGRADED:
        return _upgraded(suite) / "guest.tar.zst"
    installed = (*INSTALLED, *NAMED_BY_SUITE.get(suite, SINCE_TRIXIE))
    words = (",".join(installed), *DOWNLOADED, *flags(suite))

    def make(path: Path) -> None:
        archive = str(path / "guest.tar.zst")
        _run(*_ISOLATE, str(_HERE / "guest.sh"), suite, archive, *words)

    return kept(f"guest-{suite}", (_script("guest.sh"), *words), make) / "guest.tar.zst"


@functools.cache
def _packages(suite: str) -> Path:
    files = [path for path in _ROOT.rglob("*") if path.is_file() and _is_source(path)]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(_ROOT)}\0{os.access(path, os.X_OK)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return kept(
        f"packages-{suite}", (digest.hexdigest(),), functools.partial(build_packages, suite=suite)
    )


def _is_source(path: Path) -> bool:
    parts = path.relative_to(_ROOT).parts
    return not parts[0].startswith(".") and not NO_SOURCES.intersection(parts)


def kept(kind: str, depends: tuple[str, ...], make: Callable[[Path], None]) -> Path:
    """Return a folder that ``make`` has filled, now or before, and that is as it was then."""
    key = hashlib.sha256(repr(depends).encode()).hexdigest()[:16]
    return _kept(cache() / f"boot-{kind}-{key}", f"boot-{kind}-", make)


@functools.cache
def _kept(path: Path, prefix: str, make: Callable[[Path], None]) -> Path:
    def fill(new: Path) -> None:
        new.mkdir(mode=0o755)
        make(new)
        (new / _SUMS).write_text(_sums(new), encoding="utf-8")

    once(path, fill)
    with alone(path.with_name(f"{path.name}.check")):
        if not _sound(path):
            with tempfile.TemporaryDirectory(dir=path.parent) as aside:
                path.rename(f"{aside}/damaged")
            once(path, fill)
    os.utime(path)
    _forget(path.parent, prefix)
    return path


def _sums(folder: Path) -> str:
    """The files of a folder with their digests, as sha256sum(1) would print them."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _SUMS:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{digest}  {path.relative_to(folder)}\n")
    return "".join(lines)


def _sound(folder: Path) -> bool:
    sums = folder / _SUMS
    return sums.exists() and sums.read_text(encoding="utf-8") == _sums(folder)


def _forget(folder: Path, prefix: str) -> None:
    """Remove all of a kind but the newest, and those that another run may be using."""
    found = [path for path in folder.glob(f"{prefix}*") if path.is_dir() and "." not in path.name]
    used = {path: path.stat().st_mtime for path in found}
    for path in sorted(found, key=lambda path: used[path])[:-KEPT]:
        if used[path] < time.time() - IN_USE:
            shutil.rmtree(path, ignore_errors=True)


def _script(*names: str) -> str:
    return "".join((_HERE / name).read_text(encoding="utf-8") for name in names)


def _run(*command: str) -> None:
    """Run a program to its successful end; what it says is seen when it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
