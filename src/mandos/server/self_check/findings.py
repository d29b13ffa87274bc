# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of the checks, and their report for people and programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from mandos.server.logs.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mandos.errors import MandosError

ROOT_CAN = "run mandos --check as root"
_RED, _YELLOW, _GREEN, _PLAIN = "\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"


class Outcome(Enum):
    """The outcome of a check; its value is the word in the report."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """One finding: the subject, its state, and the cure when it is not well."""

    outcome: Outcome
    what: str
    said: str
    mend: str = ""


def ok(what: str, said: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(Outcome.OK, what, said)


def warning(what: str, said: str, mend: str) -> Finding:
    """Return the finding that the server works, but not as well as it should."""
    return Finding(Outcome.WARNING, what, said, mend)


def failed(what: str, said: str, mend: str) -> Finding:
    """Return the finding that the server does not work, or is not safe."""
    return Finding(Outcome.FAILED, what, said, mend)


def not_checked(what: str, said: str, mend: str = ROOT_CAN) -> Finding:
    """Return the finding that this user could not check something."""
    return Finding(Outcome.NOT_CHECKED, what, said, mend)


def failures(what: str, error: MandosError) -> Iterator[Finding]:
    """Yield a failure for each line of an error's message; the last one has the hint."""
    *first, last = str(error).splitlines()
    for line in first:
        yield failed(what, line, "")
    yield failed(what, last, error.hint or "")


def report(findings: Sequence[Finding], *, terminal: bool = False) -> tuple[str, int]:
    """Return the text to print and the exit status: 0 when nothing failed, else 1.

    The text has a line for each finding, and one for their number.  On a terminal it has colours,
    and each cure has a line of its own.
    """
    show = _for_terminal if terminal else _in_one_line
    lines = [show(finding) for finding in findings]
    counts = Counter(finding.outcome for finding in findings)
    total = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome)
    return "\n".join([*lines, total]) + "\n", 1 if counts[Outcome.FAILED] else 0


def _in_one_line(finding: Finding) -> str:
    mend = f"; to mend it: {finding.mend}" if finding.mend else ""
    return printable(f"{finding.outcome.value}: {finding.what}: {finding.said}{mend}")


def _for_terminal(finding: Finding) -> str:
    colour = _COLOURS[finding.outcome]
    word = f"{finding.outcome.value:11}"
    text = f"{colour}{word}{_PLAIN} {printable(f'{finding.what}: {finding.said}')}"
    if not finding.mend:
        return text
    return f"{text}\n{'':11} -> {printable(finding.mend)}"


_COLOURS = {
    Outcome.OK: _GREEN,
    Outcome.WARNING: _YELLOW,
    Outcome.FAILED: _RED,
    Outcome.NOT_CHECKED: _YELLOW,
}
