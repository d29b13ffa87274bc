# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log's window: it follows the newest line unless it was moved away from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.admin.monitor import styles
from mandos.admin.monitor.cells import wrapped
from mandos.admin.monitor.messages import KEPT, Message, Messages, Weight
from mandos.admin.monitor.window import Window

if TYPE_CHECKING:
    from datetime import date, tzinfo

    from textual import events

#: Lines kept, about; messages of both sorts, and long ones take several.
_LINES = 4 * KEPT
_LEAST = 20  # columns


class LogPane(Window):
    """Messages as lines: the time, then the text."""

    def __init__(self, messages: Messages, zone: tzinfo | None, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.wrap = True
        self.verbose = False
        self._messages = messages
        self._zone = zone
        self._shown = 0
        self._day: date | None = None

    @property
    def title(self) -> tuple[str, str]:
        """The records that the log shows now, and the keys that change them."""
        what = "all checks" if self.verbose else "no successful checks"
        lines = "long lines wrapped" if self.wrap else "long lines cut"
        return f"Log: {what}, {lines}", "l hide  v checks  w wrap"

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap at the new width."""
        self.renew()

    def renew(self) -> None:
        """Write all messages anew."""
        self.lines = []
        self._shown, self._day = 0, None
        self._append()
        self.show_lines()
        self.action_go_last()

    def catch_up(self) -> None:
        """Add the messages that are new."""
        if self._messages.last == self._shown or not self.size.width:
            return
        following = self.at_end
        self._append()
        dropped = max(0, len(self.lines) - _LINES)
        del self.lines[:dropped]
        self.show_lines()
        if following:
            self.action_go_last()
        elif dropped:
            self.go_to(self.scroll_offset.y - dropped)

    def _append(self) -> None:
        for message in self._messages.after(self._shown, verbose=self.verbose):
            self._write(message)
        self._shown = self._messages.last

    def _write(self, message: Message) -> None:
        local = message.at.astimezone(self._zone)
        if local.date() != self._day:
            if self._day is not None or self.lines:
                self.lines.append((f"{local:%Y-%m-%d}", styles.PLAIN))
            self._day = local.date()
        style = styles.WEIGHTS[message.weight]
        mark = "*" if message.weight is Weight.ALERT else " "
        first, later = f"{local:%H:%M:%S} {mark} ", " " * 11
        width = max(_LEAST, self.size.width - len(later))
        head, *rest = wrapped(message.text, width) if self.wrap else (message.text,)
        self.lines.append((first + head, style))
        self.lines.extend((later + piece, style) for piece in rest)
