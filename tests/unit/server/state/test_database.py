# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state on disk: what goes in comes out, and whatever cannot be trusted is set aside."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mandos.client_settings import SETTINGS, ClientSettings, ValueKind
from mandos.errors import MachineError
from mandos.server.audit.records import ANSWERED, Kind, Record
from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.life.saved import Saved
from mandos.server.state import disabled_list, schema
from mandos.server.state.database import DATABASE, WITNESS, SQLiteStore
from mandos.server.state.rescue import Copy, Names
from mandos.server.state.schema import SCHEMA_VERSION
from mandos.server.state.store import Changes, Kept, State

START = datetime(2026, 11, 24, tzinfo=UTC)
KEY = "ab" * 32
ALPHA = ClientSettings(name="alpha", key_id=KEY, secret=b"\0sealed")
DISABLED = Life(created=START, enabled=False, disabled_at=START, disabled_why=Why.TIMEOUT)

DATES = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
DURATIONS = st.integers(1, 10**15).map(lambda number: timedelta(microseconds=number))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES: dict[ValueKind, st.SearchStrategy[object]] = {
    ValueKind.TEXT: TEXT,
    ValueKind.COMMAND: TEXT,
    ValueKind.KEY_ID: st.just(KEY),
    ValueKind.FINGERPRINT: TEXT,
    ValueKind.SECRET: st.binary(),
    ValueKind.DURATION: DURATIONS,
    ValueKind.PERIOD: DURATIONS,
    ValueKind.BOOLEAN: st.booleans(),
}
ANY_SETTINGS = st.builds(
    ClientSettings,
    name=st.just("alpha"),
    **{setting.name: VALUES[setting.kind] for setting in SETTINGS},
)
MEMORIES = st.builds(
    Life, created=DATES, enabled=st.booleans(), last_enabled=st.none() | DATES,
    expires=st.none() | DATES, last_checked_ok=st.none() | DATES,
    last_checker_status=st.integers(-2, 255), last_approval_request=st.none() | DATES,
    disabled_at=st.none() | DATES, disabled_why=st.none() | st.sampled_from(Why),
)  # fmt: skip
EACH = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
)


@contextmanager
def opened(folder: Path, **values: Any) -> Iterator[SQLiteStore]:  # noqa: ANN401 - the store's own
    """A store that is closed again."""
    with closing(SQLiteStore(folder, **values)) as store:
        yield store


def _write_alpha(folder: Path, life: Life = DISABLED) -> None:
    with opened(folder) as store:
        store.load()
        store.write(Changes(lives={"alpha": life}, settings={"alpha": Kept(ALPHA, ALPHA)}))


def _state(folder: Path) -> State:
    with opened(folder) as store:
        return store.load()


@EACH
@given(ANY_SETTINGS, ANY_SETTINGS, MEMORIES)
def test_any_client_comes_out_as_it_went_in(
    tmp_path: Path, in_force: ClientSettings, configured: ClientSettings, life: Life
) -> None:
    """Settings in force, those of the files, and the life, to the microsecond."""
    with opened(tmp_path) as store:
        store.write(Changes(lives={"alpha": life}, settings={"alpha": Kept(in_force, configured)}))
    assert _state(tmp_path).saved == {"alpha": Saved(in_force, configured, life)}


def test_equal_settings_share_one_object(tmp_path: Path) -> None:
    """Ten thousand clients must not be in memory twice."""
    _write_alpha(tmp_path)
    with opened(tmp_path) as store:
        saved = store.load([ALPHA]).saved["alpha"]
    assert saved.settings is saved.configured is ALPHA


def test_new_directory_is_no_loss(tmp_path: Path) -> None:
    """The first start knows nothing, and nothing is lost."""
    assert _state(tmp_path) == State()


def test_removed_client_is_gone(tmp_path: Path) -> None:
    """From the database and from the list."""
    _write_alpha(tmp_path)
    with opened(tmp_path) as store:
        assert store.load().disabled == {"alpha"}
        store.write(Changes(removed={"alpha"}))
    assert _state(tmp_path) == State()


def test_list_of_disabled_clients_follows(tmp_path: Path) -> None:
    """Whoever is disabled is on the list until enabled again."""
    _write_alpha(tmp_path)
    assert _state(tmp_path).disabled == {"alpha"}
    _write_alpha(tmp_path, Life(created=START, enabled=True))
    assert _state(tmp_path).disabled == frozenset()


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    """Nobody else may read sealed secrets and who is disabled."""
    old = os.umask(0o077)
    try:
        _write_alpha(tmp_path)
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_one_server_at_a_time(tmp_path: Path) -> None:
    """A second server on the same directory is told so."""
    with opened(tmp_path), pytest.raises(MachineError, match="another server uses"):
        SQLiteStore(tmp_path)


