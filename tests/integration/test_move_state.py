# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stopped server's state is moved into a real database and back; killed at every step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from programs import MANDOS

from mandos.client_settings import ClientSettings
from mandos.errors import AdministratorError, MachineError, MandosError
from mandos.server.audit.records import Kind, Record
from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.state import disabled_list, moving
from mandos.server.state.apart import Contact, Notes
from mandos.server.state.database import WITNESS, SQLiteStore, claim
from mandos.server.state.moving import MARK, from_database, refuse_moved, to_database
from mandos.server.state.store import Changes, Kept
from mandos.server.system.privileges import server_user

psycopg = pytest.importorskip("psycopg", exc_type=ImportError)

from mandos.server.state.postgresql.moving import MovingDatabase  # noqa: E402 - optional
from mandos.server.state.postgresql.pulse import Identity, Pulse  # noqa: E402 - optional
from mandos.server.state.postgresql.store import PostgreSQLStore  # noqa: E402 - optional

if TYPE_CHECKING:
    from harness.postgresql import Database
    from mandos.server.state.moving import Whole

SECTION = f"[a]\nkey_id = {'a':0<64}\nsecret = YQ==\nhost = localhost\n"
START = datetime(2026, 11, 24, tzinfo=UTC)
HOUR = timedelta(hours=1)
ON = Life(
    created=START, enabled=True, last_enabled=START, expires=START + HOUR,
    last_checked_ok=START, last_checker_status=0, last_secret_sent=START,
)  # fmt: skip
OFF = ON.turned_off(START + HOUR, Why.ADMINISTRATOR)


def client(name: str, **more: Any) -> ClientSettings:  # noqa: ANN401 - settings
    """A client's settings."""
    return ClientSettings(name=name, secret=name.encode(), key_id=f"{name:0<64}", **more)


ALPHA, BETA, ADDED, GONE, REMOVED = map(client, ("a", "b", "c", "d", "e"))


def record(kind: Kind, name: str, minute: int) -> Record:
    """A record of the trail."""
    return Record(kind=kind, at=START + timedelta(minutes=minute), client=name, by="root")


def fill(directory: Path) -> None:
    """A state with everything that a state can have."""
    directory.mkdir(exist_ok=True)
    with closing(SQLiteStore(directory)) as store:
        store.write(
            Changes(
                lives={"a": ON, "b": OFF, "c": ON, "d": OFF},
                settings={
                    "a": Kept(replace(ALPHA, host="in force"), ALPHA),
                    "b": Kept(BETA, BETA),
                    "c": Kept(ADDED, ADDED, added=True),
                    "d": Kept(GONE, GONE, absent=START),
                },
                tombstones={"e": REMOVED},
                records=[record(Kind.ENABLED, "a", 1), record(Kind.DISABLED, "b", 2)],
            )
        )
        for minute in (3, 4, 5):
            store.write(Changes(records=[record(Kind.SECRET_SENT, "a", minute)]))


def whole(directory: Path) -> Whole:
    """All that a directory has."""
    with closing(SQLiteStore(directory)) as store:
        return moving._read(store, START)


def facts(directory: Path) -> tuple[object, ...]:
    """The same, without the numbers of records and names of servers, to compare."""
    saved, removed, listed, trail = whole(directory)
    told = [(replace(it.record, server=""), it.last, it.times) for it in trail]
    return dict(saved), dict(removed), listed, told


def moved_in(directory: Path, database: Database, server: str = "one") -> list[str]:
    """Move into the database."""
    side = MovingDatabase(database.uri(), server)
    return to_database(directory, claim(directory), side, START)


def moved_out(directory: Path, database: Database, server: str = "one") -> list[str]:
    """Move back."""
    return from_database(directory, claim(directory), MovingDatabase(database.uri(), server))


def opened(database: Database, server: str = "one") -> PostgreSQLStore:
    """The shared store of a server."""
    store = PostgreSQLStore(database.uri(), server)
    store.open()
    return store


