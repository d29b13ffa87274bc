# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the state can be kept: the directory, its disk, and the database that is there."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

from mandos.errors import AdministratorError
from mandos.server import privileges, witness
from mandos.server.self_check.as_user import as_user
from mandos.server.self_check.findings import failed, failures, not_checked, ok, warning
from mandos.server.self_check.processes import holder_of_lock, title
from mandos.server.store import DATABASE, SCHEMA_VERSION, WITNESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mandos.server.clients_conf import ClientSettings
    from mandos.server.privileges import ServerUser
    from mandos.server.self_check.findings import Finding
    from mandos.server.settings import ServerSettings

DIRECTORY = "state directory"
_SPACE = "space for the state"
_DATABASE = "saved state"
#: Bytes: for the database's log and what SQLite needs meanwhile; for a client; for a record.
_BASE_SIZE, _CLIENT_SIZE, _RECORD_SIZE = 16 << 20, 4096, 512
_LEAST_SIZE = 1 << 20
_MEND_DISK = "see: df -h {0}; df -i {0}; dmesg"


def check(
    settings: ServerSettings, user: ServerUser, clients: Sequence[ClientSettings]
) -> Iterator[Finding]:
    """Check what is there, or whether it can be made."""
    path = settings.statedir
    if not os.path.lexists(path):
        yield _can_be_made(path, user)
        return
    if os.geteuid() != 0 and path.lstat().st_uid != user.uid:
        yield not_checked(DIRECTORY, f"{path} is not the user {user.name}'s")
        return
    try:
        privileges.make_state_directory(path, user)
    except AdministratorError as error:
        yield from failures(DIRECTORY, error)
        return
    yield _can_be_written(path, user)
    yield _has_room(settings, clients)
    yield from _database(path, user)


def _can_be_made(path: Path, user: ServerUser) -> Finding:
    if os.access(path.parent, os.W_OK | os.X_OK):
        return ok(DIRECTORY, f"{path} is not there yet; the server makes it")
    if os.geteuid() != 0 and path.parent.is_dir():
        return not_checked(DIRECTORY, f"{path} is not there, and only root could make it")
    problem = "cannot be written" if path.parent.is_dir() else "is no directory"
    mend = f"run: install -d -m 0700 -o {user.name} {path}; or see --statedir"
    return failed(DIRECTORY, f"{path} cannot be made: {path.parent} {problem}", mend)


def _can_be_written(path: Path, user: ServerUser) -> Finding:
    """Try what the server will do, in a directory of our own in there."""
    problem = _in_trial_directory(path, user, _try_database)
    if problem:
        said = f"the user {user.name} cannot keep a database in {path}: {problem}"
        return failed(DIRECTORY, said, _MEND_DISK.format(path))
    return ok(DIRECTORY, f"the user {user.name} can keep a database in {path}")


def _in_trial_directory(path: Path, user: ServerUser, work: Callable[[Path], str]) -> str:
    """What ``work`` says about a new directory below ``path``, or why there can be none."""
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
        return "its file system cannot share memory, as SQLite's write-ahead log needs"
    connection = sqlite3.connect(path)
    try:
        (size,) = connection.execute("SELECT length(data) FROM trial").fetchone()
    finally:
        connection.close()
    return "" if size == 65536 else "what was written did not come back"


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


def _database(path: Path, user: ServerUser) -> Iterator[Finding]:
    database, list_ = path / DATABASE, path / WITNESS
    holder = holder_of_lock(path)
    if holder is not None:
        yield ok(_DATABASE, f"a server uses it: {title(holder)}")
    if database.exists():
        yield _judged(database, _inspected(database, user, running=holder is not None))
    elif list_.exists():
        said = f"{database} is missing, though {list_} is there"
        yield failed(_DATABASE, said, f"restore it, or remove {list_} if this is a new beginning")
    if list_.exists():
        problem = as_user(user, lambda: _problem_of_list(list_))
        said = f"{problem}; after a loss of the database nobody would know who was disabled"
        if problem:
            yield failed(_DATABASE, said, "restart the server, which writes it anew")
        else:
            yield ok(_DATABASE, f"{list_} can be read")


def _problem_of_list(path: Path) -> str:
    try:
        witness.read(path)
    except witness.WitnessError as error:
        return str(error)
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    return ""


def _judged(database: Path, inspected: str) -> Finding:
    """Make a finding of the database's version, or of what is wrong with it."""
    aside = "or go on: the server sets it aside, and reports every client that may be disabled"
    if not inspected.isdigit():
        said = f"{database} is damaged: {inspected}"
        return failed(_DATABASE, said, f"stop the server and restore a backup, {aside}")
    if int(inspected) > SCHEMA_VERSION:
        said = f"{database} was written by a newer version of mandos (schema {inspected})"
        return failed(_DATABASE, said, f"install that version again, {aside}")
    return ok(_DATABASE, f"{database} is sound (schema {inspected})")


def _inspected(database: Path, user: ServerUser, *, running: bool) -> str:
    """The schema's version in digits, or what is wrong.

    Nothing is written there.  While a server runs, SQLite shares its memory with it; a log that a
    crash left is applied to a copy; else the file alone is all there is
    (https://www.sqlite.org/wal.html#read_only_databases).
    """
    log = database.with_name(f"{DATABASE}-wal")
    if running:
        return str(as_user(user, lambda: _look_into(database, "mode=ro")))
    if log.exists() and log.stat().st_size:

        def look_into_copy(directory: Path) -> str:
            for file in (database, log):
                shutil.copyfile(file, directory / file.name)
            return _look_into(directory / DATABASE, "mode=rw")

        return _in_trial_directory(database.parent, user, look_into_copy)
    return str(as_user(user, lambda: _look_into(database, "immutable=1")))


def _look_into(database: Path, how: str) -> str:
    try:
        uri = f"file:{quote(str(database.absolute()))}?{how}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return str(error)
    return str(version) if verdict == "ok" else " ".join(str(verdict).split())
