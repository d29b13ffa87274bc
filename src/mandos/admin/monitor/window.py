# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A window of lines that can be moved through: the log and the details are such."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mandos.admin.monitor import keys, styles

if TYPE_CHECKING:
    from rich.style import Style
    from textual.binding import BindingType


class Window(ScrollView, can_focus=True):
    """Lines, of which those in sight are drawn."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.names, key.action, key.words) for key in keys.MOVES
    ]

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.lines: list[tuple[str, Style]] = []

    @property
    def title(self) -> tuple[str, str]:
        """The window's contents, and the keys that change them."""
        return "", ""

    def show_lines(self) -> None:
        """Draw again; ``lines`` has changed."""
        self.virtual_size = Size(self.size.width, len(self.lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        at = round(self.scroll_offset.y) + y
        if at >= len(self.lines):
            return Strip.blank(self.size.width)
        text, style = self.lines[at]
        return styles.strip(self.size.width, [(text, style)])

    def go_to(self, line: int) -> None:
        """Bring this line to the top, as far as there are lines.

        By force: Textual does not know yet that there are more lines now than fit.
        """
        self.scroll_to(y=line, animate=False, immediate=True, force=True)

    @property
    def at_end(self) -> bool:
        """Whether the last line is in sight."""
        return self.scroll_offset.y >= self.max_scroll_y

    def action_go_up(self) -> None:
        """Go up a line."""
        self.go_to(self.scroll_offset.y - 1)

    def action_go_down(self) -> None:
        """Go down a line."""
        self.go_to(self.scroll_offset.y + 1)

    def action_go_page_up(self) -> None:
        """Go up a page."""
        self.go_to(self.scroll_offset.y - self.size.height)

    def action_go_page_down(self) -> None:
        """Go down a page."""
        self.go_to(self.scroll_offset.y + self.size.height)

    def action_go_first(self) -> None:
        """Go to the start."""
        self.go_to(0)

    def action_go_last(self) -> None:
        """Go to the end."""
        self.go_to(len(self.lines))
