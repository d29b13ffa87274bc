# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of Debian 13 on a Debian 12 host: GnuPG 2.4 and the reference's client 1.8.19.

They run in a root directory of their own, made once, which shares /run, /dev and /proc.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.debian import _ISOLATE, _run, cache, once
from harness.families import reference

if TYPE_CHECKING:
    from harness.families import Family
    from harness.host import Host

SUITE = "trixie"
PACKAGES = ("gnupg", "mandos-client")
_CLIENT = "/usr/lib/x86_64-linux-gnu/mandos/plugins.d/mandos-client"
_PLACE = "/run/newer"
_SHARED = ("/run", "/dev", "/proc")


def why_not() -> str | None:
    """Say why such a root directory cannot be made here; None when it can."""
    if shutil.which("mmdebstrap") is None:
        return "not installed: mmdebstrap (tools/test-setup does it)"
    return None


@functools.cache
def tree() -> Path:
    """The root directory."""

    def make(path: Path) -> None:
        _run(
            *(*_ISOLATE, "mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"),
            *(f"--include={','.join(PACKAGES)}", SUITE, str(path)),
        )

    return once(cache() / f"{SUITE}-newer-2", make)


def gpg(home: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Run GnuPG 2.4 with a home directory, whose agent ends with it; return its output."""
    script = 'mount --bind "$1" "$2/mnt"; shift; root=$1; shift; exec chroot "$root" "$@"'
    command = ["gpg", "--homedir", "/mnt", "--batch", "--no-tty", "--trust-model", "always"]
    done = subprocess.run(
        [*_ISOLATE, "sh", "-ec", script, "sh", str(home), str(tree()), *command, *arguments],
        input=data,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def client(host: Host) -> Family:
    """The reference's family with the client of the newer release, on this host."""
    root = tree()
    for folder in _SHARED:
        host.run("mount", "--rbind", folder, f"{root}{folder}")
    host.path(_PLACE).write_text(f'#!/bin/sh\nexec chroot {root} {_CLIENT} "$@"\n')
    host.path(_PLACE).chmod(0o755)
    return replace(reference(), name="reference", client=_PLACE)
