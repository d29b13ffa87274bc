# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our server has left on the disk when it does not run: all that the next one can know."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The first schema that has all that is read here; before that a database is still being made.
_SCHEMA = 3
DATABASE, WITNESS = "mandos.db", "disabled-clients"


@contextmanager
def database(state: Path) -> Iterator[sqlite3.Connection]:
    """Our server's database as a new start would find it, also after a kill; it must not run."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (*state.glob(DATABASE), *state.glob(f"{DATABASE}-wal")):
            shutil.copy(path, folder)
        with closing(sqlite3.connect(f"{folder}/{DATABASE}")) as connection:
            yield connection


class Record(NamedTuple):
    """A record of the audit trail."""

    number: int
    kind: str
    client: str
    detail: str


@dataclass
class Disk:
    """The records that strangers cannot provoke, the clients, and the list of disabled ones."""

    witness: set[str]
    records: list[Record] = field(default_factory=list)
    enabled: dict[str, bool] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Clients that were overdue at any time: enabling them is on record, although they are enabled.
    overdue: set[str] = field(default_factory=set)


def read_disk(state: Path, after: int = 0) -> Disk:
    """The records after a number, and the present."""
    path = state / WITNESS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    disk = Disk(witness={line for line in lines if not line.startswith("#")})
    with database(state) as connection:
        if connection.execute("PRAGMA user_version").fetchone() >= (_SCHEMA,):
            _fill(disk, connection, after)
    return disk


def _fill(disk: Disk, connection: sqlite3.Connection, after: int) -> None:
    records = connection.execute(
        "SELECT id, kind, client, detail FROM audit WHERE provoked <> 1 AND id > ? ORDER BY id",
        (after,),
    )
    disk.records = [Record(*row) for row in records]
    overdue = connection.execute("SELECT DISTINCT client FROM audit WHERE kind = 'overdue'")
    disk.overdue = {name for (name,) in overdue}
    present = "name IN (SELECT name FROM client WHERE absent IS NULL)"
    for name, enabled in connection.execute(f"SELECT name, enabled FROM life WHERE {present}"):  # noqa: S608
        disk.enabled[name] = bool(enabled)
    for name, text in connection.execute("SELECT name, settings FROM client"):
        if name in disk.enabled:
            disk.settings[name] = json.loads(text)