def test_there_and_back_nothing_is_lost(tmp_path: Path, postgresql_database: Database) -> None:
    """Clients, lives, settings, absences, removals, and the trail with its repetitions."""
    fill(tmp_path)
    before = facts(tmp_path)
    (line,) = moved_in(tmp_path, postgresql_database)
    assert "4 clients, 1 removed ones, 3 records" in line
    with closing(opened(postgresql_database)) as store:
        state = store.load([ALPHA, BETA, REMOVED])
        assert {name: one.life for name, one in state.saved.items()} == {
            "a": ON, "b": OFF, "c": ON, "d": OFF,
        }  # fmt: skip
        assert state.saved["a"].settings == replace(ALPHA, host="in force")
        assert state.saved["a"].configured == ALPHA
        assert (state.saved["c"].added, state.saved["d"].absent) == (True, START)
        assert state.removed == {"e": REMOVED}
        trail = store.records()[::-1]
        assert [(it.record.kind, it.record.server, it.times) for it in trail] == [
            (Kind.ENABLED, "one", 1), (Kind.DISABLED, "one", 1), (Kind.SECRET_SENT, "one", 3),
        ]  # fmt: skip
        assert trail[-1].last == START + timedelta(minutes=5)
    (kept,) = tmp_path.glob("mandos.db.moved-*")
    lines = moved_out(tmp_path, postgresql_database)
    assert "remove state from mandos.conf" in lines[-1]
    assert facts(tmp_path) == before
    assert kept.exists()
    assert postgresql_database.sql("SELECT count(*) FROM mandos.client") == [(5,)]


def test_the_source_is_not_used_by_accident(tmp_path: Path, postgresql_database: Database) -> None:
    """Each direction leaves a mark, which the other one removes."""
    fill(tmp_path)
    refuse_moved(tmp_path)
    moved_in(tmp_path, postgresql_database)
    with pytest.raises(AdministratorError, match="moved into a PostgreSQL database"):
        refuse_moved(tmp_path)
    opened(postgresql_database).close()
    moved_out(tmp_path, postgresql_database)
    refuse_moved(tmp_path)
    with pytest.raises(AdministratorError, match="the server one was moved out"):
        opened(postgresql_database)
    opened(postgresql_database, "other").close()
    moved_in(tmp_path, postgresql_database)
    opened(postgresql_database).close()


def test_a_database_that_all_servers_have_left_is_kept(
    tmp_path: Path, postgresql_database: Database
) -> None:
    """The next move begins anew beside it: later acts in the directory win over the old state."""
    fill(tmp_path)
    moved_in(tmp_path, postgresql_database)
    moved_out(tmp_path, postgresql_database)
    with closing(SQLiteStore(tmp_path)) as store:
        store.write(Changes(lives={"b": ON}))
    before = facts(tmp_path)
    moved_in(tmp_path, postgresql_database)
    with closing(opened(postgresql_database)) as store:
        assert store.load().saved["b"].life.enabled
    old = "SELECT enabled FROM mandos_old_1.life WHERE name = 'b'"
    assert postgresql_database.sql(old) == [(False,)]
    moved_out(tmp_path, postgresql_database)
    assert facts(tmp_path) == before


def test_two_servers_move_into_one_database(tmp_path: Path, postgresql_database: Database) -> None:
    """A disabled client stays disabled, the first one's settings stay, sections are recorded."""
    one, two = tmp_path / "one", tmp_path / "two"
    fill(one)
    two.mkdir()
    checked = ON.found_alive(START + HOUR / 2, HOUR)
    theirs = replace(ALPHA, host="second")
    with closing(SQLiteStore(two)) as store:
        store.write(
            Changes(
                lives={"a": OFF, "b": checked, "e": ON, "c": checked},
                settings={
                    "a": Kept(theirs, theirs), "b": Kept(BETA, BETA), "e": Kept(REMOVED, REMOVED),
                    "c": Kept(ADDED, ADDED),
                },
                tombstones={"d": GONE},
                records=[record(Kind.ENABLED, "e", 9)],
            )
        )  # fmt: skip
    moved_in(one, postgresql_database, "one")
    told = "\n".join(moved_in(two, postgresql_database, "two"))
    assert "client a: disabled, as it was at this server" in told
    assert "client a: the settings that the database has stay in force" in told
    assert "client d: removed at this server, and stays" in told
    assert "client e: removed at another server, and back" in told
    with closing(opened(postgresql_database, "two")) as store:
        state = store.load([theirs])
        lives = {name: it.life for name, it in state.known.items()}
        assert [name for name, life in sorted(lives.items()) if life.enabled] == ["c", "e"]
        assert lives["b"].last_checked_ok == checked.last_checked_ok
        assert lives["c"].expires == checked.expires
        assert state.saved["a"].settings.host == "in force"
        assert state.saved["a"].configured == theirs
        assert [it.record.server for it in store.records()] == ["two", "one", "one", "one"]
    moved_out(one, postgresql_database, "one")
    assert [it.record.server for it in whole(one).trail] == ["one", "one", "one", "two"]


