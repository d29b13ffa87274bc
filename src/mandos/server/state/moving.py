# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves the saved state of a stopped server into the shared database, or back into its directory.

Each step can be repeated: a run that was killed is made again from its beginning, and the steps
that were completed have no further effect.  The source is kept.  A file in the state directory and
a row in the database say which of the two is not to be used any more.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from mandos.errors import AdministratorError, MachineError, MandosError
from mandos.server.life.events import Why
from mandos.server.state import apart, disabled_list
from mandos.server.state.database import SQLiteStore
from mandos.server.state.obstacles import DATABASE, WITNESS
from mandos.server.state.settings_text import text_of
from mandos.server.state.store import Changes, Kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Protocol

    from mandos.client_settings import ClientSettings
    from mandos.server.life.saved import Saved
    from mandos.server.state.store import Entry, State

    class Database(Protocol):
        """The side of the shared database: ``state/postgresql/moving.py``."""

        def move_in(self, whole: Whole) -> list[str]:
            """Take over the state of this server, whole or not at all; returns remarks."""

        def move_out(self) -> Whole:
            """Return the state for this server; no server may live."""

        def left(self) -> None:
            """Mark that this server is not to use the database any more."""

        def has_left(self) -> bool:
            """Whether this server is marked so."""


#: The file in a state directory that says that the state is in the database.
MARK = "state-is-in-database"
_NEW = ".moving"
_MARKED = (
    "The state of this server is in the PostgreSQL database of the setting state.\n"
    "mandos --move-state=from-database brings it back.\n"
)
#: More records than any trail has.
_ALL = 1 << 40


class Whole(NamedTuple):
    """The whole saved state of a server; ``listed`` are disabled clients of unknown settings.

    The oldest record comes first.
    """

    saved: Mapping[str, Saved]
    removed: Mapping[str, ClientSettings]
    listed: frozenset[str]
    trail: Sequence[Entry]

    @property
    def empty(self) -> bool:
        """Whether there is nothing."""
        return not (self.saved or self.removed or self.listed or self.trail)

    @property
    def summary(self) -> str:
        """The numbers, for people."""
        clients = len(self.saved) + len(self.listed)
        return f"{clients} clients, {len(self.removed)} removed ones, {len(self.trail)} records"

    def fingerprint(self) -> str:
        """Return a number that another state does not have, in hexadecimal digits."""
        digest = hashlib.sha256()
        for name, one in sorted(self.saved.items()):
            parts = (
                name,
                _text(one.settings),
                _text(one.configured),
                one.life,
                one.added,
                one.absent,
            )
            digest.update(repr(parts).encode())
        for name, settings in sorted(self.removed.items()):
            digest.update(repr((name, _text(settings))).encode())
        digest.update(repr((sorted(self.listed), list(self.trail))).encode())
        return digest.hexdigest()


def _text(settings: ClientSettings) -> tuple[str, bytes]:
    return text_of(settings), settings.secret


def refuse_moved(directory: Path) -> None:
    """Raise AdministratorError if the state of this directory was moved into the database.

    To be called with root's rights, if there are any: the server's user may be unable to look.
    """
    if os.access(directory / MARK, os.F_OK):
        raise AdministratorError(
            f"the state of {directory} was moved into a PostgreSQL database, and mandos.conf does"
            " not set state",
            "set state again; or bring the state back: mandos --move-state=from-database"
            " --state=URI; or, if a move was interrupted, repeat it",
        )


def to_database(directory: Path, lock: int, database: Database, now: datetime) -> list[str]:
    """Move the state of a directory into the database; returns lines for people.

    ``lock`` is the result of ``claim``.  Raises MandosError, with nothing moved.
    """
    marked = (directory / MARK).exists()
    with closing(SQLiteStore(directory, lock=lock)) as store:
        whole = _read(store, now)
        if whole.empty:
            raise AdministratorError(
                f"there is no saved state in {directory}", "see --statedir; nothing was moved"
            )
        _keep(store, directory, whole.fingerprint()[:12])
        if not marked:
            _write(directory / MARK, _MARKED)
        remarks = _moved_in(directory, whole, database, marked=marked)
    kept = _kept_name(whole.fingerprint()[:12])
    said = f"the state is in the database ({whole.summary}); the one in {directory} is now its"
    return [*remarks, f"{said} local copy, and {kept} there is kept as it was"]


def _moved_in(directory: Path, whole: Whole, database: Database, *, marked: bool) -> list[str]:
    """Move in; without the mark of an earlier run, an error leaves none."""
    try:
        return database.move_in(whole)
    except MandosError:
        if not marked:
            (directory / MARK).unlink()
        raise


