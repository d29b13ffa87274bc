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
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.debian import alone, build_packages, cache, once, why_no_debian

if TYPE_CHECKING:
    from collections.abc import Callable

SUITE = "bookworm"
#: The guest: a system that boots, both generators' needs, and those of our packages.
INSTALLED = (
    *("systemd", "systemd-sysv", "udev", "dbus", "kmod", "iproute2", "procps", "login"),
    *("linux-image-cloud-amd64", "initramfs-tools", "busybox", "zstd", "cryptsetup-initramfs"),
    *("python3", "adduser", "gnutls-bin", "libgnutls30", "ucf"),
)
DOWNLOADED = ("mandos-client", "dracut dracut-network")
ROOT_UUID = "6d616e64-6f73-4000-8000-000000000001"
DATA_UUID = "6d616e64-6f73-4000-8000-000000000002"
#: What the server hands out, and what a person types: each opens both disks.
PASSWORD = "what the server hands out"
TYPED = "what a person types"
TOOLS = ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "cryptsetup", "zstd", "unshare", "cpio")
#: What our packages are not made of, though it is in the checkout (tools/build-deb).
NO_SOURCES = {"build", "dist", "tests", "benchmarks", "__pycache__"}
#: So many of one kind are kept: two suites may use different ones at the same time.
KEPT = 4

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
    """The encrypted disks, and what only the decrypted root knows."""

    folder: Path

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

    @property
    def section(self) -> str:
        """The client's section of clients.conf, as mandos-keygen has written it."""
        return (self.folder / "section").read_text(encoding="utf-8")

    @property
    def size(self) -> int:
        """Bytes of the initial RAM disk, as the generator has compressed it."""
        return (self.folder / "initrd").stat().st_size


def disks() -> Disks:
    """Return the disks."""
    script = _script("disk.sh", "report.sh", "report.service")
    words = (str(_guest()), ROOT_UUID, DATA_UUID, PASSWORD, TYPED)

    def make(path: Path) -> None:
        _run(*_ISOLATE, str(_HERE / "disk.sh"), words[0], str(path), *words[1:])

    return Disks(kept("disks", (script, *words), make))


def image(generator: str, client: str) -> Image:
    """Return an initial RAM disk; ``ours`` is made of this checkout."""
    packages = str(_packages()) if client == "ours" else "/nonexistent"
    words = (generator, client, ROOT_UUID, PASSWORD, packages)

    def make(path: Path) -> None:
        isolate = (*_ISOLATE, "--net")
        _run(*isolate, str(_HERE / "image.sh"), str(_guest()), str(path), *words)

    depends = (_script("image.sh", "vlan-hook.sh"), str(_guest()), *words)
    return Image(kept(f"image-{generator}-{client}", depends, make), generator, client)


def _guest() -> Path:
    words = (SUITE, ",".join(INSTALLED), *DOWNLOADED)

    def make(path: Path) -> None:
        archive = str(path / "guest.tar.zst")
        _run(*_ISOLATE, str(_HERE / "guest.sh"), SUITE, archive, *words[1:])

    return kept("guest", (_script("guest.sh"), *words), make) / "guest.tar.zst"


@functools.cache
def _packages() -> Path:
    files = [path for path in _ROOT.rglob("*") if path.is_file() and _is_source(path)]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(_ROOT)}\0{os.access(path, os.X_OK)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return kept("packages", (digest.hexdigest(),), build_packages)


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
    """Remove all but the newest of a kind."""
    found = [path for path in folder.glob(f"{prefix}*") if path.is_dir() and "." not in path.name]
    for path in sorted(found, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _script(*names: str) -> str:
    return "".join((_HERE / name).read_text(encoding="utf-8") for name in names)


def _run(*command: str) -> None:
    """Run a program to its successful end; what it says is seen when it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
