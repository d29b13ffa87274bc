# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All clients of the server: found by key ID or by name, and driven by one timer.

Every event of every client passes through here to whoever listens.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from mandos.wire import key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from mandos.server.client import Client
    from mandos.server.events import Event


class Registry:
    """The clients; names and key IDs are unique, which the configuration reader has checked."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._by_name = {client.name: client for client in clients}
        self._by_key_id = {
            client.settings.key_id: client
            for client in self._by_name.values()
            if client.settings.key_id not in ("", key_id.OF_NOTHING)
        }
        self._listeners: list[Callable[[Event], None]] = []
        self._timers: list[tuple[datetime, int, Client]] = []
        self._earliest: dict[str, datetime] = {}
        self._ticket = count()
        for client in self._by_name.values():
            client.tell = self._heard
            self._schedule(client)

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._by_name.values())

    def find(self, wanted: str) -> Client | None:
        """The client with this key ID (64 lower-case hexadecimal digits)."""
        return self._by_key_id.get(wanted)

    def named(self, name: str) -> Client | None:
        """The client of this name."""
        return self._by_name.get(name)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Hear every event of every client from now on."""
        self._listeners.append(listener)

    def next_deadline(self) -> datetime | None:
        """When ``advance`` must be called next; it may turn out to have been too early."""
        return self._timers[0][0] if self._timers else None

    def advance(self, now: datetime) -> None:
        """Let every client do what is due."""
        while self._timers and self._timers[0][0] <= now:
            time, _ticket, client = heapq.heappop(self._timers)
            if self._earliest.get(client.name) == time:
                del self._earliest[client.name]
                client.advance(now)
                self._schedule(client)

    def _heard(self, event: Event) -> None:
        self._schedule(self._by_name[event.client])
        for listener in self._listeners:
            listener(event)

    def _schedule(self, client: Client) -> None:
        """Note a deadline that is earlier than the one noted; a later one is found in time."""
        deadline = client.deadline
        noted = self._earliest.get(client.name)
        if deadline is not None and (noted is None or deadline < noted):
            self._earliest[client.name] = deadline
            heapq.heappush(self._timers, (deadline, next(self._ticket), client))
