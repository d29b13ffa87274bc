# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line above the list: the titles of its columns, and the column that it is sorted by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from mandos.admin.monitor import styles

if TYPE_CHECKING:
    from textual.strip import Strip

    from mandos.admin.monitor.client_list import ClientList
    from mandos.admin.monitor.model import Model


class ColumnTitles(Widget):
    """The titles, as wide as the list's columns."""

    def __init__(self, model: Model, clients: ClientList) -> None:
        super().__init__(id="titles")
        self._view = model.view
        self._clients = clients

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - it has one line
        """The line."""
        text = self._clients.columns.titles(self._view.order, backward=self._view.backward)
        return styles.strip(self.size.width, [(text, styles.TITLE)], styles.TITLE)
