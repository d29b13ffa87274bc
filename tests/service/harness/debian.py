# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clean Debian systems to install our packages on, with a systemd and without a network.

Their root directories are made by mmdebstrap, once, and kept below the user's cache directory with
every package that apt will want; what a test changes is gone with its machine.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.machine import MOUNTS, ROOT, START_SYSTEMD, Machine, why_no_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.process import Process

#: The release whose system a machine has, and for which packages are built, unless a test says so.
SUITE = "bookworm"
RELEASED = {"bookworm", "trixie"}
#: What a system has that runs services; nothing of it is for Mandos.
SYSTEM = ("dbus", "iproute2", "systemd", "systemd-sysv", "udev")
TOOLS = ("mmdebstrap", "make", "strip", "dpkg-deb")
#: What older releases do not have: there another alternative of a dependency is meant.
ABSENT = {"bookworm": {"libgnutls30t64", "systemd-cryptsetup"}}
#: Where a machine finds the packages.
PACKAGES = "/packages"
#: Raised when the same packages would make another tree.
_FORMAT = "1"
_HERE = Path(__file__).parent
#: Arguments: the tree, and the folder with the packages.
_BOOT = f"""
read -r pid rest </proc/self/stat
mount -t tmpfs -o mode=755,size=80% tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
mkdir /mnt/root{PACKAGES}
mount --bind "$2" /mnt/root{PACKAGES}
cd /mnt/root
{MOUNTS}
{START_SYSTEMD}
"""
#: Arguments: the tree, the folder with the packages, and a command for the tree's shell.
_CHROOT = f"""
mount -t tmpfs -o mode=755,size=80% tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
mkdir /mnt/root{PACKAGES}
mount --bind "$2" /mnt/root{PACKAGES}
mount -t proc proc /mnt/root/proc
chroot /mnt/root sh -euc "$3"
"""
#: Whatever a package starts while a tree is made ends with it.
_ISOLATE = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")


