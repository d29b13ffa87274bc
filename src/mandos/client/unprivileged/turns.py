# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fair turns: which server is asked next, and which gives its connection up for it.

A stranger can announce a thousand servers, so servers are counted by the host that they are on: a
connection proves that its other end has that address, while any machine can claim a name or a port.
The host that has the fewest connections is next; within a host, and between hosts that have equally
many, the server that has waited longest.

A server may be silent for an hour, until an administrator approves.  It keeps its connection while
there is room.  Where there is none, one of the host that has most gives way to a host that has two
fewer; or one whose turn is over to a host that has fewer, or to another server of its own host.  It
is asked again later, and its next turn is twice as long: an honest server that needs time gets it
at last.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol, TypeVar

    class Turn(Protocol):
        """The attributes of a server that decide about turns.

        ``begin`` is when it came to wait, ``asked`` when it was last asked, ``turn`` how long it
        may then keep its connection, and ``opening`` says that its answer is being opened.
        """

        @property
        def host(self) -> object:
            """The host that it is on; None for one that the administrator named."""

        @property
        def tried(self) -> bool:
            """Whether it has had a turn."""

        begin: float
        asked: float
        turn: float
        opening: bool

    _Server = TypeVar("_Server", bound=Turn)

#: Seconds of a server's first turn, and of its longest.
FIRST_TURN, LONGEST_TURN = 2.0, 3600.0
_NEVER = float("inf")


def next_to_ask(waiting: Iterable[_Server], busy: Iterable[_Server]) -> _Server:
    """The waiting server whose turn it is."""
    counts = _counts(busy)
    return min(waiting, key=lambda one: (_share(one, counts), one.begin))


def giving_way(
    busy: Sequence[_Server], wanted: _Server, now: float
) -> tuple[float, _Server | None]:
    """When a connection is free for ``wanted``, and which server gives it up if that is now."""
    counts = _counts(busy)
    share = _share(wanted, counts)
    able = [one for one in busy if one.host is not None and not one.opening]
    able = [one for one in able if counts[one.host] > share or one.host == wanted.host]
    if not able:
        return _NEVER, None
    most = max(counts[one.host] for one in able)
    if most >= share + 2:
        crowd = (one for one in able if counts[one.host] == most)
        return now, min(crowd, key=lambda one: one.asked)
    first = min(able, key=_end)
    return _end(first), (first if _end(first) <= now else None)


def to_forget(servers: Iterable[_Server], idle: Iterable[_Server], host: object) -> _Server | None:
    """The server that is forgotten for a new one on ``host``, when too many are known.

    One of the host of which most are known, if that has more than the new one's; else one that has
    had a turn.  None when the new one has to wait.
    """
    counts = _counts(servers)
    able = [one for one in idle if one.host is not None]
    more = [one for one in able if counts[one.host] > max(1, counts.get(host, 0))]
    chosen = more or [one for one in able if one.tried and counts[one.host] >= counts.get(host, 0)]
    return max(chosen, key=lambda one: (counts[one.host], one.tried, -one.asked), default=None)


def _share(server: Turn, counts: dict[object, int]) -> int:
    return -1 if server.host is None else counts.get(server.host, 0)


def _end(server: Turn) -> float:
    return server.asked + server.turn


def _counts(servers: Iterable[Turn]) -> dict[object, int]:
    counts: dict[object, int] = {}
    for server in servers:
        counts[server.host] = counts.get(server.host, 0) + 1
    return counts
