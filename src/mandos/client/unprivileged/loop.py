# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One loop for everything that waits: descriptors, and functions to call when they are ready.

Asyncio and selectors do this too, at a price that early boot does not pay (docs/design.md).
"""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    class Part(Protocol):
        """Something that has to be looked after at times."""

        def deadline(self, now: float) -> float:
            """When to call ``tick`` at the latest."""

        def tick(self, now: float) -> object:
            """Do the work that is due."""


READ, WRITE = select.EPOLLIN, select.EPOLLOUT
#: The longest sleep in seconds, since the system call needs a bound.
_LONGEST_WAIT = 3600.0
FOREVER = float("inf")


class Loop:
    """Descriptors under watch; the caller of ``watch`` calls ``forget`` before it closes one."""

    __slots__ = ("_callbacks", "_epoll")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], object]] = {}

    def watch(self, descriptor: int, callback: Callable[[], object], events: int = READ) -> None:
        """Call ``callback`` whenever the descriptor is ready for ``events``, or broken."""
        self._epoll.register(descriptor, events)
        self._callbacks[descriptor] = callback

    def change(self, descriptor: int, events: int) -> None:
        """Wait for other events from now on."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Watch it no longer."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def wait(self, seconds: float) -> None:
        """Wait until something is ready, for ``seconds`` at most, and call its function."""
        for descriptor, _events in self._epoll.poll(max(0.0, min(seconds, _LONGEST_WAIT))):
            callback = self._callbacks.get(descriptor)
            if callback is not None:  # an earlier one may have forgotten it
                callback()

    def close(self) -> None:
        """End; the descriptors stay open."""
        self._epoll.close()


def next_deadline(parts: Iterable[Part], now: float) -> float:
    """When the first of the parts has something to do."""
    return min((part.deadline(now) for part in parts), default=FOREVER)
