# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks each minute whether the database's standbys keep up.

A look notes how far the primary has written.  A standby that has not replayed that 10 s later is
more than 10 s behind, whatever its own clock says.  Without the right to see standbys (PostgreSQL's
role pg_read_all_stats, or pg_monitor) only a missing synchronous one is noticed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

#: Seconds between two looks, and those that a standby may be behind.
_PACE, PATIENCE = 60.0, 10.0
_MARK = "SELECT pg_current_wal_lsn()::text"
#: A row for each standby; its details are NULL without the right to see them.
_STANDBYS = """
SELECT coalesce(nullif(application_name, ''), client_addr::text, ''), sync_state,
    coalesce(coalesce(replay_lsn, flush_lsn, write_lsn) >= %s::pg_lsn, false)
FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'
"""
_MISSING = "changes wait: no synchronous standby of the database is connected"
_SYNCHRONOUS = "SELECT current_setting('synchronous_standby_names') <> ''"


class Standby(NamedTuple):
    """A standby; without the right to see more, ``sync_state`` is None and the rest is empty."""

    name: str
    sync_state: str | None
    follows: bool


class Replication:
    """The standbys of one connection's database; ``trouble`` is for people, empty without any."""

    def __init__(self) -> None:
        self.trouble = ""
        self._mark: tuple[str, float] | None = None
        self._next = 0.0

    def renew(self) -> None:
        """Begin anew: the connection is another one, maybe to another primary."""
        self._mark, self._next = None, 0.0

    def look(self, connection: Connection[Any], now: float) -> None:
        """Do what is due at ``now``, in seconds of a clock that never goes back.

        Raises psycopg.Error when the connection is broken.
        """
        if self._mark is not None and now - self._mark[1] >= PATIENCE:
            (mark, since), self._mark = self._mark, None
            self._next = since + _PACE
            with suppress(psycopg.errors.InsufficientPrivilege):
                standbys, waits = _seen(connection, mark)
                self.trouble = described(standbys, waits=waits)
        elif self._mark is None and now >= self._next:
            self._next = now + _PACE
            with suppress(psycopg.errors.InsufficientPrivilege):
                (mark,) = connection.execute(_MARK).fetchone() or ("0/0",)
                self._mark = mark, now
                standbys, waits = _seen(connection, mark)
                connected = [one._replace(follows=True) for one in standbys]
                missing = described(connected, waits=waits)
                if missing or self.trouble == _MISSING:
                    self.trouble = missing


def _seen(connection: Connection[Any], mark: str) -> tuple[list[Standby], bool]:
    """The standbys, and whether commits wait for some of them."""
    (waits,) = connection.execute(_SYNCHRONOUS).fetchone() or (False,)
    return [Standby(*row) for row in connection.execute(_STANDBYS, (mark,))], waits


def described(standbys: Sequence[Standby], *, waits: bool) -> str:
    """The trouble with these standbys; ``waits``: commits wait for some of them."""
    visible = [one for one in standbys if one.sync_state is not None]
    synchronous = [one for one in visible if one.sync_state != "async"]
    if waits and not synchronous and len(visible) == len(standbys):
        return _MISSING
    if late := [one.name for one in visible if not one.follows]:
        return f"standbys of the database are more than {PATIENCE:.0f} s behind: {', '.join(late)}"
    return ""
