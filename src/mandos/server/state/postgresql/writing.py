# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One transaction that merges a server's changes of clients into the shared database."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mandos.server.life.merge import merge, merge_settings
from mandos.server.state.postgresql import statements
from mandos.server.state.settings_text import settings_of, text_of
from mandos.server.state.store import Known, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection, Cursor

    from mandos.client_settings import ClientSettings
    from mandos.server.life.life import Life
    from mandos.server.state.store import Changes, Kept, Wish

#: The origin of a client: the files of some server, or an administrator; or one removed it.
FILE, ADDED, REMOVED = "file", "added", "removed"


class Writing:
    """Writes the clients in ``changes``.

    Rows are locked in the order of their names, those of settings before those of lives.
    """

    def __init__(self, connection: Connection[Any], server: str, changes: Changes) -> None:
        self._connection = connection
        self._server = server
        self._changes = changes
        self._settings: dict[str, tuple[ClientSettings, bool, int]] = {}
        self._clients: dict[str, Known | None] = {}
        self._unusable: set[str] = set()
        self._present: set[str] = set()
        self._lived: set[str] = set()

    def clients(self, now: datetime) -> Outcome:
        """Write all but the records, and decide about the wishes.  Raises psycopg.Error."""
        stored = self._lock()
        self._put_settings(stored)
        self._remove()
        self._put_lives(now)
        self._put_verdicts()
        self._put_waiting()
        return Outcome(self._clients, self._refused())

    def _execute(self, query: str, *values: Any) -> Cursor[Any]:  # noqa: ANN401 - as psycopg takes them
        return self._connection.execute(query, values)

    def _lock(self) -> dict[str, list[Any]]:
        """Lock the rows of settings that change, and return them; new clients need another lock."""
        kept, removed = self._changes.settings.keys(), self._changes.removed
        if new := kept - self._changes.bases.keys():
            known = {name for (name,) in self._execute(statements.KNOWN, sorted(new))}
            if new - known:
                self._execute(statements.LOCK_ADDING)
        names = sorted(kept | removed)
        if not names:
            return {}
        return {name: rest for name, *rest in self._execute(statements.LOCK_CLIENTS, names)}

    # Settings

    def _put_settings(self, stored: Mapping[str, Sequence[Any]]) -> None:
        kept = self._changes.settings
        if not kept:
            return
        self._lived = {name for name, row in stored.items() if row[2] != REMOVED}
        sections = self._sections(stored)
        rows: list[tuple[str, str, bytes, str, str]] = []
        for name, one in sorted(kept.items()):
            merged = self._tried(name, one, stored.get(name), sections.get(name, {}))
            if merged is None:
                self._clients[name] = None
                continue
            settings, origin, version = merged
            self._settings[name] = settings, origin == ADDED, version
            row = (text_of(settings), settings.secret, origin)
            if name not in stored or row != tuple(stored[name][:3]):
                rows.append((name, row[0], settings.secret, settings.key_id, origin))
        for some in statements.parts(rows):
            self._raised(self._execute(statements.PUT_CLIENTS, *statements.columns(some)))
        known = [name for name in kept if name in stored]
        before = self._found_present(known)
        self._put_sections({name: one for name, one in kept.items() if name not in self._unusable})
        self._present = self._found_present(list(kept))
        if moved := sorted(name for name in known if (name in before) != (name in self._present)):
            self._raised(self._execute(statements.RAISE, moved))

    def _raised(self, rows: Iterable[tuple[str, int]]) -> None:
        """Note new versions."""
        for name, version in rows:
            if known := self._settings.get(name):
                self._settings[name] = *known[:2], version

    def _found_present(self, names: list[str]) -> set[str]:
        if not names:
            return set()
        return {name for (name,) in self._execute(statements.PRESENT, names)}

    def _sections(
        self, stored: Mapping[str, Sequence[Any]]
    ) -> dict[str, dict[str, ClientSettings]]:
        """The sections, by client and server, of clients that are removed or unknown here."""
        bases = self._changes.bases
        names = [name for name, row in stored.items() if row[2] == REMOVED or name not in bases]
        found: dict[str, dict[str, ClientSettings]] = {}
        if names:
            for name, server, text, secret, _absent in self._execute(statements.SECTIONS_OF, names):
                with suppress(Exception):  # damage has exceptions of any kind
                    found.setdefault(name, {})[server] = settings_of(name, text, secret, None)
        return found

    def _tried(
        self,
        name: str,
        kept: Kept,
        stored: Sequence[Any] | None,
        sections: Mapping[str, ClientSettings],
    ) -> tuple[ClientSettings, str, int] | None:
        """The settings to be, as ``_merged``; None also for a client whose row is damaged."""
        try:
            return self._merged(kept, stored, sections)
        except Exception:  # noqa: BLE001 - damage has exceptions of any kind; the reader logs it
            self._unusable.add(name)
            return None

    def _merged(
        self, kept: Kept, stored: Sequence[Any] | None, sections: Mapping[str, ClientSettings]
    ) -> tuple[ClientSettings, str, int] | None:
        """The settings with the changes of both sides, the origin, and the present version.

        A client that this server has never seen has the settings in force, with the changes in its
        section here.  None: the client is removed, until a section changes.
        """
        name, origin = kept.settings.name, ADDED if kept.added else FILE
        before = self._changes.bases.get(name)
        if stored is None:
            return None if before else (kept.settings, origin, 0)
        text, secret, old_origin, version = stored
        if old_origin == REMOVED:
            own = sections.get(self._server)
            same = kept.configured in ([own] if own else sections.values())
            return None if same or before else (kept.settings, origin, version)
        theirs = settings_of(name, text, secret, kept.settings)
        if before:
            settings = merge_settings(before.settings, kept.settings, theirs)
        else:
            own = sections.get(self._server, kept.configured)
            settings = merge_settings(own, kept.configured, theirs)
        return settings, _origin(kept, before, old_origin), version

    def _put_sections(self, kept: Mapping[str, Kept]) -> None:
        """Save the sections of this server's files."""
        rows = [
            (name, text_of(one.configured), one.configured.secret, one.absent)
            for name, one in kept.items()
            if not one.added
        ]
        for some in statements.parts(rows):
            self._execute(statements.PUT_SECTIONS, self._server, *statements.columns(some))
        if added := [name for name, one in kept.items() if one.added]:
            self._execute(statements.MARK_ABSENT, self._server, added)

    def _remove(self) -> None:
        """Remove clients; those that are in a server's files leave a mark."""
        forgotten = self._changes.forgotten & self._changes.removed
        removed = self._changes.removed - forgotten
        if forgotten:
            self._execute(statements.DROP_SECTIONS, self._server, sorted(forgotten))
            names = [row[0] for row in self._execute(statements.UNUSED, sorted(forgotten))]
            self._drop(statements.FORGET, names)
        if removed:
            marked = {row[0] for row in self._execute(statements.IN_FILES, sorted(removed))}
            self._drop(statements.REMOVE, sorted(marked))
            self._drop(statements.FORGET, sorted(removed - marked))

    def _drop(self, queries: Sequence[str], names: Collection[str]) -> None:
        for query in queries if names else ():
            self._execute(query, list(names))

    # Lives

    def _put_lives(self, now: datetime) -> None:
        changes = self._changes
        wished = {wish.record.client for wish in changes.wishes}
        names = sorted(changes.lives.keys() | changes.verdicts.keys() | wished)
        if not names:
            return
        stored = dict(self._locked_lives(names))
        lives: list[tuple[str, Life]] = []
        for name, ours in sorted(changes.lives.items()):
            version, theirs = stored.get(name, (0, None))
            life = self._merged_life(name, ours, theirs, now)
            self._clients[name] = None if life is None else self._known(name, life, version)
            if life is not None and life != theirs:
                lives.append((name, life))
        for some in statements.parts(lives):
            for name, version in self._execute(statements.PUT_LIVES, *statements.life_arrays(some)):
                if known := self._clients[name]:
                    self._clients[name] = known._replace(life_version=version)
        if off := [name for name, life in lives if not life.enabled and name in stored]:
            self._execute(statements.DROP_VERDICTS, off)

    def _locked_lives(self, names: list[str]) -> Iterator[tuple[str, tuple[int, Life]]]:
        """The versions and lives, without damaged ones, which are not written."""
        for name, version, *row in self._execute(statements.LOCK_LIVES, names):
            try:
                yield name, (version, statements.life_of(row))
            except Exception:  # noqa: BLE001 - damage has exceptions of any kind; the reader logs it
                self._unusable.add(name)

    def _merged_life(
        self, name: str, ours: Life, theirs: Life | None, now: datetime
    ) -> Life | None:
        """The life to be; None for a client that another server has removed."""
        before = self._changes.bases.get(name)
        if name in self._unusable or (
            name in self._changes.settings and name not in self._settings
        ):
            return None
        if theirs is None:  # a new client, one that is removed, or a row that is missing
            return ours if name in self._settings and name not in self._lived else None
        if before is None:
            return theirs
        alone = name in self._changes.alone
        return merge(before.life, ours, theirs, now, disabling_wins=alone)

    def _known(self, name: str, life: Life, version: int) -> Known | None:
        before = self._changes.bases.get(name)
        if name in self._settings:
            settings, added, settings_version = self._settings[name]
            verdict = before.verdict if before else None
            present = name in self._present
            return Known(life, settings, added, settings_version, version, verdict, present)
        return before and before._replace(life=life, life_version=version)

    def _put_verdicts(self) -> None:
        rows = [
            (name, verdict.approved, verdict.until, name in self._changes.alone)
            for name, verdict in self._changes.verdicts.items()
        ]
        if rows:
            self._execute(statements.PUT_VERDICTS, *statements.columns(rows))

    def _put_waiting(self) -> None:
        waiting = self._changes.waiting
        rows = [(name, until) for name, until in waiting.items() if until is not None]
        if rows:
            self._execute(statements.PUT_WAITING, self._server, *statements.columns(rows))
        if over := [name for name, until in waiting.items() if until is None]:
            self._execute(statements.DROP_WAITING, self._server, over)

    # Wishes

    def _refused(self) -> frozenset[int]:
        """The places of the wishes that are not granted: one statement decides."""
        asked: dict[str, tuple[str, int, datetime]] = {}
        for wish in self._changes.wishes:
            name = wish.record.client
            known = self._latest(name)
            sound = name not in self._unusable
            if sound and known is not None and known.settings == wish.settings:
                asked[name] = name, known.version, wish.record.at
        granted: set[str] = set()
        if asked:
            rows = self._execute(statements.GIVE, *statements.columns(list(asked.values())))
            granted = {row[0] for row in rows}
        return frozenset(
            place
            for place, wish in enumerate(self._changes.wishes)
            if wish.record.client not in granted or not self._has(wish)
        )

    def _latest(self, name: str) -> Known | None:
        return self._clients[name] if name in self._clients else self._changes.bases.get(name)

    def _has(self, wish: Wish) -> bool:
        known = self._latest(wish.record.client)
        return known is not None and known.settings == wish.settings


def _origin(kept: Kept, before: Known | None, old: str) -> str:
    """The origin of a client that is there already."""
    if kept.absent or (kept.added and before is not None and before.present):
        return old
    return ADDED if kept.added else FILE
