# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out whether the machine was restarted since the server last ran, or only the server.

The kernel makes an ID for each boot (proc_sys_kernel(5), random/boot_id); the state directory keeps
the ID of the boot in which the server last served.  A thief may be able to crash the server from
the network, but not to start its machine anew, so ``life/client.py`` forgives a client more after
the latter.
Every doubt counts as "only the server".
"""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path

log = logging.getLogger(__name__)

NAME = "boot-id"
_KERNEL = Path("/proc/sys/kernel/random/boot_id")


class LastBoot:
    """The boot in which the server of this state directory last served."""

    def __init__(self, directory: Path, kernel: Path = _KERNEL) -> None:
        self._path = directory / NAME
        self._now = _read(kernel)
        last = _read(self._path)
        self.is_another = bool(last and self._now and last != self._now)

    def note(self) -> None:
        """Keep the ID of the present boot, before any client is served.

        Overwrites the file in place, which works on a full disk.  A file that cannot be written is
        removed, so that it cannot make the next start of the server look like one of the machine.
        """
        try:
            _overwrite(self._path, f"{self._now}\n".encode())
        except OSError as error:
            log.warning(
                "cannot write %s: %s: a power cut will count as a restart of the server alone",
                *(self._path, error.strerror),
            )
            try:
                self._path.unlink(missing_ok=True)
            except OSError as worse:
                log.error("cannot remove %s: %s", self._path, worse.strerror)  # noqa: TRY400


def present() -> str:
    """The ID of the machine's present boot; empty when the kernel does not say."""
    return _read(_KERNEL)


def _overwrite(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    """The ID in a file; empty when there is none, or something else.

    Reads it as UTF-8, the one codec that Python need not load: root is given up by now.
    """
    try:
        return str(uuid.UUID(path.read_bytes().decode().strip()))
    except (OSError, ValueError):
        return ""
