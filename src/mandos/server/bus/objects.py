# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps D-Bus object paths to clients; every client has a path of its own."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from mandos.bus_names import client_path
from mandos.server.life import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.server.life.client import Client
    from mandos.server.life.registry import Registry

log = logging.getLogger(__name__)

#: Hexadecimal digits that distinguish paths.
_DIGITS = 8


class Objects:
    """The clients of a registry by path; must hear of events before others use it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._names: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        for client in sorted(registry, key=lambda client: (client.life.created, client.name)):
            self._take(client.name)
        self._names = {self._paths[client.name]: client.name for client in registry}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, path: str) -> bool:
        return path in self._names

    def name(self, path: str) -> str:
        """The name of the client at a path that has one."""
        return self._names[path]

    def path(self, name: str) -> str:
        """The path of a client, also while it is being removed."""
        return self._paths[name]

    def client(self, path: str) -> Client | None:
        """The client at a path."""
        name = self._names.get(path)
        return None if name is None else self._registry.named(name)

    def heard(self, event: events.Event) -> None:
        """Give a new client a path."""
        if isinstance(event, events.Added) and event.client not in self._paths:
            self._take(event.client)

    def forget(self, name: str) -> None:
        """Free the path of a client that is gone."""
        del self._names[self._paths.pop(name)]

    def _take(self, name: str) -> None:
        """Two names may lead to one path; the younger client then gets one with a hash of its name.

        So each client has the same path after a restart, in any order of the clients.
        """
        path = wanted = client_path(name)
        digits = hashlib.sha256(name.encode()).hexdigest()
        size = _DIGITS
        while path in self._names:
            path = f"{wanted}__{digits[:size]}"
            size += 1
        if path != wanted:
            log.warning(
                "the name of client %s leads to the D-Bus path of client %s; its own is %s",
                *(name, self._names[wanted], path),
            )
        self._names[path] = name
        self._paths[name] = path
