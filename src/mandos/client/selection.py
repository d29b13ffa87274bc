# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network interfaces are used: the manual page mandos-client(8mandos), "DESCRIPTION"."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.links import Link

#: This name among the interfaces: only those before it are brought up.
NONE = "none"


class Selection:
    """The answer for each interface: is it used, and is it ours to bring up.

    Where none is named, every one that has neighbours to ask: no loopback, no point-to-point link,
    able to broadcast, with address resolution.  ``direct``: servers are named and not searched,
    so point-to-point and other interfaces do as well.
    """

    __slots__ = ("_brought_up", "direct", "names")

    def __init__(self, names: Sequence[str], *, direct: bool) -> None:
        self.names = [name for name in names if name != NONE]
        self.direct = direct
        self._brought_up = list(names[: names.index(NONE)]) if NONE in names else None

    def uses(self, link: Link) -> bool:
        """Whether servers are looked for there."""
        if self.names:
            return not set(self.names).isdisjoint(link.names)
        if link.loopback:
            return False
        if self.direct:
            return link.point_to_point or not link.noarp
        return link.broadcast and not link.point_to_point and not link.noarp

    def brings_up(self, link: Link) -> bool:
        """Whether it is switched on when it is off."""
        if self._brought_up is None:
            return self.uses(link)
        return not set(self._brought_up).isdisjoint(link.names)
