# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits the problems that a check has found, which are lines for a person, to a rotation.

Their cures are those of mandos-check; some would not help here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.check.findings import Link, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

_BROKEN = tuple(f"{link.value}: {Verdict.BROKEN.value}: " for link in Link)
_CURE = "  cure: "
#: It prints a section for the installed keys.
_NEW_SECTION = "run mandos-keygen --password"
_COUNTING = " --count-as-boot"
_CHECK, ROTATE = "mandos-check", "mandos-keygen --rotate"


def names_a_broken_link(problems: Iterable[str]) -> bool:
    """Whether a problem is sure; else the check could not judge a link."""
    return any(line.startswith(_BROKEN) for line in problems)


def of_other_keys(problems: Iterable[str]) -> list[str]:
    """The problems of keys that are not installed: a section of the installed ones cures none."""
    return [line for line in problems if not line.startswith(_CURE + _NEW_SECTION)]


def for_command(lines: Iterable[str], command: str) -> list[str]:
    """The lines with the command of a rotation where they name mandos-check --count-as-boot."""
    return [
        line.replace(_CHECK + _COUNTING, command + _COUNTING) if line.startswith(_CURE) else line
        for line in lines
    ]
