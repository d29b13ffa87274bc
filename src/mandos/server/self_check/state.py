# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the server can save its state: the directory, the disk, the existing database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from mandos.errors import AdministratorError
from mandos.server.self_check.as_user import as_user, in_child
from mandos.server.self_check.findings import failed, failures, not_checked, ok, warning
from mandos.server.self_check.processes import holder_of_lock, title
from mandos.server.state import disabled_list
from mandos.server.state.obstacles import DATABASE, WITNESS, foreign, obstacle
from mandos.server.state.rescue import read_copy
from mandos.server.state.schema import MACHINE_ERRORS, SCHEMA_VERSION
from mandos.server.system import privileges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mandos.client_settings import ClientSettings
    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.self_check.findings import Finding
    from mandos.server.state.obstacles import Obstacle
    from mandos.server.system.privileges import ServerUser

DIRECTORY = "state directory"
_SPACE = "space for the state"
_DATABASE = "saved state"
#: Bytes: for the database's log and SQLite's temporary files; for a client; for a record.
_BASE_SIZE, _CLIENT_SIZE, _RECORD_SIZE = 16 << 20, 4096, 512
_LEAST_SIZE = 1 << 20
_MEND_DISK = "see: df -h {0}; df -i {0}; dmesg"


def check(
    settings: ServerSettings, user: ServerUser, clients: Sequence[ClientSettings]
) -> Iterator[Finding]:
    """Check the state directory and its contents, or whether the server can make it."""
    path = settings.statedir
    if not os.path.lexists(path):
        yield _can_be_made(path, user)
        return
    if os.geteuid() != 0 and path.lstat().st_uid != user.uid:
        yield not_checked(DIRECTORY, f"{path} does not belong to the user {user.name}")
        return
    try:
        privileges.make_state_directory(path, user)
    except AdministratorError as error:
        yield from failures(DIRECTORY, error)
        return
    if mode := stat.S_IMODE(path.stat().st_mode) & 0o077:
        said = f"the state directory {path} is open to other users ({mode:03o})"
        yield warning(DIRECTORY, said, f"run: chmod 0700 {path}")
    found = obstacle(path, user.uid, user.name)
    if found is not None:
        said = f"{found.said}: the server uses the state that it can read, and saves nothing"
        yield failed(DIRECTORY, said, found.mend)
    else:
        yield _can_be_written(path, user)
    yield _has_room(settings, clients)
    yield from _database(path, user, found)


def _can_be_made(path: Path, user: ServerUser) -> Finding:
    if os.access(path.parent, os.W_OK | os.X_OK):
        return ok(DIRECTORY, f"{path} does not exist yet; the server makes it")
    if os.geteuid() != 0 and path.parent.is_dir():
        return not_checked(DIRECTORY, f"{path} does not exist, and only root could make it")
    problem = "cannot be written" if path.parent.is_dir() else "is no directory"
    mend = f"run: install -d -m 0700 -o {user.name} {path}; or see --statedir"
    return failed(DIRECTORY, f"{path} cannot be made: {path.parent} {problem}", mend)


def _can_be_written(path: Path, user: ServerUser) -> Finding:
    """Report whether a database works there, by one in a temporary directory."""
    problem = _in_trial_directory(path, user, _try_database)
    if problem:
        said = f"the user {user.name} cannot keep a database in {path}: {problem}"
        return failed(DIRECTORY, said, _MEND_DISK.format(path))
    return ok(DIRECTORY, f"the user {user.name} can keep a database in {path}")


def _in_trial_directory(path: Path, user: ServerUser, work: Callable[[Path], str]) -> str:
    """Run ``work`` on a new directory below ``path``; returns the problem, empty without one."""
    trial = path / f".check-{os.getpid()}"

    def tried() -> str:
        try:
            trial.mkdir(0o700)
            return work(trial)
        except (OSError, sqlite3.Error) as error:
            return getattr(error, "strerror", None) or str(error)

    try:
        return str(as_user(user, tried))
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _try_database(directory: Path) -> str:
    path = directory / DATABASE
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE trial (data BLOB)")
        connection.execute("INSERT INTO trial VALUES (zeroblob(65536))")
    finally:
        connection.close()
    if mode != "wal":
        return "its file system lacks the shared memory that SQLite's write-ahead log needs"
    connection = sqlite3.connect(path)
    try:
        (size,) = connection.execute("SELECT length(data) FROM trial").fetchone()
    finally:
        connection.close()
    return "" if size == 65536 else "reading does not return the data that was written"


