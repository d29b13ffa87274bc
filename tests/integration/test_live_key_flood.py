# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The holder of one live client key asks the real server a thousand times, for each purpose."""

from __future__ import annotations

import base64
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from asking import ask
from programs import Program

from mandos.server.audit.records import Kind
from mandos.server.state.database import DATABASE, SQLiteStore
from mandos.tls.keys import generate_tls_key, key_id_of_public_pem
from mandos.wire import grammar

REQUESTS = 1000
#: Bytes of the headers of a write-ahead log and of a frame (sqlite.org/fileformat2.html).
_WAL_HEADER, _FRAME_HEADER = 32, 24


class Commits:
    """Counts the transactions in a database's write-ahead log, also when it begins anew."""

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._seen: set[bytes] = set()

    def count(self) -> int:
        """The transactions seen so far."""
        content = self._wal.read_bytes()
        page = int.from_bytes(content[8:12])
        for start in range(_WAL_HEADER, len(content), _FRAME_HEADER + page):
            header = content[start : start + _FRAME_HEADER]
            if any(header[4:8]):  # the size of the database: only in a commit's last frame
                self._seen.add(header)
        return len(self._seen)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that the server's user can get below."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.parametrize(
    ("greeting", "kind", "answer"),
    [
        (grammar.GREETING, Kind.SECRET_SENT, b"sealed"),
        (grammar.REHEARSAL_GREETING, Kind.REHEARSED, b"sealed"),
        (grammar.STATUS_GREETING, Kind.STATUS_SENT, b'{"name": "foo", '),
    ],
    ids=["boot", "rehearsal", "status"],
)
def test_flood_of_a_live_key_is_bounded(
    folder: Path, greeting: bytes, kind: Kind, answer: bytes
) -> None:
    """Each request gets its answer; lines, records and transactions stay few, and counts exact."""
    key = generate_tls_key("ed25519")
    key_id = key_id_of_public_pem(key[1])
    secret = base64.b64encode(b"sealed").decode()
    conf = folder / "clients.conf"
    conf.write_text(f"[foo]\nkey_id = {key_id}\nsecret = {secret}\nchecker =\n")
    conf.chmod(0o600)
    with socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=100) as inherited:
        address = ("::1", inherited.getsockname()[1], 0)
        number = inherited.fileno()
        options = ("--no-zeroconf", "--no-dbus", "--socket", str(number))
        with Program(folder, *options, descriptors=(number,)) as server:
            server.wait_for("serving")
            commits = Commits(folder / "state" / f"{DATABASE}-wal")
            before, began = commits.count(), time.monotonic()
            for turn in range(REQUESTS):
                assert ask(address, key, greeting=greeting).startswith(answer)
                if turn % 50 == 0:
                    commits.count()
            took, written = time.monotonic() - began, commits.count() - before
            assert server.process.stderr
            server.process.terminate()
            lines = [line for line in server.process.stderr if "of client foo to" in line]
    minutes = int(took // 60)
    assert len(lines) <= 2 + minutes
    least = 0 if kind is Kind.STATUS_SENT else 1  # its record may come a second later
    assert least <= written <= 4 + 3 * took
    with closing(SQLiteStore(folder / "state")) as store:
        sent = [entry for entry in store.records() if entry.record.client == "foo"]
    assert sum(entry.times for entry in sent if entry.record.kind is kind) == REQUESTS
    assert len(sent) <= 4
