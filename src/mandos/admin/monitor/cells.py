# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text measured in the terminal's cells, of which some characters take two and some none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size, split_graphemes

if TYPE_CHECKING:
    from collections.abc import Iterator


def fit(text: str, width: int) -> str:
    """Cut a text to so many cells; three dots replace the missing end."""
    if cell_len(text) <= width:
        return text
    return (set_cell_size(text, max(0, width - 3)) + "...")[:width]


def to_left(text: str, width: int) -> str:
    """Cut or fill a text up to so many cells."""
    return set_cell_size(fit(text, width), width)


def to_right(text: str, width: int) -> str:
    """Cut a text, or fill it up in front, to so many cells."""
    text = fit(text, width)
    return " " * (width - cell_len(text)) + text


def wrapped(text: str, width: int) -> Iterator[str]:
    """Break a text into lines, at blanks where that is possible."""
    line = ""
    for word in text.split(" "):
        if line and cell_len(line) + 1 + cell_len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
        *whole, line = _chopped(line, width)
        yield from whole
    yield line


def _chopped(text: str, width: int) -> list[str]:
    """Break a word that is too long between any two characters.

    Not by Rich's ``chop_cells``, which drops characters without width at the end of a text.
    """
    starts, taken = [0], 0
    for start, _end, cells in split_graphemes(text)[0]:
        if taken + cells > width:
            starts.append(start)
            taken = 0
        taken += cells
    return [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
