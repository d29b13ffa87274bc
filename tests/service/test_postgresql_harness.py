# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clusters of the tests are real: what they acknowledge survives, accidents are accidents."""

from __future__ import annotations

import contextlib
import select
import signal
import sys
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from harness import postgresql as pg
from harness.host import Host
from harness.patience import is_readable
from harness.postgresql import ROLE, ROLE_PASSWORD, Cluster, uri, why_no_postgresql
from harness.process import PATIENCE, Process

if TYPE_CHECKING:
    from contextlib import ExitStack

    import psycopg
    from psycopg import Connection

    from harness.postgresql import Database
else:
    psycopg = pytest.importorskip("psycopg", exc_type=ImportError)

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(why_no_postgresql() is not None, reason=str(why_no_postgresql())),
]

#: Seconds in which a server that is not paused has answered many times.
MOMENT = 0.5


@pytest.fixture
def cluster(stack: ExitStack) -> Cluster:
    """A primary of the test's own."""
    return stack.enter_context(Cluster())


@pytest.fixture
def notes(cluster: Cluster) -> Database:
    """A database with a table."""
    database = cluster.database("notes")
    with database.connect() as connection:
        connection.execute("CREATE TABLE note (number bigint PRIMARY KEY)")
    return database


def _numbers(cluster: Cluster) -> list[int]:
    rows = cluster.sql("SELECT number FROM note ORDER BY number", database="notes")
    return [number for (number,) in rows]


def _send(connection: Connection[tuple[object, ...]], text: str) -> None:
    """Send a statement, and do not wait for its result."""
    connection.pgconn.send_query(text.encode())
    connection.pgconn.flush()


def _answers(connection: Connection[tuple[object, ...]]) -> bool:
    """Whether the server sends something within a moment."""
    return bool(select.select([connection.pgconn.socket], [], [], MOMENT)[0])


def _finish(connection: Connection[tuple[object, ...]]) -> None:
    """Wait until the statement that was sent has succeeded."""
    server = connection.pgconn
    while server.is_busy():
        assert is_readable(server.socket, PATIENCE), "no answer"
        server.consume_input()
    while (result := server.get_result()) is not None:
        assert not result.error_message, result.error_message


@pytest.mark.parametrize("role", [ROLE, pg.SUPERUSER])
def test_wrong_password_is_refused(cluster: Cluster, role: str) -> None:
    """Over TCP and over the socket, for the superuser as well; the right one opens."""
    database = cluster.database()
    right = ROLE_PASSWORD if role == ROLE else pg.SUPERUSER_PASSWORD
    for password in ("wrong", None):
        with pytest.raises(psycopg.OperationalError, match=r"password (authentication|supplied)"):
            psycopg.connect(cluster.uri(role, password, database.name))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        cluster.connect(role, "wrong")
    with psycopg.connect(cluster.uri(role, right, database.name)) as connection:
        row = connection.execute("SELECT current_user, current_database()").fetchone()
    assert row == (role, database.name)


def test_clusters_run_side_by_side(cluster: Cluster, notes: Database) -> None:
    """Each has an address, a folder and data of its own."""
    with Cluster() as other:
        database = other.database(notes.name)
        assert not database.sql("SELECT 1 FROM pg_tables WHERE tablename = 'note'")
        assert (other.address, other.folder) != (cluster.address, cluster.folder)
        with psycopg.connect(notes.uri()) as one, psycopg.connect(database.uri()) as two:
            ask = "SELECT inet_server_addr()::text"
            assert one.execute(ask).fetchone() == (f"{cluster.address}/32",)
            assert two.execute(ask).fetchone() == (f"{other.address}/32",)
    assert not other.folder.exists()


def test_databases_of_one_cluster_are_apart(
    postgresql: Cluster, postgresql_database: Database
) -> None:
    """Each test can have one, which its role owns; a copy has the contents of its template."""
    first, second = postgresql_database, postgresql.database()
    with psycopg.connect(first.uri()) as connection:
        connection.execute("CREATE SCHEMA mandos CREATE TABLE sign (word text)")
    assert not second.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'mandos'")
    second.drop()
    copy = postgresql.database(template=first.name)
    assert copy.sql("SELECT tableowner FROM pg_tables WHERE schemaname = 'mandos'") == [(ROLE,)]
    with copy.connect() as connected:
        copy.drop()
        with pytest.raises(psycopg.OperationalError):
            connected.execute("SELECT 1")


@pytest.mark.parametrize("turn", range(2))
def test_database_of_a_test_is_empty(postgresql_database: Database, turn: int) -> None:
    """Whatever a test before left in its own."""
    with postgresql_database.connect() as connection:
        connection.execute("CREATE SCHEMA mandos CREATE TABLE sign (turn bigint)")
        connection.execute("INSERT INTO mandos.sign VALUES (%s)", (turn,))


