# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of clients: however many there are, only those in sight are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.geometry import Offset, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mandos.admin.monitor import keys, styles
from mandos.admin.monitor.cells import fit
from mandos.admin.monitor.columns import MARK, Columns, longest, row_boots, row_cells
from mandos.admin.monitor.model import WAITING, Model
from mandos.admin.monitor.row import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rich.style import Style
    from textual import events
    from textual.binding import BindingType

    from mandos.admin.monitor.row import ClientRow

_WHEEL = 3  # lines
_NO_CLIENTS = ("The server has no clients.", "mandos-keygen --password on a client makes one.")
_NO_MATCH = ("No client is like that.  Esc shows all.",)


class ClientList(ScrollView, can_focus=True):
    """A line for each client of the model's view."""

    @dataclass
    class Moved(Message):
        """The administrator selected another client."""

    @dataclass
    class Wanted(Message):
        """The administrator wants this done with the selected client."""

        act: str

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.names, key.action, key.words) for key in (*keys.MOVES, *keys.CLIENT)
    ]

    def __init__(self, model: Model, now: Callable[[], datetime]) -> None:
        super().__init__(id="clients")
        self.columns = Columns.within(80, 0)
        self._model = model
        self._now = now

    def renew(self) -> None:
        """Draw all that is in sight; the view was arranged."""
        rows = self._model.view.rows
        boots = any(row.client.reports_boots for row in rows)
        self.columns = Columns.within(self.size.width, longest(rows), boots=boots)
        self.virtual_size = Size(self.size.width, len(rows))
        self._keep_in_sight()
        self.refresh()

    def on_resize(self, _event: events.Resize) -> None:
        """Share the new width."""
        self.renew()

    def on_click(self, event: events.Click) -> None:
        """Select the client of the line."""
        self._model.view.select(self._top + event.y)
        self._moved()

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move with the wheel: the selection is always in sight."""
        event.prevent_default().stop()
        self._move(_WHEEL)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.prevent_default().stop()
        self._move(-_WHEEL)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        rows, at = self._model.view.rows, self._top + y
        if not rows:
            return self._explanation(y)
        if at >= len(rows):
            return Strip.blank(self.size.width)
        return self._line(rows[at], selected=at == self._model.view.index)

    def _line(self, row: ClientRow, *, selected: bool) -> Strip:
        now = self._now()
        style = styles.STATES[row.state(now)]
        cells = row_cells(row, now)
        text = self.columns.line(MARK if selected else " ", cells, row_boots(row, now))
        if selected:
            chosen = styles.LOUD if self.has_focus else styles.TITLE
            return styles.strip(self.size.width, [(text, chosen)], chosen)
        base = styles.BOLD if row.basis in {State.ASKS, State.FAILING} else styles.PLAIN
        at = 1 + self.columns.name + 1
        end = at + len(cells[1])
        pieces = [(text[:at], base), (text[at:end], style), (text[end:], base)]
        return styles.strip(self.size.width, pieces)

    def _explanation(self, y: int) -> Strip:
        """Why there is nothing in the list."""
        obstacle = self._model.obstacle
        lines = ("", *obstacle, "", WAITING) if obstacle else ("", *self._nothing())
        text = fit(lines[y], self.size.width - 2) if y < len(lines) else ""
        style: Style = styles.BOLD if obstacle and y == 1 else styles.PLAIN
        return styles.strip(self.size.width, [(f"  {text}", style)])

    def _nothing(self) -> tuple[str, ...]:
        return _NO_MATCH if self._model.view.narrowed else _NO_CLIENTS

    @property
    def _top(self) -> int:
        return round(self.scroll_offset.y)

    def _keep_in_sight(self) -> None:
        """Scroll as little as shows the selected line, and set the terminal's cursor there.

        Screen readers and Braille displays follow that cursor.
        """
        index, height = self._model.view.index, self.size.height
        if height and not self._top <= index < self._top + height:
            top = index if index < self._top else index - height + 1
            self.scroll_to(y=top, animate=False, immediate=True, force=True)
        if self.has_focus:
            self.app.cursor_position = self.content_region.offset + Offset(0, index - self._top)

    def _move(self, by: int) -> None:
        self._model.view.move(by)
        self._moved()

    def _moved(self) -> None:
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Moved())

    def action_go_up(self) -> None:
        """Go up a line."""
        self._move(-1)

    def action_go_down(self) -> None:
        """Go down a line."""
        self._move(1)

    def action_go_page_up(self) -> None:
        """Go up a page."""
        self._move(-max(1, self.size.height - 1))

    def action_go_page_down(self) -> None:
        """Go down a page."""
        self._move(max(1, self.size.height - 1))

    def action_go_first(self) -> None:
        """Go to the start."""
        self._move(-len(self._model.view.rows))

    def action_go_last(self) -> None:
        """Go to the end."""
        self._move(len(self._model.view.rows))

    def action_act(self, act: str) -> None:
        """Ask for this to be done."""
        self.post_message(self.Wanted(act))

    def action_remove(self) -> None:
        """Ask for its removal."""
        self.post_message(self.Wanted("remove"))
