# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes and colours, and lines made of them.

Only problems are coloured: in the terminal's own red and magenta, which can be read on a light
and on a dark background.  Without colours bold, underlined and reversed text remain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from mandos.admin.monitor.cells import fit
from mandos.admin.monitor.messages import Weight
from mandos.admin.monitor.row import State

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN: Final = Style()
BOLD: Final = Style(bold=True)
BAR: Final = Style(reverse=True)
LOUD: Final = Style(bold=True, reverse=True)
REQUEST: Final = Style(color="magenta", bold=True, reverse=True)
TITLE: Final = Style(bold=True, underline=True)
STATES: Final = {
    State.ASKS: REQUEST,
    State.FAILING: Style(color="red", bold=True),
    State.LATE: Style(color="red"),
    State.ENABLED: PLAIN,
    State.DISABLED: BOLD,
}
WEIGHTS: Final = {Weight.VERBOSE: PLAIN, Weight.NORMAL: PLAIN, Weight.ALERT: BOLD}


def strip(width: int, pieces: Iterable[tuple[str, Style]], rest: Style = PLAIN) -> Strip:
    """Set pieces side by side and fill the line up in the style ``rest``."""
    return Strip([Segment(text, style) for text, style in pieces]).adjust_cell_length(width, rest)


def spread(width: int, left: str, right: str, style: Style) -> Strip:
    """Set two texts at the ends of a line; the left one is cut when they do not fit."""
    left = fit(left, max(0, width - cell_len(right) - 1))
    gap = " " * (width - cell_len(left) - cell_len(right))
    return strip(width, [(left + gap + right, style)], style)