@pytest.mark.parametrize(("mode", "recovers"), [("fast", False), ("immediate", True)])
def test_stopped_server_has_its_rows_again(
    cluster: Cluster, notes: Database, mode: str, *, recovers: bool
) -> None:
    """After ``immediate`` it reads its log of writes again; the address stays."""
    notes.sql("INSERT INTO note VALUES (1)")
    cluster.stop(mode)
    assert not cluster.running
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(notes.uri())
    cluster.start()
    assert ("was not properly shut down" in cluster.log) == recovers
    with psycopg.connect(notes.uri()) as connection:
        assert connection.execute("SELECT number FROM note").fetchall() == [(1,)]


def _processes(cluster: Cluster) -> list[int]:
    """Return the processes that work in the data folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if path.readlink() == cluster.data:
                found.append(int(path.parent.name))
    return found


def test_killed_server_has_what_it_acknowledged(cluster: Cluster, notes: Database) -> None:
    """No process is left and nothing was shut down; a transaction that was open is gone."""
    with notes.connect() as connection:
        connection.execute("INSERT INTO note VALUES (1)")
        connection.execute("BEGIN; INSERT INTO note VALUES (2)")
        assert len(_processes(cluster)) > 5
        cluster.kill()
        assert (cluster.running, _processes(cluster)) == (False, [])
        cluster.start()
        assert "was not properly shut down" in cluster.log
        assert _numbers(cluster) == [1]
        with pytest.raises(psycopg.OperationalError):
            connection.execute("COMMIT")


def test_paused_server_answers_later(cluster: Cluster, notes: Database) -> None:
    """A query waits, a new connection runs into its timeout; after the pause both work."""
    with notes.connect() as connection:
        cluster.pause()
        _send(connection, "INSERT INTO note VALUES (1)")
        assert not _answers(connection)
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(notes.uri(connect_timeout="2"))
        cluster.resume()
        _finish(connection)
    assert _numbers(cluster) == [1]
    with psycopg.connect(notes.uri()):
        pass


def test_paused_server_can_be_killed(cluster: Cluster, notes: Database) -> None:
    """And starts again."""
    notes.sql("INSERT INTO note VALUES (1)")
    cluster.pause()
    cluster.kill()
    assert not cluster.running
    cluster.start()
    assert _numbers(cluster) == [1]


def test_standby_gets_a_committed_row(cluster: Cluster, notes: Database, stack: ExitStack) -> None:
    """It shows the row and takes none; a URI of both finds the primary."""
    standby = stack.enter_context(cluster.standby())
    notes.sql("INSERT INTO note VALUES (1)")
    _wait_for_rows(standby, [1])
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        standby.sql("INSERT INTO note VALUES (2)", database="notes")
    both = uri((standby, cluster), ROLE, ROLE_PASSWORD, "notes", target_session_attrs="read-write")
    with psycopg.connect(both) as connection:
        connection.execute("INSERT INTO note VALUES (2)")
    _wait_for_rows(standby, [1, 2])


def _wait_for_rows(cluster: Cluster, numbers: list[int]) -> None:
    pg.wait(lambda: _numbers(cluster) == numbers, lambda: cluster.report("rows missing"))


def test_promoted_standby_has_all_that_was_acknowledged(
    cluster: Cluster, notes: Database, stack: ExitStack
) -> None:
    """The primary is killed while it is written to; the synchronous standby lacks no row."""
    standby = stack.enter_context(cluster.standby(synchronous=True))
    acknowledged: list[int] = []

    def write() -> None:
        with notes.connect() as connection:
            for number in range(1_000_000):
                try:
                    connection.execute("INSERT INTO note VALUES (%s)", (number,))
                except psycopg.OperationalError:
                    return
                acknowledged.append(number)

    writer = Thread(target=write)
    writer.start()
    _wait_for_rows_after(acknowledged, 50)
    cluster.kill()
    writer.join()
    standby.promote()
    survived = _numbers(standby)
    # At most the row whose commit was not acknowledged is more.
    assert survived[: len(acknowledged)] == acknowledged
    assert len(survived) <= len(acknowledged) + 1
    standby.sql("INSERT INTO note VALUES (-1)", database="notes")


def _wait_for_rows_after(acknowledged: list[int], number: int) -> None:
    pg.wait(lambda: len(acknowledged) > number, lambda: f"only {len(acknowledged)} rows")


def test_synchronous_commit_waits_for_the_standby(
    cluster: Cluster, notes: Database, stack: ExitStack
) -> None:
    """While the standby hangs nothing is acknowledged."""
    standby = stack.enter_context(cluster.standby(synchronous=True))
    standby.pause()
    with notes.connect() as connection:
        _send(connection, "INSERT INTO note VALUES (1)")
        assert not _answers(connection)
        standby.resume()
        _finish(connection)


def test_asynchronous_commit_can_be_lost(
    cluster: Cluster, notes: Database, stack: ExitStack
) -> None:
    """The primary acknowledges, dies, and the standby never saw the row."""
    standby = stack.enter_context(cluster.standby())
    standby.pause()
    notes.sql("INSERT INTO note VALUES (1)")
    cluster.kill()
    standby.kill()  # with what the kernel had received for it
    standby.start()
    standby.promote()
    assert _numbers(standby) == []


def test_changed_settings_are_in_force(cluster: Cluster) -> None:
    """After ``configure``; those that need a restart are refused until then."""
    cluster.configure(commit_delay="1234")
    assert cluster.sql("SHOW commit_delay") == [("1234",)]
    with pytest.raises(AssertionError, match="max_connections"):
        cluster.configure(max_connections="20")
    cluster.stop()
    cluster.start()
    assert cluster.sql("SHOW max_connections") == [("20",)]


def _lag(cluster: Cluster) -> float:
    """Return the seconds by which the server's clock is behind that of the test."""
    before = time.time()
    ((there,),) = cluster.sql("SELECT extract(epoch FROM clock_timestamp())::float8")
    return (before + time.time()) / 2 - float(there)


