# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports to a waiting person that the client waits for a server, and on which interfaces.

The first report comes after ten seconds, the next ones less and less often.
"""

from __future__ import annotations

import time

from mandos.client.notices import notice
from mandos.client.unprivileged.loop import FOREVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Protocol

    from mandos.client.unprivileged.usable_links import UsableLinks
    from mandos.links import Link

    class Knowing(Protocol):
        """The part that knows the servers."""

        @property
        def knows_a_server(self) -> bool:
            """Whether there is one to ask."""


#: Seconds until the first message, and between two of them at most; each pause is three times as
#: long as the one before.
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 10.0, 3600.0, 3.0
#: Interfaces that are named.
_NAMED = 6


class Waiting:
    """A part of the loop, for a client that searches for servers."""

    __slots__ = ("_due", "_fetcher", "_pause", "_say", "_watch")

    def __init__(
        self, watch: Callable[[], UsableLinks], fetcher: Knowing, say: Callable[[str], object]
    ) -> None:
        self._watch = watch
        self._fetcher = fetcher
        self._say = say
        self._pause = FIRST_PAUSE
        self._due = time.monotonic() + FIRST_PAUSE

    def put_off(self) -> None:
        """Begin anew: another message of this kind has just been reported."""
        self._due = time.monotonic() + self._pause

    def deadline(self, now: float) -> float:  # noqa: ARG002 - as every part of the loop
        """When to call ``tick``."""
        return FOREVER if self._fetcher.knows_a_server else self._due

    def tick(self, now: float) -> None:
        """Report, if the time has come and no server has been found."""
        if now < self._due or self._fetcher.knows_a_server:
            return
        self._pause = min(self._pause * GROWTH, LONGEST_PAUSE)
        self._due = now + self._pause
        self._say(notice(waiting_text(self._watch().selected, _with_address())))


def waiting_text(links: Collection[Link], with_address: Collection[int]) -> str:
    """Return one line with the interfaces in use and the things that each of them lacks.

    ``with_address`` are the indexes of those that have an address.
    """
    if not links:
        return "waiting for a network interface: there is none that could reach a server"
    states = [f"{link.name} ({_state(link, with_address)})" for link in links]
    states[_NAMED:] = [f"{len(states) - _NAMED} more"] if len(states) > _NAMED else []
    return f"waiting for a Mandos server to announce itself on {', '.join(states)}"


def _state(link: Link, with_address: Collection[int]) -> str:
    if not link.up:
        return "down"
    if not link.running:
        return "no link"
    return "ready" if link.index in with_address else "no address"


def _with_address() -> set[int]:
    from mandos.client.addresses import addresses  # noqa: PLC0415 - hardly any boot needs it

    try:
        return {address.interface for address in addresses() if address.usable}
    except OSError:
        return set()
