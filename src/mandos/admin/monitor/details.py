# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The window with all details of the selected client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mandos.admin.monitor import styles
from mandos.admin.monitor.cells import wrapped
from mandos.admin.monitor.detail_lines import facts
from mandos.admin.monitor.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, tzinfo

    from rich.style import Style
    from textual import events

    from mandos.admin.monitor.model import Model

_INDENT: Final = 14


class Details(Window):
    """Follows the selection while it is shown."""

    def __init__(self, model: Model, now: Callable[[], datetime], zone: tzinfo | None) -> None:
        super().__init__(id="details")
        self._view = model.view
        self._now = now
        self._zone = zone
        self._path = ""

    @property
    def title(self) -> tuple[str, str]:
        """Whose details these are."""
        selected = self._view.selected
        return ("Details" if selected is None else f"Details of {selected.name}"), "Enter hide"

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap at the new width."""
        self.renew()

    def renew(self) -> None:
        """Write the selected client's facts anew."""
        selected = self._view.selected
        if selected is None:
            self.lines = [("No client is selected.", styles.PLAIN)]
        else:
            self.lines = [
                line
                for title, text in facts(selected, self._now(), self._zone)
                for line in self._lines(title, text)
            ]
        self.show_lines()
        if selected is not None and selected.path != self._path:
            self._path = selected.path
            self.go_to(0)

    def _lines(self, title: str, text: str) -> Iterator[tuple[str, Style]]:
        first, *later = wrapped(text, max(20, self.size.width - _INDENT))
        yield f"{title:>{_INDENT - 2}}  {first}", styles.PLAIN
        for line in later:
            yield " " * _INDENT + line, styles.PLAIN
