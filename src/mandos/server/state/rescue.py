# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy in memory of a state that can be read but not written.

A server that starts as root, or with the right to read all files, makes it before it gives that
right up: after a restore all of the state may belong to root.  Nothing is written anywhere.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from mandos.server.state import disabled_list
from mandos.server.state.obstacles import DATABASE, FILES, RESERVE, WITNESS
from mandos.server.state.wal import merged

if TYPE_CHECKING:
    from pathlib import Path


class Names(NamedTuple):
    """The list of disabled clients; ``problem`` says why it is None when it is there.

    ``late`` says that some of the names are in the reserve only.
    """

    names: frozenset[str] | None
    problem: str = ""
    missing: bool = False
    late: bool = False


class Copy(NamedTuple):
    """The readable part of the state: the database, None when it is missing, and the list.

    ``problem`` says why the database could not be read, though it is there.
    """

    database: sqlite3.Connection | None
    problem: str
    names: Names


def read_copy(directory: Path) -> Copy:
    """Read all of the state."""
    if problem := _irregular(directory):
        return Copy(None, problem, Names(None, problem))
    names = read_names(directory)
    path = directory / DATABASE
    try:
        data = _read(path)
        log = _read(path.with_name(f"{DATABASE}-wal"))
    except OSError as error:
        return Copy(None, f"{error.filename} cannot be read: {error.strerror}", names)
    if not data and not log:
        return Copy(None, "", names)
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.deserialize(merged(data, log))
    return Copy(connection, "", names)


def _irregular(directory: Path) -> str:
    """The problem with a file that is not regular: reading a FIFO, say, would never end."""
    for path in (directory / name for name in FILES):
        if path.exists() and not path.is_file():
            return f"{path} is no file"
    return ""


def read_names(directory: Path) -> Names:
    """The list of disabled clients, with those for which there was room only in the reserve."""
    late = _late_names(directory / RESERVE)
    try:
        return Names(disabled_list.read(directory / WITNESS) | late, late=bool(late))
    except FileNotFoundError:
        return Names(late or None, missing=True, late=bool(late))
    except OSError as error:
        return Names(None, f"{directory / WITNESS} cannot be read: {error.strerror}")
    except disabled_list.WitnessError as error:
        return Names(None, str(error))


def _late_names(path: Path) -> frozenset[str]:
    try:
        return disabled_list.read_reserved(path)
    except (OSError, disabled_list.WitnessError):
        return frozenset()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
