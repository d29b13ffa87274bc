# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list's columns: their widths and contents.

Words say everything; colours and weight only repeat it, so a screen without them loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mandos.admin.formatting import one_unit
from mandos.admin.monitor.cells import to_left, to_right
from mandos.admin.monitor.row import State
from mandos.admin.monitor.view import Order

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from mandos.admin.monitor.row import ClientRow

#: The words for states: capital letters mark those that need an administrator.
LABELS: Final = {
    State.ASKS: "ASKS",
    State.FAILING: "FAILING",
    State.LATE: "LATE",
    State.ENABLED: "enabled",
    State.DISABLED: "disabled",
}
MARK: Final = ">"
_STATE, _TIME_LEFT, _ALIVE = 8, 10, 11
_NAME_LEAST, _NAME_MOST, _NOTE = 12, 40, 19
_GAP = 1
_BOOTS: Final = ("Last boot", "Rehearsed")


@dataclass(frozen=True, slots=True)
class Columns:
    """The widths of the columns in cells; 0: the column is hidden."""

    name: int
    state: int
    time_left: int
    alive: int
    note: int
    #: The width of two columns: the last boot, and the last rehearsal of one.
    boots: int = 0

    @classmethod
    def within(cls, width: int, longest_name: int, *, boots: bool = False) -> Columns:
        """Share a line's width; a narrow one goes without the note, then without the last check.

        With ``boots`` a wide one has the columns of the last boot and rehearsal.
        """
        room = width - len(MARK) - _STATE - _TIME_LEFT - 2 * _GAP
        alive = _ALIVE if room >= _NAME_LEAST + _GAP + _ALIVE else 0
        room -= _GAP + alive if alive else 0
        note = _NOTE if alive and room >= _NAME_LEAST + 2 * _GAP + _NOTE else 0
        if not note:
            return cls(max(1, room), _STATE, _TIME_LEFT, alive, 0)
        room -= 2 * _GAP
        wished = max(_NAME_LEAST, min(longest_name, _NAME_MOST))
        dates = _ALIVE if boots and room >= wished + 2 * (_GAP + _ALIVE) + note else 0
        room -= 2 * (_GAP + dates) if dates else 0
        name = max(_NAME_LEAST, min(wished, room - note))
        return cls(name, _STATE, _TIME_LEFT, alive, room - name, dates)

    def line(self, mark: str, cells: Sequence[str], boots: Sequence[str]) -> str:
        """Set five texts side by side, and the two of ``boots``; times are set to the right."""
        name, state, time_left, alive, note = cells
        texts = [mark + to_left(name, self.name), to_left(state, self.state)]
        texts.append(to_right(time_left, self.time_left))
        if self.alive:
            texts.append(to_right(alive, self.alive))
        if self.boots:
            texts += (to_right(text, self.boots) for text in boots)
        if self.note:
            texts.append(" " + to_left(note, self.note))
        return " ".join(texts)

    def titles(self, order: Order, *, backward: bool) -> str:
        """The line above the list; the column it is sorted by has a sign."""
        sign = "-" if backward else "+"
        titles = [f"{one.value}{sign}" if one is order else one.value for one in Order]
        return self.line(" ", [*titles, "Note"], _BOOTS)


def row_cells(row: ClientRow, now: datetime) -> tuple[str, ...]:
    """The contents of a client's columns."""
    state = LABELS[row.state(now)]
    return row.name, state, row.time_left(now), row.last_alive(now), row.note(now)


def row_boots(row: ClientRow, now: datetime) -> tuple[str, str]:
    """How long ago a client last got its secret for a boot, and for a rehearsal of one."""
    client = row.client
    never = "never" if client.reports_boots else ""
    boot, rehearsal = (
        f"{one_unit(now - date)} ago" if date else never
        for date in (client.last_secret_sent, client.last_rehearsed)
    )
    return boot, rehearsal


def longest(rows: Iterable[ClientRow]) -> int:
    """The length of the longest name, in characters."""
    return max((len(row.name) for row in rows), default=0)
