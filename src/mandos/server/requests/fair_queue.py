# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue whose sources are served in turns, however much each of them has put in.

A source is a path, its widest part first: a network, an address.  Networks are served in turns, and
so are the addresses of each network.  The items of one address keep their order.  Each call takes
constant time, and memory is that of the items that wait.  Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

Item = TypeVar("Item", bound="Hashable")
Source = tuple[str, ...]


class FairQueue(Generic[Item]):
    """Items that wait, each with its source; all sources have as many parts."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        # Name of a member, or an item itself where a source has no more parts; the next one first.
        self._members: OrderedDict[object, FairQueue[Item] | None] = OrderedDict()

    def __bool__(self) -> bool:
        return len(self._members) > 0

    def add(self, source: Source, item: Item) -> None:
        """Put an item behind those of its source; a source that is new goes behind the others."""
        if not source:
            self._members[item] = None
            return
        member = self._members.get(source[0])
        if member is None:
            member = self._members[source[0]] = FairQueue()
        member.add(source[1:], item)

    def take(self) -> Item:
        """Take out the first item of the source whose turn it is; raises KeyError if none waits."""
        name, member = self._members.popitem(last=False)
        if member is None:
            return cast("Item", name)
        item = member.take()
        if member:
            self._members[name] = member
        return item

    def discard(self, source: Source, item: Item) -> None:
        """Take an item out that waits no more; harmless when it is not there."""
        if not source:
            self._members.pop(item, None)
            return
        if member := self._members.get(source[0]):
            member.discard(source[1:], item)
            if not member:
                del self._members[source[0]]
