# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line above a window: what the window shows, and the keys that change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from mandos.admin.monitor import paint

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.strip import Strip


class TitleBar(Widget):
    """Two texts, asked for when they are drawn."""

    def __init__(self, texts: Callable[[], tuple[str, str]], *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._texts = texts

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - it has one line
        """The line."""
        return paint.spread(self.size.width, *self._texts(), paint.TITLE)
