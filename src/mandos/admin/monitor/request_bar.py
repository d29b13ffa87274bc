# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line that stands out while a client waits for approval, and names the keys to press."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from mandos.admin.monitor import styles

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from textual.strip import Strip

    from mandos.admin.monitor.model import Model


class RequestBar(Widget):
    """The request that is decided first, or the selected one."""

    def __init__(self, model: Model, now: Callable[[], datetime]) -> None:
        super().__init__(id="request")
        self._view = model.view
        self._now = now

    def renew(self) -> None:
        """Draw again, or go away."""
        self.display = bool(self._view.asking)
        self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - it has one line
        """The line."""
        left, right = self._texts()
        return styles.spread(self.size.width, f" {left}", f"{right} ", styles.REQUEST)

    def _texts(self) -> tuple[str, str]:
        asking, selected = self._view.asking, self._view.selected
        if not asking:
            return "", ""
        chosen = selected is not None and selected.path in {row.path for row in asking}
        row = selected if chosen and selected is not None else asking[0]
        others = f" (+{len(asking) - 1})" if len(asking) > 1 else ""
        keys = "a approve  d deny" if chosen else "r go there"
        return f"{row.name} asks: {row.request(self._now())}{others}", keys
