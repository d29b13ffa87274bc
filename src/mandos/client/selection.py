# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network interfaces are used: the manual page mandos-client(8mandos), "DESCRIPTION".

Names narrow the choice, but never for ever: a machine whose card got another name must boot too.
Nothing here looks at a clock or at the kernel.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mandos.links import Link

#: This name among the interfaces: only those before it are brought up.
NONE = "none"
#: Seconds that the named interfaces are waited for while none of them exists.  Drivers and their
#: firmware need a few.
MISSING_TIME = 10.0
#: Seconds that they are waited for while none of them has a carrier.  A switch may take this long
#: until it lets a port carry packets (spanning tree, IEEE 802.1D).
NO_LINK_TIME = 30.0
_FOREVER = float("inf")


class Narrowing:
    """Names of interfaces that narrow a choice, until none of them has been usable for a while.

    ``wide`` says that they no longer do.  Without names the choice is wide from the start.
    """

    __slots__ = ("_missing_since", "_unusable_since", "names", "wide")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self.wide = not self.names
        self._missing_since = _FOREVER
        self._unusable_since = _FOREVER

    def names_it(self, link: Link) -> bool:
        """Whether the interface has one of the names."""
        return not set(self.names).isdisjoint(link.names)

    def look(self, links: Iterable[Link], now: float) -> bool:
        """Take in all links of the machine; True when the choice has become wide by that."""
        if self.wide:
            return False
        named = [link for link in links if self.names_it(link)]
        usable = any(link.up and link.running for link in named)
        self._missing_since = _FOREVER if named else min(self._missing_since, now)
        self._unusable_since = _FOREVER if usable else min(self._unusable_since, now)
        self.wide = now >= self.deadline
        return self.wide

    @property
    def deadline(self) -> float:
        """When to look again at the latest."""
        if self.wide:
            return _FOREVER
        return min(self._missing_since + MISSING_TIME, self._unusable_since + NO_LINK_TIME)


class Selection(Narrowing):
    """The answer for each interface: is it used, and is it ours to bring up.

    Where none is named, every one that has neighbours to ask: no loopback, no point-to-point link,
    able to broadcast, with address resolution.  ``direct``: servers are named and not searched,
    so point-to-point and other interfaces do as well.
    """

    __slots__ = ("_brought_up", "direct")

    def __init__(self, names: Sequence[str], *, direct: bool) -> None:
        super().__init__(name for name in names if name != NONE)
        self.direct = direct
        self._brought_up = list(names[: names.index(NONE)]) if NONE in names else None

    def uses(self, link: Link) -> bool:
        """Whether servers are looked for there."""
        if self.names_it(link):
            return True
        if link.loopback or not self.wide:
            return False
        if self.direct:
            return link.point_to_point or not link.noarp
        return link.broadcast and not link.point_to_point and not link.noarp

    def brings_up(self, link: Link) -> bool:
        """Whether it is switched on when it is off; "none" holds when the choice is wide, too."""
        if self._brought_up is None:
            return self.uses(link)
        return not set(self._brought_up).isdisjoint(link.names)

    def why_wide(self, links: Iterable[Link]) -> str:
        """The message to a person when the choice has become wide."""
        links = list(links)
        lacks = [_lack(name, links) for name in self.names]
        others = [link for link in links if self.uses(link) and not self.names_it(link)]
        there = ", ".join(sorted(link.name for link in others)) or "there is none yet"
        one = f"the network interface {lacks[0]}"
        many = f"none of the network interfaces can be used: {', '.join(lacks)}"
        return f"{one if len(lacks) == 1 else many}; using all others too ({there})"


def _lack(name: str, links: Iterable[Link]) -> str:
    exists = any(name in link.names for link in links)
    return f"{name} has no link" if exists else f"{name} does not exist"
