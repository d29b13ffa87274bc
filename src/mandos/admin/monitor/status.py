# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bottom line: the last key's effect, else problems or keys; and the place in the list.

Problems are those of the database and of the servers that share their state in it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from textual.widget import Widget

from mandos.admin.formatting import printable
from mandos.admin.monitor import styles

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from textual.strip import Strip

    from mandos.admin.monitor.model import Model

HINTS: Final = "q quit  ? keys  Enter details  / search  & filter  o sort"
#: How long it stays to be read.
_READING_TIME: Final = timedelta(seconds=8)


class Status(Widget):
    """Says something for a while."""

    def __init__(self, model: Model, now: Callable[[], datetime]) -> None:
        super().__init__(id="status")
        self._model = model
        self._view = model.view
        self._now = now
        self._text = ""
        self._until: datetime | None = None

    def say(self, text: str) -> None:
        """Show this for a while."""
        self._text = printable(text)
        self._until = self._now() + _READING_TIME
        self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - it has one line
        """The line."""
        said = self._until is not None and self._now() < self._until
        number = self._view.index + 1 if self._view.rows else 0
        place = f"{number} of {len(self._view.rows)} "
        problems = "; ".join(self._model.sharing.problems())
        style = styles.LOUD if said or problems else styles.BAR
        text = self._text if said else problems or HINTS
        return styles.spread(self.size.width, f" {text}", place, style)