def test_missing_directory(tmp_path: Path) -> None:
    """The message says how to make it."""
    with pytest.raises(MachineError, match="No such file") as caught:
        SQLiteStore(tmp_path / "nowhere")
    assert "install -d -o _mandos" in (caught.value.hint or "")


def _overwrite_the_middle(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 8192) + data[-4096:])


def _damage_a_record(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE client SET settings = '{'")


def _damage_a_date(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE life SET expires = ?", (1 << 62,))


def _use_a_newer_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"nonsense" * 1000), "is damaged"),
        (_overwrite_the_middle, "is damaged"),
        (_damage_a_record, "damaged record"),
        (_damage_a_date, "damaged record"),
        (_use_a_newer_schema, "newer version of this program"),
        (Path.unlink, "is missing"),
    ],
)
def test_unusable_database_is_set_aside(tmp_path: Path, damage: Any, said: str) -> None:  # noqa: ANN401
    """The server can start; it knows what it has lost, and who was disabled."""
    _write_alpha(tmp_path)
    damage(tmp_path / DATABASE)
    before = {path.name for path in tmp_path.iterdir()}
    with opened(tmp_path) as store:
        state = store.load()
        assert said in state.lost
        assert state.saved == {}
        assert state.disabled == {"alpha"}
        store.write(Changes(lives={"alpha": DISABLED}, settings={"alpha": Kept(ALPHA, ALPHA)}))
        assert store.records() == []
    assert _state(tmp_path).lost == ""
    aside = {path.name for path in tmp_path.iterdir()} - before - {DATABASE}
    assert all(name in state.lost or name.endswith(("-wal", "-shm")) for name in aside)
    assert bool(aside) == (damage is not Path.unlink)


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder in memory, where thousands of databases are quick."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - not shared
    with tempfile.TemporaryDirectory(prefix="mandos-", dir=where) as folder:
        yield Path(folder)


def test_any_damaged_byte_of_the_schema_sets_the_database_aside(in_memory: Path) -> None:
    """Each byte of the first page, which holds it: the server starts, and enables nobody by it."""
    tmp_path = in_memory
    (tmp_path / "whole").mkdir()
    with opened(tmp_path / "whole") as store:
        store.load()
        store.write(Changes({"alpha": DISABLED}, {"alpha": Kept(ALPHA, ALPHA)}))
    whole = (tmp_path / "whole" / DATABASE).read_bytes()
    places = sorted(range(8192), key=lambda place: not whole[place])[:2500]  # few hold nothing
    aside = 0
    for place in places:
        folder = tmp_path / str(place)
        folder.mkdir()
        damaged = bytes((whole[place] ^ (0x80 if place % 2 else 0x15),))
        (folder / DATABASE).write_bytes(whole[:place] + damaged + whole[place + 1 :])
        shutil.copy(tmp_path / "whole" / WITNESS, folder)
        with opened(folder) as store:
            state = store.load([ALPHA])
            assert state.disabled == {"alpha"}
            aside += bool(state.lost)
        shutil.rmtree(folder)
    assert aside > len(places) / 10


