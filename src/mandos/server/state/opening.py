# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the store of the server's state: the part that needs root, and the part that does not."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import mandos
from mandos.errors import MachineError
from mandos.server.state import boot_id, obstacles
from mandos.server.state.apart import Notes
from mandos.server.state.database import SQLiteStore, claim
from mandos.server.state.noted_store import NotedStore
from mandos.server.state.rescue import read_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mandos.server.state.postgresql.moving import MovingDatabase
    from mandos.server.state.postgresql.pulse import Pulse
    from mandos.server.state.postgresql.store import PostgreSQLStore
    from mandos.server.state.store import StateStore


class Shared(NamedTuple):
    """The parts of a state that several servers share.

    ``database`` is the shared store and ``pulse`` the other connection to it, ``notes`` are for
    times without it.  ``store`` is the store to use, which takes notes.
    """

    database: PostgreSQLStore
    pulse: Pulse
    notes: Notes
    store: NotedStore


def claim_state(directory: Path, audit_limit: int, server_uid: int) -> Callable[[], StateStore]:
    """Keep other servers from the state while this one has root; the result opens the store.

    Files that the server's user cannot read or write, as after a restore, are read here.  Both
    steps raise MachineError: when another server uses the state, and when it cannot be read.
    """
    lock = claim(directory)
    copy = read_copy(directory) if obstacles.foreign(directory, server_uid) else None
    return partial(SQLiteStore, directory, audit_limit, lock=lock, copy=copy)


def load_shared() -> None:
    """Import the optional library for PostgreSQL, before giving up root makes it unreadable.

    Raises MachineError when it is missing.
    """
    try:
        import mandos.server.state.postgresql.pulse  # noqa: PLC0415 - optional
        import mandos.server.state.postgresql.store  # noqa: F401, PLC0415 - optional
    except ImportError as error:
        raise MachineError(
            f"the state is in PostgreSQL, and the library for that is missing: {error}",
            "apt install mandos-server-postgresql, or: pip install 'mandos[postgresql]'",
        ) from error


def lock_directory(directory: Path) -> int:
    """Keep servers from a state directory; see ``claim``.  Raises MachineError."""
    return claim(directory)


def load_moving() -> type[MovingDatabase]:
    """Import the optional library, and return the database's side of moving a state.

    Raises MachineError when the library is missing.
    """
    load_shared()
    from mandos.server.state.postgresql.moving import MovingDatabase  # noqa: PLC0415 - optional

    return MovingDatabase


def prepare_shared(
    directory: Path, conninfo: str, server: str, audit_limit: int, elapsed: Callable[[], float]
) -> Shared:
    """Prepare the state in PostgreSQL, and connect to nothing yet.

    ``elapsed`` reads the machine's CLOCK_BOOTTIME.
    """
    from mandos.server.state.postgresql.pulse import Identity, Pulse  # noqa: PLC0415 - optional
    from mandos.server.state.postgresql.store import PostgreSQLStore  # noqa: PLC0415 - optional

    identity = Identity(server, boot_id.present(), uuid.uuid4().hex, mandos.__version__)
    database = PostgreSQLStore(conninfo, server, audit_limit)
    pulse = Pulse(conninfo, identity, elapsed)
    database.on_backend = pulse.disregard
    notes = Notes(directory)
    return Shared(database, pulse, notes, NotedStore(database, notes))
