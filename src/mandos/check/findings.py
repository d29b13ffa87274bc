# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of each link of the chain that a boot walks, and the exit status of them all."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: The end of a cure of a wrong word on the kernel command line, for GRUB.
GRUB_COMMAND_LINE = "in /etc/default/grub, then run update-grub"
#: Exit statuses of mandos-check besides those of sysexits.h.
COMES_BACK, STAYS_DOWN, UNSURE = 0, 1, 2


class Verdict(Enum):
    """The state of one link; the value is the word that a person reads."""

    OK = "ok"
    #: The machine comes back, but something deserves attention.
    WARNING = "warning"
    #: The link could not be judged here.
    NOT_SURE = "not sure"
    #: The machine would stop at the password prompt, or not come up at all.
    BROKEN = "broken"


class Link(Enum):
    """A link of the chain, in the order in which a boot comes to it; the value is its title."""

    BOOT_LOADER = "boot loader"
    IMAGE = "initial RAM disk"
    KEYS = "keys"
    PROGRAMS = "programs in the image"
    DISKS = "disks in the image"
    NETWORK = "network"
    SERVER = "server"
    SECRET = "secret"  # noqa: S105 - the name of a link
    BOOT = "boot"


class Finding(NamedTuple):
    """One statement about a link.

    ``subject`` names the kernel, server or disk that it is about, and is empty when there is one
    only.  ``text`` says what was found, ``meaning`` the consequence at boot, ``cure`` the commands
    or steps that mend it; both are empty when all is well.  If the link ``cause`` is broken, that
    explains this finding.
    """

    link: Link
    verdict: Verdict
    text: str
    subject: str = ""
    meaning: str = ""
    cure: str = ""
    cause: Link | None = None


def settled(findings: Sequence[Finding], *, opened: bool) -> Iterator[Finding]:
    """The findings of one boot; of the broken links only causes stay broken.

    A link becomes a warning where another one, which is broken, explains it.  So do broken keys if
    ``opened``: with the keys of the image a server gave a password that opens every disk, so other
    keys matter to later boots only.
    """
    if opened:
        findings = [_of_later_boots(finding) for finding in findings]
    broken = {finding.link for finding in findings if finding.verdict is Verdict.BROKEN}
    for finding in findings:
        if finding.cause is not None and finding.cause in broken:
            meaning = f"a consequence of the broken link: {finding.cause.value}"
            yield finding._replace(verdict=Verdict.WARNING, meaning=meaning, cure="")
        else:
            yield finding


def _of_later_boots(finding: Finding) -> Finding:
    if (finding.link, finding.verdict) != (Link.KEYS, Verdict.BROKEN):
        return finding
    meaning = "the next boot comes up with the keys in the image; one with a newer image may not"
    return finding._replace(verdict=Verdict.WARNING, meaning=meaning)


def shown(text: str) -> str:
    """A text in one line, for a terminal: control characters, which a server may send, escaped."""
    line = " ".join(text.splitlines())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


def renewal(version: str) -> str:
    """The cure of a bad image: the commands that make it anew, for this kernel."""
    return f"run update-initramfs -u -k {version}, or dracut --force --kver {version}"


def exit_status(findings: Iterable[Finding]) -> int:
    """Sum up: 0 only if nothing is broken and nothing is unknown."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.BROKEN in verdicts:
        return STAYS_DOWN
    return UNSURE if Verdict.NOT_SURE in verdicts or not verdicts else COMES_BACK
