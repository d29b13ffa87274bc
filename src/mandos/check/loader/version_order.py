# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of version strings, by which boot loaders choose the newest entry.

Source: the Version Format Specification of the UAPI group (UAPI.10).  ``systemd-analyze
compare-versions`` is the same.
"""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[^A-Za-z0-9~^.-]+")
_NUMBER = re.compile(r"[0-9]*")
_WORD = re.compile(r"[A-Za-z]*")
#: Characters that begin a part, in the order of the comparison.  A version that has one where the
#: other has something else is older.  (The specification says so of all but the caret, which
#: systemd treats in the same way.)
_MARKS = "-^."


def compare(first: str, second: str) -> int:
    """Negative when the first version is older, 0 when both are equal, positive otherwise."""
    while True:
        first, second = _without_separators(first), _without_separators(second)
        marked, first, second = _mark(first, second, "~")
        if marked or not first or not second:
            return marked or bool(first) - bool(second)
        for mark in _MARKS:
            marked, first, second = _mark(first, second, mark)
            if marked:
                return marked
        pattern = _NUMBER if first[:1].isdigit() or second[:1].isdigit() else _WORD
        one, other = _beginning(pattern, first), _beginning(pattern, second)
        first, second = first[len(one) :], second[len(other) :]
        different = _order(one, other)
        if different:
            return different


def _without_separators(text: str) -> str:
    match = _SEPARATORS.match(text)
    return text[match.end() :] if match else text


def _mark(first: str, second: str, mark: str) -> tuple[int, str, str]:
    """The result if one string alone begins with the mark; otherwise 0, and both without it."""
    result = second.startswith(mark) - first.startswith(mark)
    return result, first.removeprefix(mark), second.removeprefix(mark)


def _beginning(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.match(text)
    return match[0] if match else ""


def _order(one: str, other: str) -> int:
    """Compare two words of ASCII letters, or two numbers; no number is older than any number."""
    if one.isdigit() and other.isdigit():
        one, other = one.lstrip("0"), other.lstrip("0")
        if len(one) != len(other):
            return len(one) - len(other)
    return (one > other) - (one < other)
