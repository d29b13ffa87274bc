# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares the clients out among the living servers, without a word between them.  Pure.

Each server ranks all servers for each client by a hash of both names, and the client belongs to
the first one (rendezvous hashing, Thaler and Ravishankar 1998).  When a server is lost, only its
own clients move, and they are shared out among all others.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: Seconds without a sign of life after which a server counts as lost.
LOST = 3.0


class Sign(NamedTuple):
    """A server's row in the database: ``beat`` changes with each sign of life.

    ``checks``: it can check clients, because it has a link.  ``started`` is when this run of it
    began, ``version`` that of its program.
    """

    name: str
    beat: object
    checks: bool
    started: datetime | None = None
    version: str = ""


class Presence(NamedTuple):
    """A server for people; ``seen`` is the date of its last sign of life."""

    name: str
    alive: bool
    checks: bool
    started: datetime | None
    seen: datetime | None
    version: str


class Members:
    """The servers, as one of them, ``own``, sees them."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._seen: dict[str, tuple[Sign, float]] = {}

    def heard(self, signs: Iterable[Sign], now: float) -> None:
        """Note the signs of life in the database at ``now``, by this machine's own clock.

        A server that has ended took its sign away: it is neither alive nor lost.
        """
        before, self._seen = self._seen, {}
        for sign in signs:
            old = before.get(sign.name)
            same = old is not None and old[0].beat == sign.beat
            self._seen[sign.name] = sign, old[1] if same and old is not None else now

    def presences(self, now: float) -> list[Presence]:
        """All servers that have not ended, in the order of their names."""
        alive = self.alive(now)
        return [
            Presence(
                *(name, name in alive, sign.checks, sign.started),
                *(sign.beat if isinstance(sign.beat, datetime) else None, sign.version),
            )
            for name, (sign, _at) in sorted(self._seen.items())
        ]

    def alive(self, now: float) -> list[str]:
        """The names of the living servers, in their order, this one among them."""
        names = {name for name, (_sign, at) in self._seen.items() if now - at < LOST}
        return sorted({*names, self._own})

    def lost(self, now: float) -> list[str]:
        """The names of servers that were here and are lost, in their order."""
        return sorted(self._seen.keys() - set(self.alive(now)))

    def watching(self, now: float, *, hold: bool = False) -> list[str]:
        """The names of the servers that check clients: all living ones that have a link.

        If none has a link, all living ones check, and find no client; with ``hold`` none does.
        """
        alive = self.alive(now)
        linked = [name for name in alive if name in self._seen and self._seen[name][0].checks]
        return linked or ([] if hold else alive)


def watcher(client: str, servers: Collection[str]) -> str:
    """Return the server among these that checks a client; empty without servers."""
    return max(servers, key=lambda server: _weight(client, server), default="")


def _weight(client: str, server: str) -> bytes:
    return blake2b(client.encode(), key=blake2b(server.encode()).digest(), digest_size=8).digest()
