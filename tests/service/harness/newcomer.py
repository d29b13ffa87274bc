# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A newcomer's machines, and the lines that README.md and docs/installing.md tell a newcomer.

The lines are read from the documents themselves, so that a line that no longer works is a test
that fails.  The machines are clean Debian systems of a suite, without Python; what the lines
install from Debian is in apt's cache.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from harness.debian import SYSTEM, cache, once
from harness.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUITES = ("bookworm", "trixie")
#: The version of Python that a suite has, by which libraries are chosen.
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
#: An encrypted client has these, whoever unlocks it.
ENCRYPTED = ("initramfs-tools", "cryptsetup-initramfs", "busybox", "zstd")
#: The lines install these; the last ones are for packages of ours.
DOWNLOADED = (
    *("make", "python3", "python3-venv", "libgnutls30", "fping"),
    *("ucf", "adduser", "openssh-client"),
)
#: A package of its own from systemd 256 on, which our client's package wants then.
MORE_DOWNLOADED = {"trixie": ("systemd-cryptsetup",)}
#: A machine whose images dracut makes; from systemd 256 on, systemd-cryptsetup is not among these.
DRACUT = ("dracut", "cryptsetup-bin", "zstd", "cpio", "python3", "libgnutls30")
_ISOLATE = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
#: The parts of a checkout that a newcomer's download does not have.
_NO_DOWNLOAD = shutil.ignore_patterns(".*", "build", "dist", "__pycache__")


class Line(NamedTuple):
    """A line to type: where, and what; the comment after it is cut off."""

    on: str
    command: str


def tree(suite: str) -> Path:
    """The root directory of a clean system with an initial RAM disk and without Python."""
    downloaded = (*DOWNLOADED, *MORE_DOWNLOADED.get(suite, ()))
    return _tree("newcomer", suite, (*SYSTEM, *ENCRYPTED), downloaded)


def dracut_tree(suite: str) -> Path:
    """The same with dracut, and with all that our client needs."""
    return _tree("dracut", suite, (*SYSTEM, *DRACUT))


def _tree(
    name: str, suite: str, included: tuple[str, ...], downloaded: tuple[str, ...] = ()
) -> Path:
    recommended = "-o APT::Install-Recommends=true"  # as for a person; mmdebstrap has it otherwise
    download = f"apt-get install --yes {recommended} --download-only {' '.join(downloaded)}"
    key = hashlib.sha256(repr((suite, included, download)).encode()).hexdigest()[:12]

    def make(path: Path) -> None:
        _run(
            *(*_ISOLATE, "mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"),
            *(f"--include={','.join(included)}", "--skip=cleanup/apt"),
            '--aptopt=APT::Get::Assume-Yes "true"',
            *(f'--customize-hook=chroot "$1" {download if downloaded else "true"}',),
            *(suite, str(path)),
        )

    return once(cache() / f"{name}-{suite}-{key}", make)


def libraries(suite: str) -> Path:
    """The libraries of requirements.lock for a suite's Python, as make fetches them."""
    lock = (ROOT / "requirements.lock").read_bytes()
    key = hashlib.sha256(lock + PYTHON[suite].encode()).hexdigest()[:16]

    def make(path: Path) -> None:
        _run("make", f"LIBRARIES={path}", f"LIBRARIES_PYTHON={PYTHON[suite]}", str(path))

    return once(cache() / f"newcomer-libraries-{key}", make)


def download(folder: Path, suite: str) -> None:
    """Make a folder with what a newcomer downloads: the sources, and the libraries beside them."""
    shutil.copytree(ROOT, folder, ignore=_NO_DOWNLOAD, symlinks=True)
    shutil.copytree(libraries(suite), folder / "build" / "libraries")


def lines(document: str, heading: str) -> Iterator[Line]:
    """The lines of a section's blocks, each with ``server``, ``client`` or ``both``.

    The comment after a line says where it belongs, else the text before its block.
    """
    text = (ROOT / document).read_text(encoding="utf-8")
    section = re.split(rf"^## {re.escape(heading)}\n", text, flags=re.MULTILINE)[1]
    parts = section.partition("\n## ")[0].split("```\n")
    for before, block in zip(parts[::2], parts[1::2], strict=False):
        last = before.rstrip().rpartition("\n\n")[2]
        for line in block.splitlines():
            command, _mark, comment = line.partition("  #")
            yield Line(_place(comment) or _place(last) or "both", command.strip())


def _place(text: str) -> str:
    found = re.findall(r"\bon (?:the|each) (server|client)\b", text, flags=re.IGNORECASE)
    return found[-1] if len(set(found)) == 1 else ""


def _run(*command: str) -> None:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
