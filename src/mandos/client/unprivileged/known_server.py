# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that the client remembers: the attempt under way, its turns and its failures."""

from __future__ import annotations

import os

from mandos.client.unprivileged.loop import FOREVER
from mandos.interfaces import interface_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mandos.client.unprivileged.attempt import Attempt
    from mandos.client.unprivileged.search import Target

    #: Address and interface.
    Host = tuple[str, int]

#: Seconds of a server's first turn, and of its longest.  An honest server on the link answers in
#: some hundredths of a second.
FIRST_TURN, LONGEST_TURN = 0.25, 3600.0


class KnownServer:
    """A server, the attempt under way, when to begin the next one, and what went wrong so far.

    ``turn`` is how many seconds it may keep a connection that others want.  ``complaint`` is the
    last failure, ``told`` are the failures already reported to a person.
    """

    __slots__ = (
        "asked", "attempt", "begin", "complaint", "failing_since", "host", "key",
        "opening", "target", "told", "turn", "way", "ways",
    )  # fmt: skip

    def __init__(self, target: Target, begin: float) -> None:
        self.target = target
        self.host = host_of(target)
        self.attempt: Attempt | None = None
        self.opening = False
        self.begin = begin
        #: When it was asked last.
        self.asked = 0.0
        self.turn = FIRST_TURN
        #: Of the servers of a host, the one with the lowest key is next.
        self.key = (0.0, 0 if self.host is None else lot())
        self.complaint = ""
        self.told: set[str] = set()
        self.failing_since = FOREVER
        #: The interface that it has been given a route over, if any, and those to try next.
        self.way = 0
        self.ways: list[int] = []

    def __str__(self) -> str:
        host, port, scope = self.target.address
        where = f"{host}%{interface_name(scope)}" if scope else host
        return f"[{where}]:{port}" if ":" in host else f"{where}:{port}"

    @property
    def idle(self) -> bool:
        """Whether it is neither being asked nor its answer opened."""
        return self.attempt is None and not self.opening

    @property
    def is_long(self) -> bool:
        """Whether its turn is longer than the first."""
        return self.turn > FIRST_TURN

    @property
    def end(self) -> float:
        """When its turn is over."""
        return self.asked + self.turn

    def grow_turn(self, now: float) -> None:
        """Double the next turn, if this one is over."""
        if self.end <= now:
            self.turn = min(2 * self.turn, LONGEST_TURN)


def host_of(target: Target) -> Host | None:
    """The host that a server is on; None when the administrator named it."""
    return (target.host, target.scope) if target.name else None


def lot() -> int:
    """A number that no stranger can foresee."""
    return int.from_bytes(os.urandom(4))
