# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of text, fast enough for ten thousand rows; the last column may be folded.

A cell is a text and the name of a style.  The terminal (``screen``) decides the look of a style
and the width of a text.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_GAP = "  "
_DOTS = "..."
#: Columns that a name may take on a narrow terminal; on a wide one it may take half of them.
_NAME_ROOM = 40
#: A last column narrower than this is not worth folding.
_NARROWEST = 20


class Cell(NamedTuple):
    """A text, and its style's name; empty: none."""

    text: str
    style: str = ""


class Medium(NamedTuple):
    """The output: its width in columns (0: no limit), the width of a text, and styles."""

    columns: int = 0
    width: Callable[[str], int] = len
    paint: Callable[[str, str], str] = lambda text, _style: text


def layout(rows: Sequence[Sequence[Cell]], medium: Medium) -> Iterator[str]:
    """The lines of a table without frames, without blanks at their ends."""
    widths = [max(medium.width(cell.text) for cell in column) for column in zip(*rows, strict=True)]
    indent = sum(widths[:-1]) + len(_GAP) * len(widths[:-1])
    room = medium.columns - indent if medium.columns else 0
    for row in rows:
        first, *more = _fold(row[-1].text, room, medium)
        cells = [*row[:-1], Cell(first, row[-1].style)]
        yield _line(cells, widths, medium)
        for text in more:
            yield " " * indent + medium.paint(text, row[-1].style)


def cut(text: str, medium: Medium) -> str:
    """A name that leaves room for other columns; three dots replace the end of a longer one."""
    room = max(_NAME_ROOM, medium.columns // 2)
    if not medium.columns or medium.width(text) <= room:
        return text
    text = text[: room - len(_DOTS)]
    while medium.width(text) > room - len(_DOTS):
        text = text[:-1]
    return text + _DOTS


def _fold(text: str, room: int, medium: Medium) -> list[str]:
    if room < _NARROWEST or medium.width(text) <= room:
        return [text]
    return textwrap.wrap(text, room, break_on_hyphens=False) or [""]


def _line(cells: Sequence[Cell], widths: Sequence[int], medium: Medium) -> str:
    line, blanks = "", 0
    for cell, width in zip(cells, widths, strict=True):
        if cell.text:
            line += " " * blanks + medium.paint(cell.text, cell.style)
            blanks = 0
        blanks += width - medium.width(cell.text) + len(_GAP)
    return line