def test_what_is_refused(tmp_path: Path, postgresql_database: Database) -> None:
    """Nothing is overwritten, and a state that servers use is not moved."""
    one, other, empty = (tmp_path / name for name in ("one", "other", "empty"))
    fill(one)
    fill(other)
    empty.mkdir()
    with pytest.raises(AdministratorError, match="no saved state"):
        moved_in(empty, postgresql_database)
    assert not (empty / MARK).exists()
    moved_in(one, postgresql_database)
    with closing(SQLiteStore(other)) as store:
        store.write(Changes(lives={"a": OFF}))
    with pytest.raises(AdministratorError, match="a state of the server one already"):
        moved_in(other, postgresql_database)
    refuse_moved(other)
    with pytest.raises(AdministratorError, match="has a state of its own"):
        moved_out(other, postgresql_database, "two")
    assert not (other / MARK).exists()
    with closing(Notes(one)) as notes:
        notes.alone({}, [record(Kind.ENABLED, "a", 1)])
    with pytest.raises(MachineError, match="changes without the database"):
        moved_out(one, postgresql_database)
    pulse = Pulse(postgresql_database.uri(), Identity("one", "boot", "run", "1"), lambda: 0.0)
    pulse.connect()
    pulse.beat(checks=True)
    with pytest.raises(MachineError, match="another server uses the name one"):
        moved_out(one, postgresql_database)
    with pytest.raises(AdministratorError, match="servers use the database: one"):
        moved_out(empty, postgresql_database, "two")
    pulse.leave()
    lock = claim(one)
    with pytest.raises(MachineError, match="another server uses the state directory"):
        moved_out(one, postgresql_database)
    os.close(lock)


def test_a_server_that_began_with_the_database_gets_its_state(
    tmp_path: Path, postgresql_database: Database
) -> None:
    """Its directory has a local copy, which may be replaced."""
    source, target = tmp_path / "source", tmp_path / "target"
    fill(source)
    moved_in(source, postgresql_database)
    fill(target)
    with closing(Notes(target)) as notes:
        notes.seen(Contact("boot", 1.0, START))
    moved_out(target, postgresql_database, "two")
    saved = whole(target).saved
    assert {name for name, one in saved.items() if one.added} == {"a", "b", "c"}
    assert saved["b"].life == OFF


def test_clients_of_which_only_the_names_are_known_stay_disabled(
    tmp_path: Path, postgresql_database: Database
) -> None:
    """The list of disabled clients has more than the database."""
    fill(tmp_path)
    disabled_list.write(tmp_path / WITNESS, {"a", "b", "d", "e", "lost"})
    moved_in(tmp_path, postgresql_database)
    with closing(opened(postgresql_database)) as store:
        saved = store.load([client("lost")]).saved
    assert not saved["a"].life.enabled
    assert not saved["lost"].life.enabled


