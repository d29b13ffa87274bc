# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database and its write-ahead log, merged: what SQLite itself reads after a crash."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mandos.server.state.rescue import read_copy
from mandos.server.state.wal import merged


@pytest.fixture(params=[4096, 8192, 65536])
def crashed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A database whose last transactions, some that make it smaller, are in the log only."""
    path = tmp_path / "mandos.db"
    chance = random.Random(request.param)  # noqa: S311 - any data will do
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {request.param}")
        connection.execute("PRAGMA auto_vacuum = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(25):
            data = chance.randbytes(chance.randrange(20_000))
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, data))
            if number % 7 == 6:
                connection.execute("DELETE FROM t WHERE n > ?", (number - 5,))
        yield path


def _rows(connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return connection.execute("SELECT * FROM t ORDER BY n").fetchall()


def _by_sqlite(folder: Path, database: bytes, log: bytes) -> list[tuple[int, bytes]]:
    folder.mkdir()
    (folder / "x.db").write_bytes(database)
    (folder / "x.db-wal").write_bytes(log)
    with closing(sqlite3.connect(folder / "x.db")) as connection:
        rows = _rows(connection)
    shutil.rmtree(folder)
    return rows


def _by_us(database: bytes, log: bytes) -> list[tuple[int, bytes]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(merged(database, log))
        return _rows(connection)


def test_whole_log(crashed: Path) -> None:
    """All that was committed is there, and more than the database alone has."""
    database, log = crashed.read_bytes(), crashed.with_name("mandos.db-wal").read_bytes()
    rows = _by_us(database, log)
    assert rows == _by_sqlite(crashed.parent / "copy", database, log)
    assert rows != _by_us(database, b"")


def test_log_that_is_cut_off_or_damaged(crashed: Path) -> None:
    """Up to the last transaction that is whole, wherever the log ends or a byte is wrong."""
    database, log = crashed.read_bytes(), crashed.with_name("mandos.db-wal").read_bytes()
    chance = random.Random(1)  # noqa: S311 - any places will do
    for place in (0, 31, 32, *chance.sample(range(len(log)), 12)):
        damaged = log[:place] + bytes((log[place] ^ 1,)) + log[place + 1 :]
        for bad in (log[:place], damaged):
            assert _by_us(database, bad) == _by_sqlite(crashed.parent / "copy", database, bad)


def test_copy_of_a_state_without_a_log(tmp_path: Path) -> None:
    """Nothing there is nothing known; a database alone is read as it is."""
    copy = read_copy(tmp_path)
    assert (copy.database, copy.problem, copy.names.names) == (None, "", None)
    assert copy.names.missing
    with closing(sqlite3.connect(tmp_path / "mandos.db")) as connection, connection:
        connection.execute("CREATE TABLE t (n, data)")
    database = read_copy(tmp_path).database
    assert database is not None
    with closing(database):
        assert _rows(database) == []
    assert [path.name for path in tmp_path.iterdir()] == ["mandos.db"]
