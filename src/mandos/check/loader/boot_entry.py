# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a boot loader starts: a kernel, its images and the kernel command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mandos.check.findings import GRUB_COMMAND_LINE
from mandos.errors import MandosError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from mandos.check.findings import Finding


class UnknownBootError(MandosError):
    """The boot loader's files do not say what it boots next."""


class BootEntry(NamedTuple):
    """One entry of a boot loader's menu.

    ``kernel`` and ``images`` are paths as the boot loader has them: below the file system that it
    reads, which may be mounted on /boot.  ``words`` is the kernel command line.  ``obstacle`` says
    why a person is needed before it starts, and ``cure`` how to change that; empty if none is.
    """

    title: str
    kernel: str
    images: tuple[str, ...]
    words: tuple[str, ...]
    obstacle: str = ""
    cure: str = ""


class Boot(NamedTuple):
    """A kernel that can be booted.

    ``name`` is its version.  ``image`` is its last initial RAM disk, None where it has none; the
    ones that the kernel unpacks before it are ``earlier``.  ``words`` is its kernel command line,
    None when it is unknown, as for kernels that GRUB does not boot next.  ``entry`` tells two
    entries with the same kernel apart.  ``command_line`` is the cure of a wrong word, ``renewal`` a
    command that has to follow when an image was made anew.
    """

    name: str
    kernel: Path
    image: Path | None
    words: tuple[str, ...] | None = None
    earlier: tuple[Path, ...] = ()
    entry: str = ""
    command_line: str = GRUB_COMMAND_LINE
    renewal: str = ""

    def folder(self) -> str:
        """A name for the folder of its unpacked image."""
        return f"{self.name}@{self.entry}" if self.entry else self.name

    def fitted(self, finding: Finding) -> Finding:
        """A finding about this kernel with the cure for its boot loader."""
        cure = finding.cure.replace(GRUB_COMMAND_LINE, self.command_line)
        if self.renewal and "update-initramfs" in cure:
            cure = f"{cure}, then {self.renewal}"
        elif self.renewal and "chmod 600" in cure:  # the partition has no permissions
            cure = "add umask=0077 to the options of its file system in /etc/fstab, and reboot"
        subject = finding.subject
        if self.entry and subject == self.name:
            subject = f"{self.name} ({self.entry})"
        return finding._replace(cure=cure, subject=subject)


class Boots(NamedTuple):
    """All kernels of a machine, and what was found about the boot loader."""

    next: Boot | None
    others: list[Boot]
    findings: list[Finding]

    def named(self, version: str) -> Boot:
        """The kernel of this version; raises UsageError."""
        known = [*([self.next] if self.next else []), *self.others]
        for boot in known:
            if boot.name == version:
                return boot
        names = ", ".join(boot.name for boot in known) or "none"
        raise UsageError(f"--kernel takes the version of an installed kernel, not {version!r}",
                         f"installed: {names}")  # fmt: skip
