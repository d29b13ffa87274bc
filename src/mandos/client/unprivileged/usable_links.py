# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces in use that can carry packets now, as the kernel reports them."""

from __future__ import annotations

import time

from mandos.links import Links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mandos.client.selection import Selection
    from mandos.client.unprivileged.loop import Loop
    from mandos.links import Link


class UsableLinks:
    """``usable`` is kept true while the loop runs; a part of the loop.

    ``changed`` is called after every change of links or addresses: an address that can be used
    from now on makes no other difference.  ``widened`` is called once if the selection's names
    match nothing for too long, with a message for a person.
    """

    __slots__ = ("_changed", "_links", "_loop", "_selection", "_widened", "usable")

    def __init__(
        self,
        selection: Selection,
        loop: Loop,
        changed: Callable[[], object],
        widened: Callable[[str], object],
    ) -> None:
        self.usable: dict[int, Link] = {}
        self._selection = selection
        self._changed = changed
        self._widened = widened
        self._loop = loop
        self._links = Links()
        loop.watch(self._links.fileno(), self._read)
        self._links.update()
        self._sort()
        selection.look(self.all, time.monotonic())

    @property
    def all(self) -> Iterable[Link]:
        """All links of the machine."""
        return self._links.by_index.values()

    @property
    def selected(self) -> list[Link]:
        """The links in use, in any state."""
        return [link for link in self.all if self._selection.uses(link)]

    def exists(self, name: str) -> bool:
        """Whether there is an interface of this name at all."""
        return self._links.named(name) is not None

    def deadline(self, now: float) -> float:  # noqa: ARG002 - as every part of the loop
        """When to call ``tick``."""
        return self._selection.deadline

    def tick(self, now: float) -> None:
        """Use all interfaces once the named ones have been of no use for too long."""
        if self._selection.look(self.all, now):
            self._widened(self._selection.why_wide(self.all))
            self._sort()
            self._changed()

    def close(self) -> None:
        """Stop following the links."""
        self._loop.forget(self._links.fileno())
        self._links.close()

    def _read(self) -> None:
        if self._links.update():
            self.tick(time.monotonic())
            self._sort()
            self._changed()

    def _sort(self) -> None:
        self.usable = {
            index: link
            for index, link in self._links.by_index.items()
            if link.up and link.running and self._selection.uses(link)
        }
