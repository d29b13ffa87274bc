# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads from a machine's serial console how far its boot has come."""

from __future__ import annotations

import re
from typing import NamedTuple

#: Bytes of the console that are kept.
_KEPT = 1 << 18
#: Escape sequences and control characters that are there for a terminal: ECMA-48, section 5.4.
_FOR_TERMINALS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_c78]|[\r\x00\x07]"
)
#: A volume has been unlocked.  The kernel's audit messages say so whatever the image is made of
#: (drivers/md/dm-audit.c: AUDIT_DM_CTRL is 1338), but for kernels built without CONFIG_DM_AUDIT;
#: then the generators' own messages do.
_UNLOCKED = (
    re.compile(r"audit: type=1338 .*module=crypt op=ctr .*?\bdev=(\d+:\d+) .*\bres=1"),
    re.compile(r"cryptsetup: (\S+): set up successfully"),
    re.compile(r"Finished .*tography Setup for (\S+?)\.?$", re.MULTILINE),
)
_PROMPT = re.compile(r"(?i)unlock disk|enter passphrase for|unlocking the disk")
_REFUSED = re.compile(
    r"No key available with this passphrase|the password from the server does not unlock"
    r"|Failed to activate with specified passphrase|bad password or options"
)
#: systemd keeps its report of a refused password for the journal, and asks again for the disk.
_SYSTEMD_PROMPT = re.compile(r"enter passphrase for disk (.+?):", re.IGNORECASE)
#: The unlocking itself has failed, and nothing tries again.
_FAILED = re.compile(r"Failed to start .*tography Setup for")


class Progress(NamedTuple):
    """How far a boot has come.

    ``unlocked`` counts the volumes that were unlocked.  ``refused`` says whether a password did not
    open one, ``asked`` whether a person could type it, ``failed`` whether nothing more is tried.
    """

    unlocked: int
    refused: bool
    asked: bool
    failed: bool


def _has_repetition(names: list[str]) -> bool:
    return len(set(names)) < len(names)


class Console:
    """The bytes of a console, as they come."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Take bytes that were printed."""
        self._data += data
        del self._data[:-_KEPT]

    @property
    def text(self) -> str:
        """The text so far, without control characters."""
        return _FOR_TERMINALS.sub("", self._data.decode("utf-8", "replace"))

    def progress(self) -> Progress:
        """Read how far the boot has come."""
        text = self.text
        return Progress(
            max(len(set(pattern.findall(text))) for pattern in _UNLOCKED),
            _REFUSED.search(text) is not None or _has_repetition(_SYSTEMD_PROMPT.findall(text)),
            _PROMPT.search(text) is not None,
            _FAILED.search(text) is not None,
        )

    def last_lines(self, number: int) -> list[str]:
        """The last lines that are not empty; audit messages are there for ``progress`` only."""
        lines = (line.strip() for line in self.text.splitlines() if " audit: " not in line)
        return [line for line in lines if line][-number:]
