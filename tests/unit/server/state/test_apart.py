# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The notes of a server for times without the shared database, in a real file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mandos.client_settings import ClientSettings
from mandos.errors import MachineError
from mandos.server.audit.records import Kind, Record
from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.state.apart import NAME, Contact, Notes
from mandos.server.state.database import SQLiteStore
from mandos.server.state.noted_store import NotedStore
from mandos.server.state.store import Changes, Entry, Known, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

DATE = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
ALPHA = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"\x00sealed")
ON = Life(created=DATE, enabled=False).turned_on(DATE, timedelta(minutes=5))
OFF = ON.turned_off(DATE + timedelta(minutes=1), Why.ADMINISTRATOR)
RECORD = Record(kind=Kind.SECRET_SENT, at=DATE, client="alpha", address="2001:db8::1", by="root")


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    """Notes in a new directory."""
    with closing(Notes(tmp_path)) as opened:
        yield opened


def test_notes_survive(tmp_path: Path) -> None:
    """Another run of the server reads what the last one wrote."""
    with closing(Notes(tmp_path)) as notes:
        assert notes.contact() is None
        notes.seen(Contact("boot", 1.0, DATE - timedelta(days=1)))
        notes.seen(Contact("boot", 2.5, DATE))
        notes.alone({"alpha": Known(ON, ALPHA, added=True)}, [RECORD])
    with closing(Notes(tmp_path)) as notes:
        assert notes.contact() == Contact("boot", 2.5, DATE)
        assert notes.bases() == {"alpha": Known(ON, ALPHA, added=True)}
        assert notes.unsent() == [RECORD]


def test_the_first_base_stays(notes: Notes) -> None:
    """Later changes do not change how the client was before the first of them."""
    notes.alone({"alpha": Known(ON, ALPHA)}, [])
    notes.alone({"alpha": Known(OFF, ALPHA)}, [])
    assert notes.bases()["alpha"].life == ON


def test_a_secret_that_was_given_alone_is_kept_at_once(notes: Notes, tmp_path: Path) -> None:
    """A server that is killed the moment after has its record in the next run."""
    notes.given(RECORD)
    notes.given(RECORD)
    with closing(Notes(tmp_path)) as other:
        assert other.unsent() == [RECORD, RECORD]
    notes.alone({}, [RECORD])
    assert notes.unsent() == [RECORD]


def test_sent_forgets(notes: Notes) -> None:
    """The clients that the database has now, and all records."""
    beta = replace(ALPHA, name="beta")
    notes.alone({"alpha": Known(ON, ALPHA), "beta": Known(OFF, beta)}, [RECORD])
    notes.sent({"alpha"})
    assert notes.bases().keys() == {"beta"}
    assert notes.unsent() == []


def test_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Then the database was never seen, as far as this server knows."""
    (tmp_path / NAME).write_bytes(b"nonsense" * 4096)
    with closing(Notes(tmp_path)) as notes:
        assert notes.contact() is None
        notes.seen(Contact("boot", 1.0, DATE))
        assert notes.contact() is not None
    assert (tmp_path / f"{NAME}.damaged").read_bytes().startswith(b"nonsense")
    assert "is damaged" in caplog.text


def test_damaged_row_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others are read."""
    beta = replace(ALPHA, name="beta")
    with closing(Notes(tmp_path)) as notes:
        notes.alone({"alpha": Known(ON, ALPHA), "beta": Known(OFF, beta)}, [RECORD, RECORD])
    with closing(sqlite3.connect(tmp_path / NAME)) as connection, connection:
        connection.execute("UPDATE base SET life = '[]' WHERE name = 'alpha'")
        connection.execute("UPDATE unsent SET record = '{' WHERE id = 1")
    with closing(Notes(tmp_path)) as notes:
        assert notes.bases().keys() == {"beta"}
        assert notes.unsent() == [RECORD]
    assert "alpha" in caplog.text


def test_a_disk_that_fails_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The server goes on."""
    (tmp_path / NAME).mkdir()
    with closing(Notes(tmp_path)) as notes:
        notes.seen(Contact("boot", 1.0, DATE))
        notes.alone({"alpha": Known(ON, ALPHA)}, [RECORD])
        assert notes.contact() is None
    assert caplog.text.count(NAME) == 1


class AwayStore(SQLiteStore):
    """A store that can be out of reach."""

    away = True

    def write(self, changes: Changes) -> Outcome:
        """Write, or fail."""
        if self.away:
            raise MachineError("out of reach")
        return super().write(changes)

    def changed(self, names: Collection[str]) -> Mapping[str, Known | None]:
        """Nothing changes."""
        return dict.fromkeys(names)

    def outdated(self, versions: Mapping[str, tuple[int, int]]) -> set[str]:
        """Nothing is outdated."""
        return set(versions) - set(versions)

    def waiting(self, servers: Collection[str]) -> set[str]:
        """Nothing waits."""
        return set(servers) - set(servers)

    def last_record(self) -> int:
        """There is none."""
        return 0

    def records_after(self, number: int, missing: Collection[int], limit: int) -> list[Entry]:
        """There are none."""
        del number, missing, limit
        return []


def test_failed_writes_are_noted_until_one_succeeds(tmp_path: Path) -> None:
    """With the clients as they were before; a repeated failure changes no base."""
    (tmp_path / "store").mkdir()
    with closing(Notes(tmp_path)) as notes:
        away = AwayStore(tmp_path / "store")
        with closing(NotedStore(away, notes)) as store:
            changes = Changes(
                lives={"alpha": OFF}, records=[RECORD], bases={"alpha": Known(ON, ALPHA)}
            )
            for _ in range(2):
                with pytest.raises(MachineError, match="out of reach"):
                    store.write(changes)
            assert notes.bases() == {"alpha": Known(ON, ALPHA)}
            assert notes.unsent() == [RECORD]
            away.away = False
            store.write(changes)
            assert notes.bases() == {}
            assert notes.unsent() == []
            notes.given(RECORD)  # it is in the database with the next write, however that goes on
            store.write(changes)
            assert notes.unsent() == []