def test_the_program_moves_the_state(postgresql_database: Database) -> None:
    """As root, with the files of the server's user; the server refuses the state afterwards."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "mandos.conf").write_text("[DEFAULT]\nserver_name = one\n", encoding="utf-8")
        where = ("--configdir", name, "--statedir", str(folder / "state"))

        def run(*options: str) -> tuple[int, str]:
            command = [str(MANDOS), *where, *options]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

        state = ("--state", postgresql_database.uri())
        status, text = run("--move-state=to-database")
        assert status == 78
        assert "state is not set" in text
        fill(folder / "state")
        user = server_user()
        for path in (folder / "state", *(folder / "state").iterdir()):
            os.chown(path, user.uid, user.gid)
        status, text = run("--move-state=to-database", *state)
        assert (status, "the state is in the database (4 clients" in text) == (0, True), text
        assert "sesame" not in text
        (folder / "clients.conf").write_text(SECTION, encoding="utf-8")
        status, text = run("--foreground", "--no-dbus", "--no-zeroconf", "--port", "1")
        assert status == 78, text
        assert "was moved into a PostgreSQL database" in text
        status, text = run("--move-state=from-database", *state)
        assert (status, f"the state is in {folder / 'state'}" in text) == (0, True), text
        status, text = run("--move-state=from-database", *state)
        assert (status, "already" in text) == (0, True), text


class CutError(MandosError):
    """The end of a run in the middle."""


def cut(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End a run at its statement or change of a file of this number, counted from here."""
    left = [number]

    def counted(call: Any) -> Any:  # noqa: ANN401 - any function
        def one(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the same
            if left[0] == 0:
                raise CutError("cut")
            left[0] -= 1
            return call(*arguments, **named)

        return one

    monkeypatch.setattr(psycopg.Connection, "execute", counted(psycopg.Connection.execute))
    for name in ("fsync", "rename", "replace", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_run_that_fails_at_any_step_is_repeated(
    direction: str, tmp_path: Path, postgresql_database: Database
) -> None:
    """At each statement and each change of a file: nothing is lost, and nothing is double."""
    fill(tmp_path / "first")
    before = facts(tmp_path / "first")
    number, ended = 0, False
    while not ended:
        directory = tmp_path / str(number)
        fill(directory)
        postgresql_database.sql("DROP SCHEMA IF EXISTS mandos CASCADE")
        if direction == "out":
            moved_in(directory, postgresql_database)
        move = moved_in if direction == "in" else moved_out
        with pytest.MonkeyPatch.context() as patch:
            cut(patch, number)
            try:
                move(directory, postgresql_database)
                ended = True
            except CutError:
                pass
        move(directory, postgresql_database)
        if direction == "in":
            moved_out(directory, postgresql_database)
        assert facts(directory) == before, number
        number += 1
    assert number > 20


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import psycopg
from mandos.server.state.database import claim
from mandos.server.state.moving import from_database, to_database
from mandos.server.state.postgresql.moving import MovingDatabase

left = int(sys.argv[4])
call = {"statement": psycopg.Connection.execute, "fsync": os.fsync, "replace": os.replace}

def counted(name):
    def one(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call[name](*arguments, **named)
    return one

psycopg.Connection.execute = counted("statement")
os.fsync, os.replace = counted("fsync"), counted("replace")
directory, side = Path(sys.argv[2]), MovingDatabase(sys.argv[3], "one")
if sys.argv[1] == "in":
    to_database(directory, claim(directory), side, datetime.now(UTC))
else:
    from_database(directory, claim(directory), side)
"""


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("number", range(2, 40, 4))
def test_a_run_that_is_killed_is_repeated(
    direction: str, number: int, tmp_path: Path, postgresql_database: Database
) -> None:
    """SIGKILL: the database ends the transaction, and the lock is free."""
    fill(tmp_path)
    before = facts(tmp_path)
    if direction == "out":
        moved_in(tmp_path, postgresql_database)
    words = (direction, str(tmp_path), postgresql_database.uri(), str(number))
    ended = subprocess.run([sys.executable, "-c", KILLED, *words], check=False)
    assert ended.returncode in {0, -signal.SIGKILL}
    if direction == "in":
        moved_in(tmp_path, postgresql_database)
    moved_out(tmp_path, postgresql_database)
    assert facts(tmp_path) == before
