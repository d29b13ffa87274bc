# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one timer of the server: advances all clients by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mandos.server.life.clock import BEAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.server.life.clock import Clock
    from mandos.server.life.events import Event
    from mandos.server.life.registry import Registry

#: Clients that are advanced before other work of the event loop gets its turn.
_BATCH = 256


class PlannedCall(Protocol):
    """A planned call, such as asyncio.TimerHandle."""

    def when(self) -> float:
        """Return the time of the call, by the clock of its loop."""

    def cancel(self) -> None:
        """Give up the call."""


class Loop(Protocol):
    """A planner of calls, such as an event loop of asyncio."""

    def time(self) -> float:
        """Return the seconds that have passed, from any start."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> PlannedCall:
        """Plan a call in ``delay`` seconds."""


class Timer:
    """Calls ``advance`` when a client's deadline has come, and looks at the clock once a beat."""

    def __init__(self, registry: Registry, clock: Clock, loop: Loop) -> None:
        self._registry = registry
        self._clock = clock
        self._loop = loop
        self._planned: PlannedCall | None = None
        registry.listen(self._heard)
        clock.begin()
        self._beat()

    def stop(self) -> None:
        """Advance the clients no more."""
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None

    def _beat(self) -> None:
        now = self._clock.beat()
        self._registry.advance(now, _BATCH)
        self._set()

    def _set(self) -> None:
        deadline = self._registry.next_deadline()
        delay = BEAT
        if deadline is not None and not self._clock.held:
            delay = min(BEAT, max((deadline - self._clock.now()).total_seconds(), 0.0))
        self.stop()
        self._planned = self._loop.call_later(delay, self._beat)

    def _heard(self, _event: Event) -> None:
        """Plan an earlier call when a deadline has become earlier."""
        deadline = self._registry.next_deadline()
        if self._planned is None or deadline is None or self._clock.held:
            return
        left = (deadline - self._clock.now()).total_seconds()
        if self._loop.time() + left < self._planned.when():
            self._set()