def _has_room(settings: ServerSettings, clients: Sequence[ClientSettings]) -> Finding:
    path = settings.statedir
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    needed = _BASE_SIZE + _RECORD_SIZE * settings.audit_records
    needed += sum(_CLIENT_SIZE + 2 * len(client.secret) for client in clients)
    said = f"{free >> 20} MiB are free for {path}, and it may grow to {needed >> 20} MiB"
    if free >= needed:
        return ok(_SPACE, said)
    finding = failed if free < _LEAST_SIZE else warning
    return finding(_SPACE, said, f"make room, or set audit_records lower; see: df -h {path}")


def _database(path: Path, user: ServerUser, found: Obstacle | None) -> Iterator[Finding]:
    database, list_ = path / DATABASE, path / WITNESS
    holder = holder_of_lock(path)
    if holder is not None:
        yield ok(_DATABASE, f"a server uses it: {title(holder)}")
    if database.exists():
        yield _finding(database, _inspected(database, user, running=holder is not None))
    elif list_.exists():
        said = f"{database} is missing, although {list_} exists"
        mend = f"restore it, or remove {list_} to begin without any saved state"
        yield failed(_DATABASE, said, mend)
    if list_.exists():
        problem = as_user(user, lambda: _problem_of_list(list_))
        said = f"{problem}; after a loss of the database the disabled clients would be unknown"
        if problem:
            mend = found.mend if found else "restart the server, which writes it anew"
            yield failed(_DATABASE, said, mend)
        else:
            yield ok(_DATABASE, f"{list_} can be read")


def _problem_of_list(path: Path) -> str:
    try:
        disabled_list.read(path)
    except disabled_list.WitnessError as error:
        return str(error)
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    return ""


class _Inspection(NamedTuple):
    """The schema's version, or else the problem; a database that cannot be read may be sound."""

    version: int
    damage: str = ""
    unreadable: str = ""


def _finding(database: Path, inspection: _Inspection) -> Finding:
    """Make a finding of what an inspection has shown."""
    aside = "or go on: the server sets it aside, and reports every client that may be disabled"
    if inspection.unreadable:
        said = f"{database} cannot be read: {inspection.unreadable}"
        return failed(_DATABASE, said, f"see: ls -la {database.parent}; dmesg")
    if inspection.damage:
        said = f"{database} is damaged: {inspection.damage}"
        return failed(_DATABASE, said, f"stop the server and restore a backup, {aside}")
    if inspection.version > SCHEMA_VERSION:
        said = f"{database} was written by a newer version of mandos (schema {inspection.version})"
        return failed(_DATABASE, said, f"install that version again, {aside}")
    return ok(_DATABASE, f"{database} is sound (schema {inspection.version})")


def _inspected(database: Path, user: ServerUser, *, running: bool) -> _Inspection:
    """Look into the database without writing anything.

    While a server runs, SQLite reads the file together with it.  Otherwise SQLite reads a copy in
    memory, with the log that a crash may have left.  When a file does not belong to the server's
    user, we make the copy with our own rights, as the server does.
    """
    if running:
        return _Inspection(*as_user(user, lambda: _look_into(database)))
    if foreign(database.parent, user.uid):
        return _Inspection(*in_child(lambda: _look_into_copy(database.parent)))
    return _Inspection(*as_user(user, lambda: _look_into_copy(database.parent)))


def _look_into_copy(directory: Path) -> _Inspection:
    copy = read_copy(directory)
    if copy.database is None:
        return _Inspection(0, unreadable=copy.problem)
    return _inspect(copy.database)


def _look_into(database: Path) -> _Inspection:
    uri = f"file:{quote(str(database.absolute()))}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    except sqlite3.Error as error:
        return _Inspection(0, unreadable=str(error))
    try:
        return _inspect(connection)
    finally:
        connection.close()


def _inspect(connection: sqlite3.Connection) -> _Inspection:
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except (sqlite3.Error, ValueError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in MACHINE_ERRORS:
            return _Inspection(0, unreadable=str(error))
        return _Inspection(0, damage=str(error))
    return _Inspection(version, damage="" if found == "ok" else " ".join(str(found).split()))
