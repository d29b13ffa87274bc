# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All clients of the server, found by key ID or by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.wire import key_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mandos.server.client import Client


class Registry:
    """The clients; names and key IDs are unique, which the configuration reader has checked."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._by_name = {client.name: client for client in clients}
        self._by_key_id = {
            client.settings.key_id: client
            for client in self._by_name.values()
            if client.settings.key_id not in ("", key_id.OF_NOTHING)
        }

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._by_name.values())

    def find(self, wanted: str) -> Client | None:
        """The client with this key ID (64 lower-case hexadecimal digits)."""
        return self._by_key_id.get(wanted)