@functools.cache
def why_no_debian() -> str | None:
    """Say why packages cannot be built and tried here; None when they can."""
    if (reason := why_no_machine()) is not None:
        return reason
    missing = [name for name in TOOLS if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (tools/test-setup does it)" if missing else None


def cache() -> Path:
    """The folder for what is too dear to make in every run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mandos-tests"


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """While nobody else, in whatever process, makes this."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(path: Path, make: Callable[[Path], None]) -> Path:
    """Return ``path``, which ``make`` has made, now or before: whole, or not at all."""
    with alone(path):
        if not path.exists():
            half = path.with_name(f"{path.name}.new")
            shutil.rmtree(half, ignore_errors=True)
            make(half)
            half.rename(path)
    return path


def _run(*command: str, cwd: Path = ROOT) -> str:
    """Run a program to its successful end, and return what it says."""
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


def libraries() -> Path:
    """Other people's libraries as requirements.lock names them, as make fetches them."""
    lock = hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()[:16]
    return once(cache() / f"libraries-{lock}", _fetch_libraries)


def _fetch_libraries(path: Path) -> None:
    _run("make", f"LIBRARIES={path}", str(path))


def flags(suite: str) -> tuple[str, ...]:
    """Options of mmdebstrap for a release: testing changes daily, and a mirror may lag behind."""
    return () if suite in RELEASED else ('--aptopt=Acquire::Check-Valid-Until "false"',)


def build_packages(folder: Path, suite: str = SUITE) -> None:
    """Build our Debian packages for a release into a new folder."""
    _run("tools/build-deb-for", suite, str(cache()), str(folder), *flags(suite))


def build_old_packages(commit: str, work: Path, folder: Path) -> None:
    """Build the packages of an earlier commit, for the release that runs here."""
    work.mkdir()
    archive = work.with_suffix(".tar")
    _run("git", "archive", f"--output={archive}", commit)
    _run("tar", "--extract", f"--file={archive}", f"--directory={work}")
    _run("tools/build-deb", str(libraries()), str(folder), cwd=work)


def index(folder: Path) -> None:
    """Make a folder with packages one that apt takes for a repository."""
    text = subprocess.run(
        ["dpkg-scanpackages", "."], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    (folder / "Packages").write_text(text, encoding="utf-8")


def upgrade_release(
    tree: Path, new: str, packages: Path, repository: Path | None = None, old: str = SUITE
) -> str:
    """Install ``packages`` in a system, which becomes ``tree``, and upgrade it to another release.

    ``repository`` has packages that apt finds during the upgrade.  Returns what apt said.
    """
    _run("cp", "--archive", "--reflink=auto", str(prepared_tree(packages, old)), str(tree))
    words = [old, new, str(packages), *([str(repository)] if repository else [])]
    return _run(*_ISOLATE, str(_HERE / "release_upgrade.sh"), str(tree), *words)


def lint(packages: Path, suite: str = SUITE) -> None:
    """Run lintian as the release has it, where the packages were built."""
    (root,) = (path for path in cache().glob(f"build-{suite}-*") if path.is_dir())
    command = (
        f"cd {PACKAGES} && lintian --allow-root --fail-on=warning --tag-display-limit=0 *.changes"
    )
    _run(*_ISOLATE, "sh", "-euc", _CHROOT, "sh", str(root), str(packages), command)


def newer_packages(packages: Path, folder: Path, change: Callable[[Path, str], None]) -> None:
    """Make a later version of each package; ``change`` gets its files and its name."""
    folder.mkdir()
    for package in sorted(packages.glob("*.deb")):
        tree, name = folder / "tree", package.name.partition("_")[0]
        _run("dpkg-deb", "--raw-extract", str(package), str(tree))
        control = tree / "DEBIAN" / "control"
        text = control.read_text(encoding="utf-8")
        version = re.findall("^Version: (.*)", text, flags=re.MULTILINE)[0]
        text = text.replace(f"Version: {version}", f"Version: {version}+later")
        control.write_text(text.replace(f"(= {version})", f"(= {version}+later)"), encoding="utf-8")
        change(tree, name)
        _run("dpkg-deb", "-Zgzip", "-z1", "--build", str(tree), str(folder / f"{name}_later.deb"))
        shutil.rmtree(tree)


def dependencies(packages: Path, suite: str = SUITE) -> list[str]:
    """The names of what our packages depend on, the first alternative that the release has."""
    names: set[str] = set()
    for package in packages.glob("*.deb"):
        field = subprocess.run(
            ["dpkg-deb", "--field", package, "Depends"], check=True, capture_output=True, text=True
        ).stdout
        for part in field.split(","):
            alternatives = [word.split()[0].partition(":")[0] for word in part.split("|")]
            names.add(next(name for name in alternatives if name not in ABSENT.get(suite, ())))
    return sorted(name for name in names if not name.startswith("mandos-"))


def clean_tree(packages: Path, suite: str = SUITE) -> Path:
    """A system with nothing of ours, where apt has all that our packages need, and the original."""
    wanted = (*dependencies(packages, suite), "mandos", "mandos-client")
    return _tree("clean", suite, SYSTEM, wanted)


def prepared_tree(packages: Path, suite: str = SUITE) -> Path:
    """A system with what our packages need, and without them."""
    return _tree("prepared", suite, (*SYSTEM, *dependencies(packages, suite)))


def reference_tree(packages: Path, suite: str = SUITE) -> Path:
    """The same with the original's packages; their keys are those of the tree."""
    wanted = (*SYSTEM, *dependencies(packages, suite), "mandos", "mandos-client")
    return _tree("reference", suite, wanted)


def upgrading_tree(suite: str) -> Path:
    """A system that upgrades itself, by unattended-upgrades."""
    return _tree("upgrades", suite, (*SYSTEM, "unattended-upgrades"))


def loader_tree(suite: str = SUITE) -> Path:
    """A system with boot loaders and the tools that fill their partitions; none is installed.

    apt has a kernel.
    """
    ukify = () if suite == "bookworm" else ("systemd-ukify",)
    boot = ("systemd", "systemd-boot", "systemd-boot-efi", *ukify)
    include = (*boot, "binutils", "grub-efi-amd64-bin", "shim-unsigned")
    return _tree("loader", suite, include, ("linux-image-cloud-amd64",))


def _tree(name: str, suite: str, include: Sequence[str], download: Sequence[str] = ()) -> Path:
    words = repr((_FORMAT, suite, include, download))
    key = hashlib.sha256(words.encode()).hexdigest()[:12]
    install = 'chroot "$1" apt-get install --yes --no-install-recommends --download-only'
    hook = f"{install} {' '.join(download)}" if download else "true"

    def make(path: Path) -> None:
        _run(
            *(*_ISOLATE, "mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"),
            *(f"--include={','.join(include)}", f"--customize-hook={hook}"),
            *("--skip=cleanup/apt", *flags(suite), suite, str(path)),
        )

    return once(cache() / f"{suite}-{name}-{key}", make)


#: What the unit and property tests want of a system, beside Python.
_TESTS_WANT = (
    *("git", "gpg", "gpg-agent", "gnutls-bin", "libpq5", "openssl", "procps", "python3"),
    *("python3-venv", "shellcheck"),
)
#: Arguments: the tree, the checkout, Python's libraries, and a command for the tree's shell.  The
#: process is not the first of a namespace of its own: the tests' orphans need somebody.
_RUN_TESTS = """
mount -t tmpfs -o mode=755,size=80% tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root
mount --rbind /proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs -o mode=755 tmpfs run
mkdir run/checkout
mount --bind "$2" run/checkout
packages=$(echo usr/local/lib/python3.*/dist-packages)
mount --bind "$3" "$packages"
cat >usr/bin/mandos-keygen <<KEYGEN
#!/usr/bin/python3
from mandos.admin.keygen.main import main

raise SystemExit(main())
KEYGEN
chmod 755 usr/bin/mandos-keygen
exec chroot . sh -euc "$4"
"""


def run_tests(suite: str, *arguments: str) -> str:
    """Run pytest with the release's Python and our lock file's libraries; returns what it says."""
    tree = _tree("python", suite, _TESTS_WANT)
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = _run("chroot", str(tree), "python3", "-c", ask).strip()
    lock = hashlib.sha256((ROOT / "requirements-dev.lock").read_bytes()).hexdigest()[:16]
    libraries = once(cache() / f"dev-{version}-{lock}", functools.partial(_fetch, version))
    command = f"""
    cd /run/checkout
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1 HOME=/root
    python3 -m pytest -p no:cacheprovider {" ".join(map(shlex.quote, arguments))}
    """
    isolate = ("unshare", "--mount", "--propagation", "private", "sh", "-euc", _RUN_TESTS, "sh")
    return _run(*isolate, str(tree), str(ROOT), str(libraries), command)


def _fetch(version: str, folder: Path) -> None:
    """Libraries for the tests, and where our own modules are."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    words = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile")
    where = (f"--python-version={version}", f"--target={folder}")
    _run(*pip, *words, *where, "--requirement=requirements-dev.lock")
    (folder / "checkout.pth").write_text("/run/checkout/src\n", encoding="utf-8")


class DebianMachine(Machine):
    """A machine with the system of a tree, and packages in the folder ``PACKAGES``."""

    def __init__(self, tree: Path, packages: Path) -> None:
        self.name = tree.name
        self._processes: list[Process] = []
        self._make(_BOOT, str(tree), str(packages))
        self._boot()

    def apt_get(self, *words: str, seconds: float = 300) -> str:
        """Run apt-get, which may not ask; return what it said."""
        options = ("--yes", "--no-install-recommends", "--option=Dpkg::Use-Pty=0")
        command = ("apt-get", *options, *words)
        process = self.start(*command, environment={"DEBIAN_FRONTEND": "noninteractive"})
        status = process.wait(seconds)
        assert status == 0, process.report(f"exit status {status}")
        return process.log

    def install_packages(self, folder: str = PACKAGES, *, but: str = "none") -> str:
        """Install the packages of a folder, but that of one name; return what apt-get said."""
        files = self.path(folder).glob("*.deb")
        names = sorted(file.name for file in files if file.name.partition("_")[0] != but)
        assert names
        return self.apt_get("install", *(f"{folder}/{name}" for name in names))

    def files(self) -> set[str]:
        """Everything that is on the disk, but logs, caches, and the package tools' own records."""
        found = self.run("find", "/", "-xdev", "-printf", "%p\\n").decode().splitlines()
        return {path for path in found if not _RECORDS.match(path)}


_RECORDS = re.compile(
    r"/(var/(log|cache|tmp)|var/lib/(apt|dpkg|ucf)|var/backups|tmp|packages)(/|$)|"
    r"/etc/(passwd|group|shadow|gshadow)-$"
)
