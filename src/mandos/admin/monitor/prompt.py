# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bottom line while a text is typed to search for, or to filter by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class Prompt(Horizontal):
    """Tells of each letter, so that the list can follow."""

    @dataclass
    class Typed(Message):
        """The text so far; it is ``done`` after Enter, and empty after Escape."""

        purpose: str
        text: str
        done: bool

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "leave"),
        Binding("tab,shift+tab", "accept", "accept", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__(id="prompt")
        self.purpose = ""
        self._label = Label("", markup=False)
        self._input = Input(compact=True)

    def compose(self) -> ComposeResult:
        """A word, and the text."""
        yield self._label
        yield self._input

    def open(self, purpose: str, text: str) -> None:
        """Let a text be typed for this purpose, starting from an older one."""
        self.purpose = ""
        self._input.value = text
        self._input.cursor_position = len(text)
        self.purpose = purpose
        self._label.update(f" {purpose}: ")
        self.display = True
        # At once: Textual's focus() comes later, and text typed before that would be taken
        # for keys, some of which disable clients.
        self.screen.set_focus(self._input)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell of the text so far."""
        event.stop()
        if self.purpose and self.display:
            self.post_message(self.Typed(self.purpose, event.value, done=False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Tell that this is it."""
        event.stop()
        self.action_accept()

    def action_accept(self) -> None:
        """Tell that this is it."""
        self.post_message(self.Typed(self.purpose, self._input.value, done=True))

    def action_cancel(self) -> None:
        """Tell that nothing is wanted."""
        self.post_message(self.Typed(self.purpose, "", done=True))
