# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which clients the list shows, in which order, and which of them is selected.

The selection is a client, never a place: it stays on its client when the list changes.  While the
administrator has not moved it (``automatic``), it goes to requests as they come.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from mandos.admin.monitor.row import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from mandos.admin.monitor.row import ClientRow

#: So long after the selection moved by itself no key is taken for the newly selected client.
SETTLING: Final = timedelta(seconds=1)


class Show(Enum):
    """The kinds that the list can be narrowed to; the values are the words on the screen."""

    ALL = "all"
    ASKS = "asks"
    FAILING = "failing"
    ENABLED = "enabled"
    DISABLED = "disabled"


#: The kind of each of a row's states.
_SHOWN: Final = {
    State.ASKS: Show.ASKS,
    State.FAILING: Show.FAILING,
    State.LATE: Show.FAILING,
    State.ENABLED: Show.ENABLED,
    State.DISABLED: Show.DISABLED,
}


class Order(Enum):
    """The orders of the list; the values are the titles of columns."""

    NAME = "Name"
    STATE = "State"
    TIME_LEFT = "Time left"
    ALIVE = "Last alive"


class View:
    """The rows of the list, in order; ``arrange`` renews them."""

    def __init__(self) -> None:
        self.show = Show.ALL
        self.text = ""
        self.order = Order.NAME
        self.backward = False
        self.automatic = True
        self.rows: list[ClientRow] = []
        #: All clients that ask, the one that is decided first before the others.
        self.asking: list[ClientRow] = []
        self.counts = dict.fromkeys(Show, 0)
        self.index = 0
        self._all: Iterable[ClientRow] = ()
        self._selected: str | None = None
        self._kept: str | None = None
        #: The client that was selected until it vanished; when it comes back before a person
        #: has moved the selection, as after a restart of the server, it is selected again.
        self._vanished: str | None = None
        self._moved_by_itself: datetime | None = None

    @property
    def selected(self) -> ClientRow | None:
        """The selected client, None in an empty list."""
        return self.rows[self.index] if self.rows else None

    @property
    def narrowed(self) -> bool:
        """Whether some clients are hidden."""
        return self.show is not Show.ALL or bool(self.text)

    def arrange(self, rows: Iterable[ClientRow], now: datetime) -> None:
        """Take all clients anew, sorted by name: count, filter, sort, find the selected one."""
        self._all = rows
        counts = [0] * len(State)
        wanted = self._wanted_states()
        self.asking, others = [], []
        for row in rows:
            state = row.state(now)
            counts[state] += 1
            if state is State.ASKS:
                self.asking.append(row)
            elif (wanted[state] and self.text in row.text) or row.path == self._kept:
                others.append(row)
        self._count(counts)
        self.asking.sort(key=attrgetter("answered"))
        if self.order is not Order.NAME:
            others.sort(key=_sort_key(self.order, now), reverse=self.backward)
        elif self.backward:
            others.reverse()
        asking = [
            row
            for row in self.asking
            if (wanted[State.ASKS] and self.text in row.text) or row.path == self._kept
        ]
        self.rows = asking + others
        self._find_selected(len(asking), now)

    def narrow(self, now: datetime, show: Show | None = None, text: str | None = None) -> None:
        """Show only these clients from now on; None leaves that as it is."""
        self.show = self.show if show is None else show
        self.text = self.text if text is None else text.casefold()
        self._kept = self._vanished = None
        self.arrange(self._all, now)

    def sort(self, now: datetime, order: Order, *, backward: bool) -> None:
        """Sort by this from now on; clients that ask stay on top."""
        self.order, self.backward = order, backward
        self.arrange(self._all, now)

    def reset(self, now: datetime) -> None:
        """Show all clients again, and let the selection go to requests by itself."""
        self.automatic = True
        self.narrow(now, Show.ALL, "")

    def move(self, by: int) -> None:
        """Select another client, so many lines further, or the last on the way there."""
        self.select(self.index + by)

    def select(self, index: int) -> None:
        """Select the client of this line, or of the nearest line that there is."""
        self._point(index)
        self.keep()

    def keep(self) -> None:
        """Stay on the selected client: requests do not move the selection, no filter hides it."""
        self.automatic = False
        self._kept = self._selected
        self._vanished = None

    def next_request(self, now: datetime) -> ClientRow | None:
        """Select the next client that asks, in any filter; None when no client does."""
        if not self.asking:
            return None
        paths = [row.path for row in self.asking]
        at = paths.index(self._selected) + 1 if self._selected in paths else 0
        self._selected = self._kept = paths[at % len(paths)]
        self._vanished = None
        self.automatic = True
        self.arrange(self._all, now)
        self._moved_by_itself = None
        return self.selected

    def search(self, text: str, *, step: int = 1, here: bool = False) -> bool:
        """Select the next client with this text, or the one before (step -1); whether any has it.

        ``here``: the selected client may be it.
        """
        wanted, count = text.casefold(), len(self.rows)
        first = 0 if here else 1
        for offset in range(first, first + count):
            at = (self.index + step * offset) % count
            if wanted in self.rows[at].text:
                self.select(at)
                return True
        return False

    def settled(self, now: datetime) -> bool:
        """Whether the selection is one that a person has had time to see."""
        moved = self._moved_by_itself
        return moved is None or now - moved >= SETTLING

    def _wanted_states(self) -> list[bool]:
        return [self.show in {Show.ALL, _SHOWN[state]} for state in State]

    def _count(self, counts: list[int]) -> None:
        self.counts = dict.fromkeys(Show, 0)
        for state, count in zip(State, counts, strict=True):
            self.counts[_SHOWN[state]] += count
        self.counts[Show.ALL] = sum(counts)

    def _find_selected(self, asking: int, now: datetime) -> None:
        """Point at the selected client again, or at the one that took its place."""
        before = self._selected
        paths = [row.path for row in self.rows]
        if self._vanished in paths:
            self._selected, self._vanished = self._vanished, None
        elif before not in paths and self._vanished is None:
            self._vanished = before
        if not self.rows:
            self.index = 0
            return
        if self.automatic and asking and self._selected not in paths[:asking]:
            self._point(0)
        elif self._selected in paths:
            self.index = paths.index(self._selected)
        else:
            self._point(self.index)
        if before is not None and before != self._selected:
            self._kept = None
            self._moved_by_itself = now

    def _point(self, index: int) -> None:
        if self.rows:
            self.index = max(0, min(index, len(self.rows) - 1))
            self._selected = self.rows[self.index].path
            self._moved_by_itself = None


def _sort_key(order: Order, now: datetime) -> Callable[[ClientRow], State | datetime]:
    if order is Order.STATE:
        return lambda row: row.state(now)
    return attrgetter("expires" if order is Order.TIME_LEFT else "alive")
