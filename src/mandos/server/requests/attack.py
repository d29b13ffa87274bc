# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recognizes an attack by the number of useless connections in a minute, and where most come from.

Every method takes ``now`` in seconds; ``minute_over`` has to be called once a minute.  Memory is
bounded, however many addresses there are.  Pure.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mandos.server.requests.sockets import Peer

#: Useless connections in a minute that are an attack.  A client that is refused asks six times.
THRESHOLD = 1000
#: Fewer than these in a minute, and the attack is over: no line for each rise and fall about one
#: threshold.
_CALM = THRESHOLD // 2
#: Sources counted separately.  One with more than a 256th of all connections is always among them.
_SOURCES = 255


class Useless(StrEnum):
    """The reason why a connection was useless, in the words of the log."""

    FAILED = "failed connections"
    UNKNOWN_KEY = "requests with unknown keys"
    EVICTED = "connections ended to make room"


class Frequent:
    """Finds the most frequent item of a stream in bounded memory (Misra and Gries, 1982).

    Its count is at most too small by a 256th of all items.
    """

    def __init__(self) -> None:
        self.counts = Counter[str]()

    def add(self, item: str) -> None:
        """Count an item; when there are too many different ones, each loses one."""
        if item in self.counts or len(self.counts) < _SOURCES:
            self.counts[item] += 1
        else:
            self.counts -= Counter(dict.fromkeys(self.counts, 1))

    def most(self) -> tuple[str, int] | None:
        """The most frequent item and how often it was there at least; None if none stands out."""
        return next(iter(self.counts.most_common(1)), None)


class _Period:
    """Useless connections since a moment."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.kinds = Counter[Useless]()
        self.sources = Frequent()

    def __str__(self) -> str:
        kinds = ", ".join(f"{times} {kind}" for kind, times in self.kinds.most_common())
        return f"{kinds}{self._most()}"

    def _most(self) -> str:
        most = self.sources.most()
        if most is None or most[1] <= self.kinds.total() // 100:
            return "; from many addresses"
        source, times = most
        return f"; most (at least {times}) from {source}"

    def add(self, kind: Useless, peer: Peer) -> None:
        """Count one."""
        self.kinds[kind] += 1
        self.sources.add(f"{peer.address} on {peer.interface}" if peer.interface else peer.address)


class AttackWatch:
    """Says when an attack begins and when it is over.

    ``attack`` describes the one that goes on, for the status; it is empty without one.
    """

    def __init__(self, now: float) -> None:
        self._minute = _Period(now)
        self._whole: _Period | None = None
        self.attack = ""

    def note(self, kind: Useless, peer: Peer, now: float) -> str:
        """Count a useless connection; returns a warning when an attack is recognized by it."""
        self._minute.add(kind, peer)
        if self._whole is not None:
            self._whole.add(kind, peer)
        elif self._minute.kinds.total() >= THRESHOLD:
            self._whole = deepcopy(self._minute)
            self.attack = f"under attack, or clients are broken: {self._whole}"
            return (
                f"{self.attack}, within {now - self._whole.began:.0f} s; clients are still served,"
                " but may have to wait; find that machine, or block its address in the firewall"
            )
        return ""

    def minute_over(self, now: float) -> str:
        """Begin another minute; returns a note when an attack is over."""
        minute, self._minute = self._minute, _Period(now)
        whole = self._whole
        if whole is None:
            return ""
        if minute.kinds.total() < _CALM:
            self._whole = None
            self.attack = ""
            return f"the attack is over: in {(now - whole.began) / 60:.0f} min {whole}"
        self.attack = f"under attack, or clients are broken: in the last minute {minute}"
        return ""
