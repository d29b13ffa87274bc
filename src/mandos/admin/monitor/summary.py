# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The top line: the number of clients of each kind, and the kind that the list is narrowed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.widget import Widget

from mandos.admin.formatting import printable
from mandos.admin.monitor import styles as paint
from mandos.admin.monitor.view import Show

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, tzinfo

    from textual import events
    from textual.strip import Strip

    from mandos.admin.monitor.model import Model


class Summary(Widget):
    """``[1 all 6]  2 asks 1 ...``: the digits are keys, the brackets show the choice."""

    def __init__(self, model: Model, now: Callable[[], datetime], zone: tzinfo | None) -> None:
        super().__init__(id="summary")
        self._model = model
        self._now = now
        self._zone = zone

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - it has one line
        """The line."""
        tabs = self._tabs()
        time = f"{self._now().astimezone(self._zone):%H:%M:%S} "
        text = f'with "{printable(self._model.view.text)}" ' if self._model.view.text else ""
        room = self.size.width - len("".join(tabs)) - 1
        right = next((one for one in (text + time, text) if cell_len(one) <= room), "")
        styles = (paint.LOUD if tab.startswith("[") else paint.PLAIN for tab in tabs)
        pieces = [
            *zip(tabs, styles, strict=True),
            (" " * (room + 1 - cell_len(right)), paint.PLAIN),
        ]
        return paint.strip(self.size.width, [*pieces, (right, paint.BOLD)])

    async def on_click(self, event: events.Click) -> None:
        """Narrow the list to the clicked kind."""
        end = 0
        for show, tab in zip(Show, self._tabs(), strict=True):
            end += len(tab)
            if event.x < end:
                await self.run_action(f"app.show({show.value!r})")
                return

    def _tabs(self) -> list[str]:
        view = self._model.view
        texts = [
            f"{number} {show.value} {view.counts[show]}" for number, show in enumerate(Show, 1)
        ]
        return [
            f"[{text}]" if show is view.show else f" {text} "
            for show, text in zip(Show, texts, strict=True)
        ]
