# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A question on the bottom line before something that cannot be undone; only y means yes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message
from textual.widget import Widget

from mandos.admin.monitor import styles

if TYPE_CHECKING:
    from textual import events
    from textual.strip import Strip

    from mandos.admin.monitor.row import ClientRow


class Question(Widget, can_focus=True):
    """Takes the next key, any key."""

    @dataclass
    class Answered(Message):
        """The answer, and the client that it is about."""

        row: ClientRow
        yes: bool

    def __init__(self) -> None:
        super().__init__(id="question")
        self._row: ClientRow | None = None

    def ask(self, row: ClientRow) -> None:
        """Ask whether to remove this client."""
        self._row = row
        self.display = True
        self.focus()
        self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - it has one line
        """The line."""
        name = "" if self._row is None else self._row.name
        text = f" Remove {name} from the server for good?"
        return styles.spread(self.size.width, text, "y remove  any other key: keep ", styles.LOUD)

    def on_key(self, event: events.Key) -> None:
        """Take the answer."""
        event.stop()
        event.prevent_default()
        self._answer(yes=event.key == "y")

    def on_blur(self) -> None:
        """Losing the focus counts as no."""
        self._answer(yes=False)

    def _answer(self, *, yes: bool) -> None:
        row, self._row = self._row, None
        if row is not None:
            self.post_message(self.Answered(row, yes))
