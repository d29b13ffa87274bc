# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All clients of the server: found by key ID or by name, and driven by one timer.

Every event of every client passes through here to the listeners.
"""

from __future__ import annotations

import heapq
import sys
from itertools import count
from typing import TYPE_CHECKING

from mandos.errors import AdministratorError
from mandos.server.life import events
from mandos.server.life.absence import Absence
from mandos.server.life.client import Client
from mandos.wire import key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from mandos.client_settings import ClientSettings
    from mandos.server.life.events import Event
    from mandos.server.life.life import Life


class Registry:
    """The clients; names and key IDs are unique, which the configuration reader has checked.

    ``removed`` are clients that an administrator has removed though the files have them, with their
    settings there: while the files have the same settings, the clients do not come back.
    ``absence`` remembers the clients whose sections are missing.
    """

    def __init__(
        self,
        clients: Iterable[Client],
        removed: Mapping[str, ClientSettings] | None = None,
        absence: Absence | None = None,
    ) -> None:
        self._by_name = {client.name: client for client in clients}
        self.removed = dict(removed or {})
        self.absence = absence or Absence()
        #: Whether several servers share the clients.
        self.shared = False
        self._by_key_id: dict[str, Client] = {}
        self._index()
        self._listeners: list[Callable[[Event], None]] = []
        self._deadlines: list[tuple[datetime, int, Client]] = []
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
        """Return the client with this key ID (64 lower-case hexadecimal digits)."""
        return self._by_key_id.get(wanted)

    def named(self, name: str) -> Client | None:
        """Return the client of this name."""
        return self._by_name.get(name)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` with every event of every client from now on."""
        self._listeners.append(listener)

    def admit(self, settings: ClientSettings, now: datetime, by: str = "") -> None:
        """Add a client by an administrator's order.

        Raises AdministratorError when its name or key ID is in use.
        """
        if settings.name in self._by_name:
            raise AdministratorError(f"there is a client {settings.name} already")
        if settings.name in self.removed:
            raise AdministratorError(
                f"client {settings.name} was removed, but the configuration still has it",
                "delete or change its section there, then reload",
            )
        owner = self._by_key_id.get(settings.key_id)
        if owner is not None:
            raise AdministratorError(f"client {owner.name} has this key ID already")
        client, how = self.absence.take(settings, now) or (Client(settings, now), "")
        client.added = True
        self.add(client, now, by, how)

    def add(self, client: Client, now: datetime, by: str = "", how: str = "") -> None:
        """Add a new client; its name and key ID must be free."""
        self._by_name[client.name] = client
        client.tell = self._heard
        self._index_one(client)
        self._heard(events.Added(client.name, now, by, how))

    def remove(self, name: str, now: datetime, by: str = "") -> None:
        """Remove a client for good, with its checker and its waiting requests."""
        client = self._by_name[name]
        if not client.added:
            self.removed[name] = client.configured
        self._drop(client, now)
        self._tell(events.Removed(name, now, by))

    def follow(
        self,
        name: str,
        settings: ClientSettings,
        life: Life,
        now: datetime,
    ) -> Client:
        """Add a client that another server has added."""
        section, known = self.removed.pop(name, None), self.absence.pop(name)
        configured = section or (known.configured if known else settings)
        client = Client(
            *(settings, now),
            configured=configured,
            life=life,
            added=section is None,
            watched=False,
        )
        self.add(client, now)
        return client

    def follow_settings(self, client: Client, settings: ClientSettings, now: datetime) -> None:
        """Give a client settings that another server has changed, its key ID among them."""
        old = client.settings.key_id
        client.follow_settings(settings, now)
        if client.settings.key_id != old:
            if self._by_key_id.get(old) is client:
                del self._by_key_id[old]
            self._index_one(client)

    def _drop(self, client: Client, now: datetime) -> None:
        name = client.name
        client.retire(now)
        del self._by_name[name]
        self._earliest.pop(name, None)
        if self._by_key_id.get(client.settings.key_id) is client:
            del self._by_key_id[client.settings.key_id]

    def configure(self, configured: Iterable[ClientSettings], now: datetime) -> None:
        """Add, change and remove clients until the registry agrees with the configuration files."""
        wanted = {settings.name: settings for settings in configured}
        for client in list(self):
            if client.name not in wanted and not client.added:
                self.absence.note(client, now)
                self._drop(client, now)
                self._tell(events.Left(client.name, now))
        for name in [name for name, old in self.removed.items() if wanted.get(name) != old]:
            del self.removed[name]
            self._tell(events.Forgotten(name, now))
        for name, settings in wanted.items():
            known = self._by_name.get(name)
            if known is not None and known.added and self.shared:
                known.recognize(settings, now)
            elif known is not None:
                known.reconfigure(settings, now)
            elif name not in self.removed:
                client, how = self.absence.take(settings, now) or (Client(settings, now), "")
                self.add(client, now, how=how)
        for name in self.absence.prune(now):
            self._tell(events.Forgotten(name, now))
        self._index()

    def next_deadline(self) -> datetime | None:
        """Return the time for the next call of ``advance``; the call may find nothing to do."""
        return self._deadlines[0][0] if self._deadlines else None

    def advance(self, now: datetime, at_most: int = sys.maxsize) -> None:
        """Advance every client that is due, but not more than ``at_most`` of them."""
        for _turn in range(at_most):
            if not self._deadlines or self._deadlines[0][0] > now:
                return
            time, _ticket, client = heapq.heappop(self._deadlines)
            if self._earliest.get(client.name) == time and self.named(client.name) is client:
                del self._earliest[client.name]
                client.advance(now)
                self._schedule(client)

    def _heard(self, event: Event) -> None:
        self._schedule(self._by_name[event.client])
        self._tell(event)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _index(self) -> None:
        self._by_key_id.clear()
        for client in self._by_name.values():
            self._index_one(client)

    def _index_one(self, client: Client) -> None:
        if client.settings.key_id not in ("", key_id.OF_NOTHING):
            self._by_key_id[client.settings.key_id] = client

    def _schedule(self, client: Client) -> None:
        """Plan a call for a deadline that is earlier now; ``advance`` finds the later ones."""
        deadline = client.deadline
        noted = self._earliest.get(client.name)
        if deadline is not None and (noted is None or deadline < noted):
            self._earliest[client.name] = deadline
            heapq.heappush(self._deadlines, (deadline, next(self._ticket), client))