def test_trouble_of_the_machine_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that cannot be read for now stays where it is."""
    with opened(tmp_path) as store:
        store.load()

    def fails(_connection: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise error

    monkeypatch.setattr(schema, "prepare", fails)
    with opened(tmp_path) as store:
        assert "disk I/O error" in str(store.trouble)
        assert not store.load().lost
    assert not list(tmp_path.glob(f"{DATABASE}.*-*"))


def test_both_witnesses_lost(tmp_path: Path) -> None:
    """Without the database and the list nobody can say who was disabled."""
    _write_alpha(tmp_path)
    (tmp_path / DATABASE).write_bytes(b"nonsense" * 1000)
    (tmp_path / WITNESS).write_bytes(b"nonsense")
    assert _state(tmp_path).disabled is None


@pytest.mark.parametrize("lists", [b"nonsense", None])
def test_killed_after_both_were_lost(tmp_path: Path, lists: bytes | None) -> None:
    """Whoever starts next still knows that nobody knows, until something has been written."""
    _write_alpha(tmp_path)
    (tmp_path / DATABASE).write_bytes(b"nonsense" * 1000)
    (tmp_path / WITNESS).unlink()
    if lists is not None:
        (tmp_path / WITNESS).write_bytes(lists)
    for _start in range(3):
        state = _state(tmp_path)
        assert state.lost
        assert state.disabled is None
    _write_alpha(tmp_path)
    assert not _state(tmp_path).lost


def test_lost_list_is_made_anew(tmp_path: Path) -> None:
    """The database alone is enough; the list is complete again after the next write."""
    _write_alpha(tmp_path)
    (tmp_path / WITNESS).unlink()
    with opened(tmp_path) as store:
        state = store.load()
        assert not state.lost
        store.write(Changes(lives={name: saved.life for name, saved in state.saved.items()}))
    assert _state(tmp_path).disabled == {"alpha"}


def test_crash_between_list_and_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When only the list could be written, the client counts as disabled; nothing is half done."""
    _write_alpha(tmp_path, Life(created=START, enabled=True))
    with opened(tmp_path) as store, monkeypatch.context() as patch:
        store.load()
        patch.setattr(store, "_write_clients", _fail)
        with pytest.raises(MachineError, match="cannot write the state"):
            store.write(Changes(lives={"alpha": DISABLED}, records=[_record(Kind.DISABLED)]))
    state = _state(tmp_path)
    assert state.disabled == {"alpha"}
    assert state.saved["alpha"].life.enabled


def _fail(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


def test_forgetting_keeps_the_trail(tmp_path: Path) -> None:
    """--no-restore forgets the clients, not what has happened."""
    _write_alpha(tmp_path)
    with opened(tmp_path) as store:
        store.write(Changes(records=[_record(Kind.DISABLED)]))
        store.forget()
        assert [entry.record.kind for entry in store.records()] == [Kind.DISABLED]
    assert _state(tmp_path) == State()


def test_database_of_the_first_version(tmp_path: Path) -> None:
    """What it knows is taken over; its clients are all from the files."""
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection, connection:
        connection.executescript(f"{schema.MIGRATIONS[0]}; PRAGMA user_version = 1;")
        settings = '{"host":"x","timeout":60000000}'
        connection.execute(
            "INSERT INTO client VALUES ('alpha', ?, ?, NULL, NULL)", (settings, b"sealed")
        )
        connection.execute(
            "INSERT INTO life VALUES ('alpha', 5, 0, NULL, NULL, NULL, -2, NULL, 7, 'timeout')"
        )
    saved = _state(tmp_path).saved["alpha"]
    assert saved.settings == ClientSettings(
        name="alpha", secret=b"sealed", host="x", timeout=timedelta(minutes=1)
    )
    assert saved.life.disabled_why is Why.TIMEOUT
    assert not saved.added


def test_added_and_removed_clients(tmp_path: Path) -> None:
    """Who came or went by an administrator's order is known as such; the removed are witnessed."""
    beta = replace(ALPHA, name="beta")
    with opened(tmp_path) as store:
        store.load()
        store.write(
            Changes(
                lives={"alpha": DISABLED},
                settings={"alpha": Kept(ALPHA, ALPHA, added=True)},
                tombstones={"beta": beta},
                removed={"beta"},
            )
        )
    state = _state(tmp_path)
    assert state.saved == {"alpha": Saved(ALPHA, ALPHA, DISABLED, added=True)}
    assert state.removed == {"beta": beta}
    assert state.disabled == {"alpha", "beta"}
    with opened(tmp_path) as store:
        store.load()
        store.write(Changes(removed={"beta"}))
    assert _state(tmp_path).removed == {}
    assert _state(tmp_path).disabled == {"alpha"}


def test_migration_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older database gets what has been added since, and keeps its clients."""
    _write_alpha(tmp_path)
    newer = (*schema.MIGRATIONS, "CREATE TABLE added (x); INSERT INTO added VALUES (7)")
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    assert "alpha" in _state(tmp_path).saved
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        assert connection.execute("SELECT x FROM added").fetchall() == [(7,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)


def test_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a step would be worse than none."""
    _write_alpha(tmp_path)
    with monkeypatch.context() as patch:
        newer = (*schema.MIGRATIONS, "CREATE TABLE added (x); INSERT INTO nowhere VALUES (7)")
        patch.setattr(schema, "MIGRATIONS", newer)
        patch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        with pytest.raises(MachineError, match="no such table: nowhere"):
            SQLiteStore(tmp_path)
    assert "alpha" in _state(tmp_path).saved


# A state that cannot be written


def _read_only(_store: SQLiteStore) -> sqlite3.Connection:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_unwritable_state_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it; a client that is disabled now is on the list; then all can be written again."""
    _write_alpha(tmp_path)
    beta = replace(ALPHA, name="beta", key_id="cd" * 32)
    changes = Changes(lives={"beta": DISABLED}, settings={"beta": Kept(beta, beta)})
    before = (tmp_path / DATABASE).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(SQLiteStore, "_usable", _read_only)
        with opened(tmp_path) as store:
            assert "Read-only file system" in str(store.trouble)
            state = store.load()
            assert state == State({"alpha": Saved(ALPHA, ALPHA, DISABLED)}, {}, {"alpha"})
            with pytest.raises(MachineError, match="Read-only file system"):
                store.write(changes)
            assert not store.reopen()
            assert (tmp_path / DATABASE).read_bytes() == before
            patch.undo()
            assert store.reopen()
            assert store.trouble is None
            store.write(changes)
    assert set(_state(tmp_path).saved) == {"alpha", "beta"}


def _read_only_list(_path: Path, _names: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_client_disabled_while_the_state_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list has it where the list can be written, else the room that is kept for it."""
    enabled = Life(created=START, enabled=True)
    for failing in (False, True):
        _write_alpha(tmp_path, enabled)
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteStore, "_usable", _read_only)
            if failing:
                patch.setattr(disabled_list, "write", _read_only_list)
            with opened(tmp_path) as store:
                store.load()
                with pytest.raises(MachineError):
                    store.write(Changes(lives={"alpha": DISABLED}))
        state = _state(tmp_path)
        assert state.disabled == {"alpha"}
        assert state.saved["alpha"].life.enabled