def from_database(directory: Path, lock: int, database: Database) -> list[str]:
    """Move the state for this server from the database into a directory; returns lines for people.

    Raises MandosError; then the state in the database is still the one to use.
    """
    try:
        if not (directory / MARK).exists():
            if database.has_left():
                return [f"the state is in {directory} already; remove state from mandos.conf"]
            _refuse_other_state(directory, lock)
            _write(directory / MARK, _MARKED)
        whole = database.move_out()
        _refuse_unsent(directory)
        new = directory / _NEW
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(0o700)
        _fill(new, whole)
        _replace(directory, new)
        database.left()
        for ending in ("", "-wal", "-shm"):
            (directory / f"{apart.NAME}{ending}").unlink(missing_ok=True)
        (directory / MARK).unlink()
        _flush(directory)
        return [
            f"the state is in {directory} ({whole.summary}); the one in the database is kept",
            "remove state from mandos.conf before you start the server",
        ]
    finally:
        with suppress(OSError):
            os.close(lock)


def _read(store: SQLiteStore, now: datetime) -> Whole:
    """Return all that a store has, with the list of disabled clients applied."""
    state: State = store.load()
    if store.trouble is not None:
        raise store.trouble
    if state.lost or state.disabled is None:
        raise MachineError(
            f"the saved state is damaged: {state.lost or 'the list of disabled clients is lost'}",
            "restore a backup, or start the server once without state, which then begins anew",
        )
    saved = {
        name: one._replace(life=one.life.turned_off(now, Why.STATE_LOST))
        if one.life.enabled and name in state.disabled
        else one
        for name, one in state.saved.items()
    }
    listed = frozenset(state.disabled) - saved.keys() - state.removed.keys()
    return Whole(saved, state.removed, listed, store.records(limit=_ALL)[::-1])


def _kept_name(stamp: str) -> str:
    return f"{DATABASE}.moved-{stamp}"


def _keep(store: SQLiteStore, directory: Path, stamp: str) -> None:
    """Keep a copy of the database as it is now."""
    path = directory / _kept_name(stamp)
    if not path.exists():
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        store.copy_to(new)
        _sync(new)
        new.replace(path)
        _flush(directory)


def _refuse_other_state(directory: Path, lock: int) -> None:
    """Raise AdministratorError for a state that is no copy of the database."""
    notes = apart.Notes(directory) if (directory / apart.NAME).exists() else None
    if notes is not None:
        with closing(notes):
            if notes.contact() is not None:
                return
    if not (directory / DATABASE).exists() and not (directory / WITNESS).exists():
        return
    with closing(SQLiteStore(directory, lock=os.dup(lock))) as store:
        state = store.load()
        if state.saved or state.removed or state.disabled or state.lost or store.records(limit=1):
            raise AdministratorError(
                f"{directory} has a state of its own, which would be overwritten",
                "move it away, or name another --statedir",
            )


def _refuse_unsent(directory: Path) -> None:
    """Raise MachineError while this server has changes that the database does not have."""
    if not (directory / apart.NAME).exists():
        return
    with closing(apart.Notes(directory)) as notes:
        if notes.bases() or notes.unsent():
            raise MachineError(
                "this server has made changes without the database, which does not have them yet",
                "start the server with the database, stop it, and move the state then",
            )


def _fill(directory: Path, whole: Whole) -> None:
    """Write a whole state into an empty directory; it is on disk when this returns."""
    with closing(SQLiteStore(directory)) as store:
        changes = Changes(
            lives={name: one.life for name, one in whole.saved.items()},
            settings={
                name: Kept(one.settings, one.configured, one.added, one.absent)
                for name, one in whole.saved.items()
            },
            tombstones=dict(whole.removed),
        )
        store.write(changes)
        store.restore_trail(whole.trail)
        store.settle()
    names = disabled_list.read(directory / WITNESS) if whole.listed or changes.lives else set()
    disabled_list.write(directory / WITNESS, {*names, *whole.listed})


def _replace(directory: Path, new: Path) -> None:
    """Put the new files in place of the old ones; the directory's mark stands meanwhile.

    The old database's log goes first: it must not be taken for the new one's.
    """
    (new / WITNESS).replace(directory / WITNESS)
    for ending in ("-wal", "-shm"):
        (directory / f"{DATABASE}{ending}").unlink(missing_ok=True)
    _flush(directory)
    (new / DATABASE).replace(directory / DATABASE)
    _flush(directory)
    shutil.rmtree(new)


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    _sync(new)
    new.replace(path)
    _flush(path.parent)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _flush(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
