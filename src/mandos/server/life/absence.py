# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers clients whose section is missing from the files, so that a disabled one stays disabled.

A section may be missing for one reload while a file is being replaced, or be skipped at start
because of a mistake.  Neither may enable a client.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.server.life.client import Client
from mandos.server.life.saved import (
    BACK,
    STILL_DISABLED,
    Saved,
    former_self,
    outdated,
    remembered,
    renamed,
    unknown_life,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from mandos.client_settings import ClientSettings


class Absence:
    """Clients that are in no file, by name.

    ``listed`` are the names of clients that only the list of disabled clients still knows.
    """

    def __init__(
        self, saved: Mapping[str, Saved] | None = None, listed: Collection[str] = ()
    ) -> None:
        self._saved = dict(saved or {})
        self._listed = set(listed)

    def __iter__(self) -> Iterator[str]:
        return iter(self._saved)

    def get(self, name: str) -> Saved | None:
        """Return the client as it was when its section was last seen."""
        return self._saved.get(name)

    def pop(self, name: str) -> Saved | None:
        """Forget the client, and return it as it was when its section was last seen."""
        return self._saved.pop(name, None)

    def note(self, client: Client, now: datetime) -> None:
        """Remember a client whose section is missing since ``now``."""
        self._saved[client.name] = Saved(
            client.settings, client.configured, client.life, absent=now
        )

    def take(self, settings: ClientSettings, now: datetime) -> tuple[Client, str] | None:
        """Return the client that comes back with this section, and the log's words for that.

        None when the client is new.  A disabled client that comes back under another name but with
        the same key stays disabled.
        """
        name = settings.name
        if saved := self._saved.pop(name, None):
            client = remembered(settings, saved, self._listed, now)
            return client, BACK if client.life.enabled else STILL_DISABLED
        if name in self._listed:
            return Client(settings, now, life=unknown_life(now)), STILL_DISABLED
        for former, saved in self._saved.items():
            if former_self(settings, saved):
                client = Client(settings, now, life=saved.life)
                return client, renamed(former)
        return None

    def prune(self, now: datetime) -> list[str]:
        """Forget the clients that have been missing for long; returns their names."""
        old = [name for name, saved in self._saved.items() if outdated(saved, now)]
        for name in old:
            del self._saved[name]
        return old