def test_clock_is_moved_by_hand(stack: ExitStack) -> None:
    """Of one server, forwards and backwards, also in a session that is open."""
    cluster = stack.enter_context(Cluster(own_clock=True))
    standby = stack.enter_context(cluster.standby(own_clock=True))
    with cluster.connect() as connection:
        ask = "SELECT clock_timestamp()"
        ((before,),) = connection.execute(ask)
        for seconds in (7200, -7200):
            cluster.set_clock(seconds)
            assert round(_lag(cluster) / 3600) == -seconds / 3600
        ((after,),) = connection.execute(ask)
    assert after < before
    assert round(_lag(standby) / 3600) == 0


def test_certificate_is_verified(cluster: Cluster, stack: ExitStack) -> None:
    """After ``enable_tls``; that of another cluster is refused."""
    database = cluster.database()
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        psycopg.connect(database.uri(sslmode="require"))
    certificate = cluster.enable_tls()
    verify = {"sslmode": "verify-full", "sslrootcert": str(certificate)}
    with psycopg.connect(database.uri(**verify)) as connection:
        assert connection.pgconn.ssl_in_use
    other = stack.enter_context(Cluster())
    other.enable_tls()
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(other.database().uri(**verify))


def test_cluster_on_a_host_is_reached_by_its_cable(stack: ExitStack) -> None:
    """From another host, and not from the machine; a standby streams over the cable."""
    server, client = (stack.enter_context(Host(name)) for name in ("server", "client"))
    server.connect(client)
    here, there = (host.addresses()[0] for host in (server, client))
    primary = stack.enter_context(Cluster(host=server, address=here))
    database = primary.database("notes")
    psql = str(pg.programs() / "psql")  # type: ignore[operator]
    words = (psql, "--no-psqlrc", "-Atc", "SELECT pg_is_in_recovery()")
    assert client.run(*words, database.uri()) == b"f\n"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database.uri(connect_timeout="2"))
    standby = stack.enter_context(primary.standby(host=client, address=there))
    assert server.run(*words, standby.uri(ROLE, ROLE_PASSWORD, "notes")) == b"t\n"
    client.run("ip", "link", "set", "eth0", "down")
    database.sql("CREATE TABLE note (number bigint)")
    assert not standby.sql("SELECT 1 FROM pg_tables WHERE tablename = 'note'", database="notes")


#: Makes a cluster with a session, pauses it if there is an argument, and hangs.
ABANDONED = """
import sys
from harness.postgresql import Cluster
cluster = Cluster()
connection = cluster.connect()
print(cluster.folder, *(pid for pid in cluster._stop_all()), flush=True)
if sys.argv[1] == "resumed":
    cluster.resume()
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["paused", "resumed"])
def test_killed_test_run_leaves_nothing(how: str) -> None:
    """No process and no file, even if the cluster was paused."""
    path = {
        "PYTHONPATH": str(Path(pg.__file__).parents[1]),
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
    }
    with Process([sys.executable, "-c", ABANDONED, how], environment=path) as run:
        seen = run.wait_for("^/")
        folder, *processes = run.lines[seen - 1].split()
        assert len(processes) > 4
        assert Path(folder).is_dir()
        run.signal(signal.SIGKILL)
        run.wait()
    pg.wait(
        lambda: not Path(folder).exists() and not any(map(_exists, processes)),
        lambda: f"still there: {folder}, {[*filter(_exists, processes)]}",
    )


def _exists(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()
