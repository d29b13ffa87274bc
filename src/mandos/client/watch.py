# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces in use that can carry packets now, as the kernel tells of them."""

from __future__ import annotations

from mandos.links import Links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.client.loop import Loop
    from mandos.client.selection import Selection
    from mandos.links import Link


class Watch:
    """``usable`` is kept true while the loop runs.

    ``changed`` is called after every change of links or addresses: an address that can be used
    from now on makes no other difference.
    """

    __slots__ = ("_changed", "_links", "_loop", "_selection", "usable")

    def __init__(self, selection: Selection, loop: Loop, changed: Callable[[], object]) -> None:
        self.usable: dict[int, Link] = {}
        self._selection = selection
        self._changed = changed
        self._loop = loop
        self._links = Links()
        loop.watch(self._links.fileno(), self._read)
        self._links.update()
        self._sort()

    def exists(self, name: str) -> bool:
        """Whether there is an interface of this name at all."""
        return self._links.named(name) is not None

    def close(self) -> None:
        """End."""
        self._loop.forget(self._links.fileno())
        self._links.close()

    def _read(self) -> None:
        if self._links.update():
            self._sort()
            self._changed()

    def _sort(self) -> None:
        self.usable = {
            index: link
            for index, link in self._links.by_index.items()
            if link.up and link.running and self._selection.uses(link)
        }
