# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's messages on the console, kept quiet for a moment: syslog(2), proc(5).

Interfaces that come up make lines in the midst of a password prompt.  The file in /proc serves
where klogctl(3) would: it needs no C library loaded through ctypes, and container and test can
cover it.  The messages themselves stay in the kernel's log.
"""

from __future__ import annotations

from mandos.client.root.kernel import read_setting, write_setting

_LEVELS = "/proc/sys/kernel/printk"
#: Only messages of the system's end (KERN_EMERG); klogctl's "console off" is the same.
_QUIET = b"1\n"


class QuietConsole:
    """Lowers the console's log level; ``restore`` puts it back if it is unchanged."""

    __slots__ = ("_former",)

    def __init__(self) -> None:
        self._former = _level()
        if self._former:
            write_setting(_LEVELS, _QUIET)

    def restore(self) -> None:
        """Bring the messages back; harmless when repeated."""
        if self._former and _level() == _QUIET.strip():
            write_setting(_LEVELS, self._former)
        self._former = b""


def _level() -> bytes:
    """The first of the four numbers; nothing where the file cannot be read."""
    return (read_setting(_LEVELS).split() or [b""])[0]
