# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the name that a misspelled word was meant to be, for hints in error messages."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Letters of a word that are compared with names; the word itself can have any length.
_LETTERS = 64


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that a misspelled word is like; none when no name is like it.

    At most every third letter may be wrong, missing, too many, or swapped with the next one (the
    optimal string alignment distance), and at most three letters.
    """
    distances = [(_distance(word[:_LETTERS], name), name) for name in names]
    distance, name = min(distances, default=(len(word), ""))
    return name if distance <= min(3, max(len(word), len(name)) // 3) else None


def _distance(one: str, other: str) -> int:
    rows = [list(range(len(other) + 1))]
    for number, letter in enumerate(one, 1):
        row = [number]
        for at, wanted in enumerate(other):
            changed = rows[-1][at] + (letter != wanted)
            row.append(min(rows[-1][at + 1] + 1, row[-1] + 1, changed))
            if number > 1 and at and one[number - 2 : number] == wanted + other[at - 1]:
                row[-1] = min(row[-1], rows[-2][at - 1] + 1)
        rows.append(row)
    return rows[-1][-1]