def test_database_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list decides and the database is left alone; without the list nobody is served."""
    _write_alpha(tmp_path)
    problem = "mandos.db cannot be read: Permission denied"
    monkeypatch.setattr(SQLiteStore, "_usable", _read_only)
    copy = Copy(None, problem, Names(frozenset({"alpha"})))
    with opened(tmp_path, copy=copy) as store:
        state = store.load()
        assert (state.saved, state.disabled) == ({}, {"alpha"})
        assert problem in state.lost
        monkeypatch.undo()
        assert not store.reopen()
    monkeypatch.setattr(SQLiteStore, "_usable", _read_only)
    for names in (Names(None, missing=True), Names(None, "disabled-clients is damaged")):
        with pytest.raises(MachineError, match="cannot be read") as caught:
            SQLiteStore(tmp_path, copy=Copy(None, problem, names))
        assert "then restart the server" in (caught.value.hint or "")


def test_absent_client_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """With the date since when its section is missing."""
    with opened(tmp_path) as store:
        store.load()
        kept = {"alpha": Kept(ALPHA, ALPHA, absent=START)}
        store.write(Changes(lives={"alpha": DISABLED}, settings=kept))
    assert _state(tmp_path).saved == {"alpha": Saved(ALPHA, ALPHA, DISABLED, absent=START)}


@pytest.mark.parametrize("place", range(0, 100, 3))
def test_any_damage_of_the_header_sets_the_database_aside(tmp_path: Path, place: int) -> None:
    """Whatever the library calls it; or it does no harm."""
    _write_alpha(tmp_path)
    path = tmp_path / DATABASE
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    with opened(tmp_path) as store:
        state = store.load()
        assert store.trouble is None
        assert state.disabled == {"alpha"}
        assert state.lost or not state.saved["alpha"].life.enabled


# The audit trail


def _record(kind: Kind, at: datetime = START, **values: str) -> Record:
    return Record(kind=kind, at=at, **{"client": "alpha", **values})


def test_records_come_back_newest_first(tmp_path: Path) -> None:
    """With all they hold, of one client or of all, a page at a time."""
    one = _record(Kind.SECRET_SENT, key_id=KEY, address="fe80::1", interface="eth0", by="uid 0")
    two = _record(Kind.CHANGED, START + timedelta(seconds=1), client="beta", detail="host")
    with opened(tmp_path) as store:
        store.write(Changes(records=[one, two]))
        newest, oldest = store.records()
        assert (newest.record, oldest.record) == (two, one)
        assert [entry.record for entry in store.records("alpha")] == [one]
        assert [entry.record for entry in store.records(limit=1)] == [two]
        assert [entry.record for entry in store.records(before=newest.number)] == [one]


def test_repetitions_are_counted(tmp_path: Path) -> None:
    """What anybody can repeat is one record with a count, until something else happens."""
    minute = timedelta(minutes=1)
    again = [_record(Kind.REJECTED, START + n * minute, detail="Disabled") for n in range(5)]
    with opened(tmp_path) as store:
        store.write(Changes(records=again[:3]))
        store.write(Changes(records=[again[3], _record(Kind.ENABLED), again[4]]))
        assert [(entry.record.kind, entry.times) for entry in store.records()] == [
            (Kind.REJECTED, 1), (Kind.ENABLED, 1), (Kind.REJECTED, 4),
        ]  # fmt: skip
        assert store.records()[2].last == START + 3 * minute


def test_a_day_later_it_is_another_record(tmp_path: Path) -> None:
    """Counting has an end, so that a look at one day shows it."""
    with opened(tmp_path) as store:
        for day in range(2):
            at = START + timedelta(days=day)
            store.write(Changes(records=[_record(Kind.UNKNOWN_KEY, at, client="")]))
        assert [entry.times for entry in store.records()] == [1, 1]


def test_strangers_cannot_flush_the_trail(tmp_path: Path) -> None:
    """However many keys they try, acts of administrators and answers to keys stay; bounded."""
    with opened(tmp_path, audit_limit=200) as store:
        kept = [_record(Kind.DISABLED, by="uid 0"), *map(_record, sorted(ANSWERED))]
        store.write(Changes(records=kept))
        for number in range(1000):
            record = _record(Kind.UNKNOWN_KEY, client="", key_id=f"{number:064x}")
            store.write(Changes(records=[record]))
        kinds = [entry.record.kind for entry in store.records(limit=10_000)]
        assert set(kinds) == {Kind.DISABLED, Kind.UNKNOWN_KEY} | ANSWERED
        assert len(kinds) <= 114
        for number in range(1000):
            store.write(Changes(records=[_record(Kind.CHANGED, detail=str(number))]))
        assert len(store.records(limit=10_000)) <= 210


def test_failed_write_leaves_no_wrong_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record whose number was never used on disk is not counted up afterwards."""
    with opened(tmp_path) as store:
        rejected = _record(Kind.REJECTED, detail="Disabled")
        with monkeypatch.context() as patch:
            patch.setattr(store._audit, "_drop", _fail)
            with pytest.raises(MachineError):
                store.write(Changes(records=[rejected]))
        store.write(Changes(records=[_record(Kind.CHANGED)]))
        store.write(Changes(records=[rejected]))
        assert [(entry.record.kind, entry.times) for entry in store.records()] == [
            (Kind.REJECTED, 1), (Kind.CHANGED, 1),
        ]  # fmt: skip


