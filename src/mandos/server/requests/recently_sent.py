# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers where the secret of each key was sent within the last second, with a record on disk.

Another request from there for the same purpose needs no write of its own: its record goes with the
next.  So the holder of one key cannot keep the disk busy.  Pure; memory is bounded by the number of
clients.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    #: The kind of the record, an address, an interface, and when the client was enabled.
    Where = tuple[str, str, str, str]

#: Addresses remembered for each key.
ADDRESSES = 8
#: How long each is remembered.
_MEMORY = timedelta(seconds=1)


class RecentlySent:
    """The addresses to which secrets were sent, by key."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[Where, datetime]] = {}

    def has(self, key_id: str, where: Where, now: datetime) -> bool:
        """Whether the secret of this key was sent there; forgets older ones of the key."""
        recent = self._keys.pop(key_id, {})
        recent = {place: at for place, at in recent.items() if now - at < _MEMORY}
        if recent:
            self._keys[key_id] = recent
        return where in recent

    def is_full(self, key_id: str) -> bool:
        """Whether no other address can be added for this key."""
        return len(self._keys.get(key_id, ())) >= ADDRESSES

    def add(self, key_id: str, where: Where, now: datetime) -> None:
        """Remember a secret sent, if there is room."""
        if not self.is_full(key_id):
            self._keys.setdefault(key_id, {})[where] = now
