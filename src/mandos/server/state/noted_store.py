# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared store that notes on the local disk what the database could not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mandos.client_settings import ClientSettings
    from mandos.server.state.apart import Notes
    from mandos.server.state.store import Changes, Entry, Known, Outcome, SharedStore, State


class NotedStore:
    """The shared store ``store``, and the notes of this server: a ``SharedStore``."""

    def __init__(self, store: SharedStore, notes: Notes) -> None:
        self._store = store
        self._notes = notes
        self._alone = True
        self._noted: set[str] = set()

    @property
    def trouble(self) -> MachineError | None:
        """Why the database cannot be used at present; None when it can."""
        return self._store.trouble

    def load(self, configured: Sequence[ClientSettings] = ()) -> State:
        """See ``StateStore``."""
        return self._store.load(configured)

    def write(self, changes: Changes) -> Outcome:
        """Write to the database; note the changes when that fails."""
        try:
            outcome = self._store.write(changes)
        except MachineError:
            new = changes.bases.keys() - self._noted
            self._notes.alone({name: changes.bases[name] for name in new}, changes.records)
            self._noted |= new
            self._alone = True
            raise
        if self._alone or self._notes.given_alone:
            self._notes.sent([*changes.lives, *changes.settings], changes.records)
            self._noted -= {*changes.lives, *changes.settings}
            self._alone = bool(self._notes.bases())
        return outcome

    def records(
        self, client: str | None = None, limit: int = 1000, before: int | None = None
    ) -> list[Entry]:
        """See ``StateStore``."""
        return self._store.records(client, limit, before)

    def forget(self) -> None:
        """See ``StateStore``."""
        self._store.forget()

    def reopen(self) -> bool:
        """See ``StateStore``."""
        return self._store.reopen()

    def close(self) -> None:
        """Close both."""
        self._store.close()
        self._notes.close()

    def changed(self, names: Collection[str]) -> Mapping[str, Known | None]:
        """See ``SharedStore``."""
        return self._store.changed(names)

    def outdated(self, versions: Mapping[str, tuple[int, int]]) -> set[str]:
        """See ``SharedStore``."""
        return self._store.outdated(versions)

    def waiting(self, servers: Collection[str]) -> set[str]:
        """See ``SharedStore``."""
        return self._store.waiting(servers)

    def last_record(self) -> int:
        """See ``SharedStore``."""
        return self._store.last_record()

    def records_after(self, number: int, missing: Collection[int], limit: int) -> list[Entry]:
        """See ``SharedStore``."""
        return self._store.records_after(number, missing, limit)
