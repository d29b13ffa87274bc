# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The menu of a boot loader that follows the Boot Loader Specification (UAPI.1): entries in order.

Entries come from files of type #1 (``loader_entries``) and of type #2 (``unified_images``).
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cmp_to_key
from typing import TYPE_CHECKING, NamedTuple

from mandos.check.loader import version_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

#: Counters of boot attempts in a file name: tries left, and tries done.
_COUNTERS = re.compile(r"\+(\d+)(-\d+)?(?=\.[^.]+$)")
#: A word of the kernel command line, in which double quotes hide blanks.
_KERNEL_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


class MenuEntry(NamedTuple):
    """One entry that starts a Linux kernel.

    ``identity`` is the name of its file without counters.  ``images`` are the initial RAM disks in
    the order in which the kernel unpacks them; a unified kernel image is kernel and image at once.
    ``tries_left`` is None unless boots of the entry are counted.  ``problem`` says why the kernel
    cannot be started.
    """

    identity: str
    file: Path
    title: str
    kernel: Path
    images: tuple[Path, ...]
    words: tuple[str, ...]
    version: str = ""
    sort_key: str = ""
    machine_id: str = ""
    tries_left: int | None = None
    problem: str = ""

    def bad(self) -> bool:
        """Whether all tries failed: such an entry is the last choice."""
        return self.tries_left == 0


def without_counters(name: str) -> tuple[str, int | None]:
    """A file's name as the entry's identity, and the number of tries that are left."""
    match = _COUNTERS.search(name)
    if match is None:
        return name, None
    return name[: match.start()] + name[match.end() :], int(match[1])


def kernel_words(text: str) -> tuple[str, ...]:
    """The words of a kernel command line: the kernel's admin-guide/kernel-parameters."""
    return tuple(word.replace('"', "") for word in _KERNEL_WORD.findall(text))


def in_order(entries: Iterable[MenuEntry]) -> list[MenuEntry]:
    """Entries as a menu shows them, the best one first: section "Sorting" of the specification."""
    return sorted(entries, key=cmp_to_key(_compare))


def first_match(entries: Sequence[MenuEntry], pattern: str) -> MenuEntry | None:
    """The first entry that a pattern such as ``debian-*`` names; capitals make no difference."""
    wanted = pattern.lower()
    return next((entry for entry in entries if fnmatchcase(entry.identity.lower(), wanted)), None)


def _compare(one: MenuEntry, other: MenuEntry) -> int:
    """Names are compared with their suffixes, as by systemd-boot, other than in the specification.

    So "a-6.1.conf" comes before "a-6.1-2.conf".
    """
    return (
        one.bad() - other.bad()
        or (not one.sort_key) - (not other.sort_key)
        or (_by_key(one, other) if one.sort_key else 0)
        or -version_order.compare(one.identity, other.identity)
    )


def _by_key(one: MenuEntry, other: MenuEntry) -> int:
    left, right = (one.sort_key, one.machine_id), (other.sort_key, other.machine_id)
    return (left > right) - (left < right) or -version_order.compare(one.version, other.version)
