# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys, on a screen of their own that the next ? takes away."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.screen import ModalScreen

from mandos.admin.monitor import keys, styles
from mandos.admin.monitor.title_bar import TitleBar
from mandos.admin.monitor.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

_HALF = 39


def help_lines() -> list[str]:
    """All keys, in two columns of 39 characters."""
    left = [*_section("Everywhere", keys.GLOBAL)]
    right = [*_section("The selected client, in the list", keys.CLIENT), ""]
    right += _section("In the list, the log and the details", keys.MOVES)
    return [f"{one:{_HALF}}  {other}" for one, other in zip_longest(left, right, fillvalue="")]


def _section(title: str, rows: Sequence[keys.Key]) -> Iterator[str]:
    shown = [key for key in rows if key.shown]
    width = max(len(key.shown) for key in shown)
    yield title
    for key in shown:
        yield f" {key.shown:{width}}  {key.words}"


class HelpWindow(Window):
    """The lines."""

    @property
    def title(self) -> tuple[str, str]:
        """The window's title, and the keys that leave it."""
        return "Keys of mandos-monitor", "? back"


class HelpScreen(ModalScreen[None]):
    """Covers everything; the server is followed behind it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1,escape,enter,q,Q", "dismiss", "go back"),
    ]

    def compose(self) -> ComposeResult:
        """A title and the lines."""
        window = HelpWindow(id="help")
        yield TitleBar(window, id="help-title")
        yield window

    def on_mount(self) -> None:
        """Write the lines."""
        window = self.query_one(Window)
        titles = ("Everywhere", "The selected", "In the list")
        window.lines = [
            (line, styles.BOLD if line.startswith(titles) else styles.PLAIN)
            for line in help_lines()
        ]
        window.show_lines()
        window.focus()
