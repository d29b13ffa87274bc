# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One transaction that merges a server's changes of clients into the shared database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mandos.server.life.merge import merge, merge_settings
from mandos.server.state.postgresql import statements
from mandos.server.state.settings_text import settings_of, text_of
from mandos.server.state.store import Known, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection, Cursor

    from mandos.client_settings import ClientSettings
    from mandos.server.life.life import Life
    from mandos.server.state.store import Changes, Kept, Wish

_Row = TypeVar("_Row")

#: Rows that one statement writes at most.
_MOST_ROWS = 5000
#: The origin of a client: the files of some server, or an administrator; or one removed it.
FILE, ADDED, REMOVED = "file", "added", "removed"


class Writing:
    """Writes the clients in ``changes``.

    Rows are locked in the order of their names, those of settings before those of lives.
    """

    def __init__(
        self,
        connection: Connection[Any],
        server: str,
        changes: Changes,
    ) -> None:
        self._connection = connection
        self._server = server
        self._changes = changes
        self._settings: dict[str, tuple[ClientSettings, bool, int]] = {}
        self._clients: dict[str, Known | None] = {}

    def clients(self) -> Outcome:
        """Write all but the records, and decide about the wishes.  Raises psycopg.Error."""
        self._put_settings()
        self._remove()
        self._put_lives()
        self._put_verdicts()
        self._put_waiting()
        return Outcome(self._clients, self._refused())

    def _execute(self, query: str, *values: Any) -> Cursor[Any]:  # noqa: ANN401 - as psycopg takes them
        return self._connection.execute(query, values)

    # Settings

    def _put_settings(self) -> None:
        kept = self._changes.settings
        if not kept:
            return
        stored = {
            name: rest for name, *rest in self._execute(statements.LOCK_CLIENTS, sorted(kept))
        }
        rows: list[tuple[str, str, bytes, str, str]] = []
        for name, one in sorted(kept.items()):
            settings, origin, version = self._merged(one, stored.get(name))
            self._settings[name] = settings, origin == ADDED, version
            row = (text_of(settings), settings.secret, origin)
            if name not in stored or row != tuple(stored[name][:3]):
                rows.append((name, row[0], settings.secret, settings.key_id, origin))
        for some in _parts(rows):
            for name, version in self._execute(statements.PUT_CLIENTS, *_columns(some)):
                settings, added, _old = self._settings[name]
                self._settings[name] = settings, added, version
        self._put_sections(kept)

    def _merged(self, kept: Kept, stored: Sequence[Any] | None) -> tuple[ClientSettings, str, int]:
        """The settings with the changes of both sides, the origin, and the present version.

        Those that this server has never seen are those in force.
        """
        origin = ADDED if kept.added else FILE
        if stored is None:
            return kept.settings, origin, 0
        text, secret, old_origin, version = stored
        if old_origin == REMOVED:
            return kept.settings, origin, version
        name = kept.settings.name
        theirs = settings_of(name, text, secret, kept.settings)
        before = self._changes.bases.get(name)
        settings = merge_settings(before.settings, kept.settings, theirs) if before else theirs
        return settings, old_origin if kept.added or kept.absent else FILE, version

    def _put_sections(self, kept: Mapping[str, Kept]) -> None:
        """Save the sections of this server's files."""
        rows = [
            (name, text_of(one.configured), one.configured.secret, one.absent)
            for name, one in kept.items()
            if not one.added
        ]
        for some in _parts(rows):
            self._execute(statements.PUT_SECTIONS, self._server, *_columns(some))
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

    def _put_lives(self) -> None:
        changes = self._changes
        wished = {wish.record.client for wish in changes.wishes}
        names = sorted(changes.lives.keys() | changes.verdicts.keys() | wished)
        if not names:
            return
        now = self._now()
        stored = {
            name: (version, statements.life_of(row))
            for name, version, *row in self._execute(statements.LOCK_LIVES, names)
        }
        lives: list[tuple[str, Life]] = []
        for name, ours in sorted(changes.lives.items()):
            version, theirs = stored.get(name, (0, None))
            life = self._merged_life(name, ours, theirs, now)
            self._clients[name] = None if life is None else self._known(name, life, version)
            if life is not None and life != theirs:
                lives.append((name, life))
        for some in _parts(lives):
            for name, version in self._execute(statements.PUT_LIVES, *statements.life_arrays(some)):
                if known := self._clients[name]:
                    self._clients[name] = known._replace(life_version=version)
        if off := [name for name, life in lives if not life.enabled and name in stored]:
            self._execute(statements.DROP_VERDICTS, off)

    def _merged_life(
        self, name: str, ours: Life, theirs: Life | None, now: datetime
    ) -> Life | None:
        """The life to be; None for a client that another server has removed."""
        before = self._changes.bases.get(name)
        if theirs is None:
            return ours if name in self._settings else None
        if before is None:
            return theirs
        alone = name in self._changes.alone
        return merge(before.life, ours, theirs, now, disabling_wins=alone)

    def _known(self, name: str, life: Life, version: int) -> Known | None:
        before = self._changes.bases.get(name)
        if name in self._settings:
            settings, added, settings_version = self._settings[name]
            verdict = before.verdict if before else None
            return Known(life, settings, added, settings_version, version, verdict)
        return before and before._replace(life=life, life_version=version)

    def _put_verdicts(self) -> None:
        rows = [
            (name, verdict.approved, verdict.until)
            for name, verdict in self._changes.verdicts.items()
        ]
        if rows:
            self._execute(statements.PUT_VERDICTS, *_columns(rows))

    def _put_waiting(self) -> None:
        waiting = self._changes.waiting
        rows = [(name, until) for name, until in waiting.items() if until is not None]
        if rows:
            self._execute(statements.PUT_WAITING, self._server, *_columns(rows))
        if over := [name for name, until in waiting.items() if until is None]:
            self._execute(statements.DROP_WAITING, self._server, over)

    def _now(self) -> datetime:
        moments: list[datetime] = [row[0] for row in self._execute(statements.NOW)]
        return moments[0]

    # Wishes

    def _refused(self) -> frozenset[int]:
        """The places of the wishes that are not granted: one statement decides."""
        asked: dict[str, int] = {}
        for wish in self._changes.wishes:
            known = self._latest(wish.record.client)
            if known is not None and known.settings == wish.settings:
                asked[wish.record.client] = known.version
        granted: set[str] = set()
        if asked:
            rows = self._execute(statements.GIVE, list(asked), list(asked.values()))
            granted = {row[0] for row in rows}
        return frozenset(
            place
            for place, wish in enumerate(self._changes.wishes)
            if wish.record.client not in granted or not self._has(wish)
        )

    def _latest(self, name: str) -> Known | None:
        return self._clients.get(name) or self._changes.bases.get(name)

    def _has(self, wish: Wish) -> bool:
        known = self._latest(wish.record.client)
        return known is not None and known.settings == wish.settings


def _parts(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """The rows in parts, so that no statement takes longer than statements may."""
    for start in range(0, len(rows), _MOST_ROWS):
        yield rows[start : start + _MOST_ROWS]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