def test_settings_that_a_later_version_added(tmp_path: Path) -> None:
    """A saved setting that is missing has its default."""
    _write_alpha(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection, connection:
        connection.execute("""UPDATE client SET settings = '{"host":"x"}'""")
    saved = _state(tmp_path).saved["alpha"].settings
    assert saved == replace(ClientSettings(name="alpha", secret=ALPHA.secret), host="x")


def test_settings_that_an_earlier_version_lacks(tmp_path: Path) -> None:
    """After a downgrade they are ignored, kept on disk, and dropped when the client is saved."""
    _write_alpha(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection, connection:
        connection.execute("""UPDATE client SET settings = json_set(settings, '$.rack', 3)""")
    with opened(tmp_path) as store:
        state = store.load([ALPHA])
        assert (state.lost, state.saved["alpha"].settings) == ("", ALPHA)
        assert state.saved["alpha"].settings is state.saved["alpha"].configured is ALPHA
        assert _saved_names(tmp_path) >= {"rack", "host"}
        store.write(Changes(settings={"alpha": Kept(ALPHA, ALPHA)}))
    assert _saved_names(tmp_path) >= {"host"}
    assert "rack" not in _saved_names(tmp_path)


def _saved_names(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        query = "SELECT key FROM client, json_each(client.settings)"
        return {name for (name,) in connection.execute(query)}


def test_settings_that_are_no_names_and_values(tmp_path: Path) -> None:
    """A record that is JSON of another form is damage."""
    _write_alpha(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection, connection:
        connection.execute("UPDATE client SET settings = '[]'")
    assert "damaged record" in _state(tmp_path).lost
