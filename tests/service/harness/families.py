# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two implementations, each as the paths of its programs."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Family:
    """One implementation of the Mandos programs."""

    name: str
    server: str
    client: str
    agent: str
    keygen: str
    ctl: str
    monitor: str

    def missing(self) -> list[str]:
        """The programs that are not there."""
        programs = (
            *(self.server, self.client, self.agent),
            *(self.keygen, self.ctl, self.monitor),
        )
        return [path for path in programs if not shutil.which(path)]


@functools.cache
def reference() -> Family:
    """Return the programs of the Debian packages ``mandos`` and ``mandos-client``."""
    return Family(
        name="reference",
        server=_packaged("mandos", "/sbin/mandos"),
        client=_packaged("mandos-client", "/plugins.d/mandos-client"),
        agent=_packaged("mandos-client", "/90mandos/password-agent"),
        keygen=_packaged("mandos-client", "/sbin/mandos-keygen"),
        ctl=_packaged("mandos", "/sbin/mandos-ctl"),
        monitor=_packaged("mandos", "/sbin/mandos-monitor"),
    )


@functools.cache
def ours() -> Family:
    """Return the programs that are installed beside the running Python."""
    programs = Path(sys.executable).parent
    return Family(
        name="ours",
        server=str(programs / "mandos"),
        client=str(programs / "mandos-client"),
        agent=str(programs / "password-agent"),
        keygen=str(programs / "mandos-keygen"),
        ctl=str(programs / "mandos-ctl"),
        monitor=str(programs / "mandos-monitor"),
    )


def _packaged(package: str, ending: str) -> str:
    """Return the file of a Debian package with this ending, or the ending when there is none."""
    if shutil.which("dpkg-query") is None:
        return ending
    query = ["dpkg-query", "--listfiles", package]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return next((path for path in listed.splitlines() if path.endswith(ending)), ending)
