# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list's columns: how wide they are, and what stands in them.

Everything is said in words; colours and weight only repeat it, so that nothing is lost without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from mandos.admin.monitor.row import LONG_AGO, State
from mandos.admin.monitor.view import Order
from mandos.admin.monitor.words import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, tzinfo

    from mandos.admin.monitor.row import Row

#: The words for states: those that need somebody are in capital letters.
LABELS: Final = {
    State.ASKS: "ASKS",
    State.FAILING: "FAILING",
    State.LATE: "LATE",
    State.ENABLED: "enabled",
    State.DISABLED: "disabled",
}
MARK: Final = ">"
_STATE, _TIME_LEFT, _ALIVE = 8, 9, 10
_NAME_LEAST, _NAME_MOST, _NOTE = 12, 40, 30
_GAP = 1


@dataclass(frozen=True, slots=True)
class Columns:
    """The widths of the columns in cells; 0: the column is left out."""

    name: int
    state: int
    time_left: int
    alive: int
    note: int

    @classmethod
    def within(cls, width: int, longest_name: int) -> Columns:
        """Share a line's width; a narrow one goes without the note, then without the last check."""
        fixed = len(MARK) + _STATE + _TIME_LEFT + 2 * _GAP
        alive, note = _ALIVE + _GAP, _NOTE + _GAP + 1
        wanted = max(_NAME_LEAST, min(longest_name, _NAME_MOST))
        for used in (fixed + alive + note, fixed + alive, fixed):
            if width - used >= _NAME_LEAST or used == fixed:
                name = max(1, min(wanted, width - used))
                has_alive, has_note = used > fixed, used > fixed + alive
                rest = width - used - name
                return cls(
                    name=name if has_note else name + rest,
                    state=_STATE,
                    time_left=_TIME_LEFT,
                    alive=_ALIVE if has_alive else 0,
                    note=_NOTE + rest if has_note else 0,
                )
        raise AssertionError

    def line(self, mark: str, cells: Sequence[str]) -> str:
        """Set five texts side by side; times are set to the right."""
        name, state, time_left, alive, note = cells
        texts = [mark + _cell(name, self.name), _cell(state, self.state)]
        texts.append(_right(time_left, self.time_left))
        if self.alive:
            texts.append(_right(alive, self.alive))
        if self.note:
            texts.append(" " + _cell(note, self.note))
        return " ".join(texts)

    def titles(self, order: Order, *, backward: bool) -> str:
        """The line above the list; the column it is sorted by has a mark."""
        arrow = "v" if backward else "^"
        titles = [f"{one.value}{arrow}" if one is order else one.value for one in Order]
        return self.line(" ", [*titles, "Note"])


def row_cells(row: Row, now: datetime, zone: tzinfo | None = None) -> tuple[str, ...]:
    """What stands in a client's columns."""
    disabled = row.client.disabled_at
    since = "" if disabled is None else moment(disabled, now, zone)
    return (
        row.name,
        LABELS[row.state(now)],
        row.time_left(now),
        row.last_alive(now) if row.alive != LONG_AGO else "never",
        row.note(now, since),
    )


def longest(rows: Iterable[Row]) -> int:
    """The length of the longest name, in characters."""
    return max((len(row.name) for row in rows), default=0)


def fit(text: str, width: int) -> str:
    """Cut a text to so many cells; what is missing shows as three dots."""
    if cell_len(text) <= width:
        return text
    return (set_cell_size(text, max(0, width - 3)) + "...")[:width]


def _cell(text: str, width: int) -> str:
    return set_cell_size(fit(text, width), width)


def _right(text: str, width: int) -> str:
    text = fit(text, width)
    return " " * (width - cell_len(text)) + text
