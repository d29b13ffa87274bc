# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line above a window: the window's contents, and the keys that change them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from mandos.admin.monitor import styles

if TYPE_CHECKING:
    from textual.strip import Strip

    from mandos.admin.monitor.window import Window


class TitleBar(Widget):
    """The window's title, reversed while the window takes the keys."""

    def __init__(self, window: Window, *, id: str) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._window = window

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - it has one line
        """The line."""
        style = styles.LOUD if self._window.has_focus else styles.TITLE
        return styles.spread(self.size.width, *self._window.title, style)
