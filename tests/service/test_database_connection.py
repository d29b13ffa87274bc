# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to a real PostgreSQL: their limits, and an explanation for each way to fail."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from harness.authority import Authority
from mandos.errors import AdministratorError, MachineError
from mandos.server.self_check.as_user import as_user
from mandos.server.system.privileges import ServerUser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg
else:
    psycopg = pytest.importorskip("psycopg", exc_type=ImportError)

from mandos.server.state.postgresql.connection import (
    connect,
    explained,
    has_password,
    merged_settings,
)

pytestmark = pytest.mark.peer

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "correct-horse"
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
fsync = off
max_connections = 20
superuser_reserved_connections = 2
max_locks_per_transaction = 10
"""
ACCESS = """
local   all          peered                  peer
local   all          all                     trust
hostssl all          certified  127.0.0.1/32 cert
host    all          certified  127.0.0.1/32 reject
host    all          identified 127.0.0.1/32 ident
host    all          open,trusted 127.0.0.1/32 trust
host    replication  postgres   127.0.0.1/32 trust
host    all          mandos,limited,nologin,absent 127.0.0.1/32 scram-sha-256
"""
ROLES = f"""
create role mandos login password '{PASSWORD}';
create role limited login password '{PASSWORD}' connection limit 0;
create role nologin nologin password '{PASSWORD}';
create role open login; create role peered login; create role certified login;
create role identified login; create role stranger login;
create database mandos owner mandos;
create database closed; revoke connect on database closed from public;
create database stopped allow_connections false;
"""


class Cluster:
    """A PostgreSQL of its own, on a socket and a port of this machine, which ends with the test."""

    def __init__(self, *more: str, source: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mandos-postgresql-"))
        self.data = self.folder / "data"
        self._user = pwd.getpwnam("postgres")
        shutil.chown(self.folder, "postgres", "postgres")
        self.port = _free_port()
        if source is None:
            self._run("initdb", "--auth=trust", "--no-sync", "--locale=C.UTF-8")
        else:
            self._run_program(["cp", "-a", str(source), str(self.data)])
        text = CONFIGURATION.format(folder=self.folder, port=self.port) + "\n".join(more)
        self.write("mandos.conf", text)
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("include 'mandos.conf'\n")
        self.write("pg_hba.conf", ACCESS)

    def __enter__(self) -> Self:
        self._run("pg_ctl", "start", "-w", "-l", f"{self.folder}/log")
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate", "-w")
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file of the data directory, which belongs to the user postgres."""
        path = self.data / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        shutil.chown(path, "postgres", "postgres")
        return path

    def administer(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as PostgreSQL's administrator; each statement commits."""
        where = f"host={self.folder} port={self.port} user=postgres dbname=postgres"
        return psycopg.connect(where, autocommit=True)

    def at(self, user: str = "mandos", dbname: str = "mandos", more: str = "") -> str:
        """Return the setting of a server that connects over TCP; the password is that of ROLES."""
        place = f"host=127.0.0.1 port={self.port} user={user} dbname={dbname}"
        return f"{place} sslmode=prefer {more or f'password={PASSWORD}'}"

    def stop(self, mode: str, *more: str) -> None:
        """Stop the cluster; mode ``smart`` waits for the sessions."""
        self._run("pg_ctl", "stop", "-m", mode, *more)

    def _run(self, program: str, *arguments: str) -> None:
        self._run_program([str(PROGRAMS / program), "-D", str(self.data), *arguments])

    def _run_program(self, command: Sequence[str]) -> None:
        subprocess.run(
            command, check=True, user=self._user.pw_uid, group=self._user.pw_gid, extra_groups=[],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def _possible() -> None:
    if os.geteuid() != 0 or not PROGRAMS.is_dir():
        pytest.skip("needs root, and Debian's package postgresql-15")


@pytest.fixture(scope="module")
def cluster(_possible: None) -> Iterator[Cluster]:
    """A PostgreSQL without TLS, with the roles of ROLES."""
    with Cluster() as made:
        with made.administer() as administrator:
            for statement in filter(str.strip, ROLES.split(";")):
                administrator.execute(statement.encode())
        yield made


@pytest.fixture
def own(_possible: None) -> Iterator[Cluster]:
    """A PostgreSQL for one test, which may break it."""
    with Cluster() as made:
        with made.administer() as administrator:
            administrator.execute("create role open login")
            administrator.execute("create database mandos owner open")
        yield made


def _failure(conninfo: str) -> AdministratorError | MachineError:
    """Connect, which must fail; returns the explanation, which must not show the password."""
    with pytest.raises(psycopg.Error) as caught:
        connect(conninfo, "mandos test").close()
    problem = explained(caught.value, conninfo)
    shown = "\n".join(problem.lines())
    assert PASSWORD not in shown
    assert shown.replace("\n", "").isprintable()
    assert problem.hint
    return problem


def test_a_connection_has_limits_and_a_known_language(cluster: Cluster) -> None:
    """PostgreSQL ends long statements and waits, and the settings of statements are fixed."""
    wanted = {
        "statement_timeout": "10s", "lock_timeout": "5s", "synchronous_commit": "on",
        "idle_in_transaction_session_timeout": "5s", "search_path": "pg_catalog,pg_temp",
        "TimeZone": "UTC", "client_encoding": "UTF8", "application_name": "mandos keeper",
        "default_transaction_isolation": "read committed", "DateStyle": "ISO, MDY",
        "default_transaction_read_only": "off",
    }  # fmt: skip
    with connect(cluster.at(), "mandos keeper") as connection:
        found = {name: _shown(connection, name) for name in wanted}
        assert connection.autocommit
    assert found == wanted


def _shown(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> str:
    row = connection.execute("select current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def test_limits_of_the_administrator_win_but_no_promises(cluster: Cluster) -> None:
    """Times can be set in the connection string; the settings that promises depend on cannot."""
    options = (
        "options='-c statement_timeout=7s -c synchronous_commit=off -c search_path=public"
        " -c TimeZone=CET -c default_transaction_read_only=on'"
        f" client_encoding=LATIN1 target_session_attrs=any password={PASSWORD}"
    )
    with connect(cluster.at(more=options), "mandos") as connection:
        assert _shown(connection, "statement_timeout") == "7s"
        assert _shown(connection, "lock_timeout") == "5s"
        assert _shown(connection, "synchronous_commit") == "on"
        assert _shown(connection, "search_path") == "pg_catalog,pg_temp"
        assert _shown(connection, "TimeZone") == "UTC"
        assert _shown(connection, "client_encoding") == "UTF8"
        assert _shown(connection, "default_transaction_read_only") == "off"


def _network_limits(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[int, int, int, int]:
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        idle, interval, count, timeout = (
            line.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        )  # fmt: skip
    return idle, interval, count, timeout


def test_a_partition_ends_a_connection_within_five_seconds(cluster: Cluster) -> None:
    """The kernel probes an idle line after 2 s, and gives up after 4 s without an answer."""
    with connect(cluster.at(), "mandos") as connection:
        assert _network_limits(connection) == (2, 1, 2, 4000)
    more = f"password={PASSWORD} tcp_user_timeout=9000 keepalives_idle=5"
    with connect(cluster.at(more=more), "mandos") as connection:
        assert _network_limits(connection) == (5, 1, 2, 9000)


@pytest.mark.parametrize(
    ("user", "dbname", "said", "mend"),
    [
        ("stranger", "mandos", "does not accept this user from this", "pg_hba.conf there"),
        ("certified", "mandos", "does not accept this user from this", "pg_hba.conf there"),
        ("identified", "mandos", "does not accept the proof", "pg_ident.conf"),
        ("absent", "mandos", "refuses the password", "\\password absent"),
        ("nologin", "mandos", "the role may not log in", "alter role nologin login"),
        ("limited", "mandos", "no connection left", "max_connections"),
        ("mandos", "absent", "there is no such database", "createdb --owner=mandos absent"),
        ("mandos", "closed", "may not connect to the database", "grant connect on database closed"),
        ("mandos", "stopped", "accepts no connections", "allow_connections true"),
    ],
)
def test_refusals_of_the_database(
    cluster: Cluster, user: str, dbname: str, said: str, mend: str
) -> None:
    """Each refusal has a cause and a command that helps; most are for an administrator."""
    problem = _failure(cluster.at(user, dbname))
    place = f"the database {dbname} at 127.0.0.1:{cluster.port} as {user}: "
    assert str(problem).startswith(place)
    assert said in str(problem)
    assert mend in str(problem.hint)
    assert isinstance(problem, MachineError if user == "limited" else AdministratorError)


@pytest.mark.parametrize(
    ("user", "said"), [("absent", "there is no such role"), ("peered", "does not accept the proof")]
)
def test_roles_of_the_socket(cluster: Cluster, user: str, said: str) -> None:
    """On the socket a role that is missing is named, and one of another name than the user's."""
    problem = _failure(f"host={cluster.folder} port={cluster.port} user={user} dbname=mandos")
    place = f"the database mandos at {cluster.folder}:{cluster.port} as {user}: "
    assert str(problem).startswith(place)
    assert said in str(problem)
    assert isinstance(problem, AdministratorError)


def test_wrong_password(cluster: Cluster) -> None:
    """A wrong password is refused, and not shown."""
    problem = _failure(cluster.at(more="password=hunter2"))
    assert "the database refuses the password" in str(problem)
    assert "hunter2" not in str(problem) + str(problem.hint)
    assert "\\password mandos" in str(problem.hint)


@pytest.mark.parametrize(
    ("mode", "line", "mend"),
    [
        (None, "", "make the password file {0}"),
        (0o644, f"*:*:*:*:{PASSWORD}", "chmod 600 {0}"),
        (0o600, f"*:*:*:another:{PASSWORD}", "the line for this host, database and user, in {0}"),
        (0o600, "*:*:*:*:hunter2", "correct the password, or the line"),
    ],
    ids=["missing", "open", "no line", "wrong"],
)
def test_password_files(
    cluster: Cluster, tmp_path: Path, mode: int | None, line: str, mend: str
) -> None:
    """Libpq skips a password file that it cannot use; the explanation says why it could not."""
    file = tmp_path / "password"
    if mode is not None:
        file.write_text(line + "\n", encoding="utf-8")
        file.chmod(mode)
    problem = _failure(cluster.at(more=f"passfile={file}"))
    assert "password" in str(problem)
    assert mend.format(file) in str(problem.hint)
    assert isinstance(problem, AdministratorError)


def test_a_password_file_works(cluster: Cluster, tmp_path: Path) -> None:
    """A file that belongs to the server's user alone has the password."""
    file = tmp_path / "password"
    file.write_text(f"127.0.0.1:{cluster.port}:mandos:mandos:{PASSWORD}\n", encoding="utf-8")
    file.chmod(0o600)
    connect(cluster.at(more=f"passfile={file}"), "mandos").close()


def test_services(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service file has the settings; one that is not defined is explained."""
    file = tmp_path / "services"
    where = cluster.at(more=f"password={PASSWORD} tcp_user_timeout=8000").replace(" ", "\n")
    file.write_text(f"[mandos]\n{where}\n", encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    with connect("service=mandos", "mandos") as connection:
        assert _network_limits(connection) == (2, 1, 2, 8000)
        assert _shown(connection, "statement_timeout") == "10s"
    problem = _failure("service=manos")
    assert "the service cannot be read" in str(problem)
    assert "pg_service.conf" in str(problem.hint)
    file.write_text("[mandos]\nnonsense\n", encoding="utf-8")
    assert "the service cannot be read" in str(_failure("service=mandos"))


def test_nothing_listens(cluster: Cluster) -> None:
    """A port or a socket without a PostgreSQL."""
    port = _free_port()
    for where in (f"host=127.0.0.1 port={port}", f"host={cluster.folder} port={port}"):
        problem = _failure(f"{where} user=mandos password={PASSWORD}")
        assert "nothing listens there" in str(problem)
        assert "pg_lsclusters" in str(problem.hint)
        assert isinstance(problem, MachineError)


def test_addresses_of_ipv6() -> None:
    """They are written as in a URI."""
    ports = f"{_free_port()},{_free_port()}"
    problem = _failure(f"host=::1,127.0.0.1 port={ports} user=mandos dbname=mandos")
    first, second = ports.split(",")
    assert f"the database mandos at [::1]:{first}, 127.0.0.1:{second} as" in str(problem)
    assert f"([::1]:{first}: " in str(problem)


def test_unknown_host() -> None:
    """A name that no name server knows, RFC 6761."""
    problem = _failure("host=db.invalid user=mandos dbname=mandos")
    assert str(problem).startswith("the database mandos at db.invalid:5432 as mandos: the host is")
    assert "getent hosts db.invalid" in str(problem.hint)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose connections are made by the kernel, and answered by nobody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def test_silence(silent: int) -> None:
    """A host that does not answer."""
    problem = _failure(f"host=127.0.0.1 port={silent} connect_timeout=1 user=mandos")
    assert "there is no answer" in str(problem)
    assert "firewall" in str(problem.hint)
    assert isinstance(problem, MachineError)


def test_the_primary_is_found_behind_dead_hosts(cluster: Cluster, silent: int) -> None:
    """Each host has a time of its own: one that is silent does not hide those after it."""
    ports = f"{_free_port()},{silent},{cluster.port}"
    where = f"host=127.0.0.1,127.0.0.1,localhost port={ports} user=mandos dbname=mandos"
    with connect(f"{where} password={PASSWORD} connect_timeout=1", "mandos") as connection:
        assert connection.info.port == cluster.port
        assert connection.info.host == "localhost"
    where = f"hostaddr=127.0.0.1,127.0.0.1 port={silent},{cluster.port} user=mandos dbname=mandos"
    connect(f"{where} password={PASSWORD} connect_timeout=1", "mandos").close()


def test_all_hosts_are_explained(cluster: Cluster) -> None:
    """Of several hosts each one's answer is shown, and the cure is for the one that answered."""
    port = _free_port()
    problem = _failure(
        f"host=127.0.0.1,localhost port={port},{cluster.port} user=stranger dbname=mandos"
    )
    assert f"127.0.0.1:{port}: Connection refused" in str(problem)
    assert f"localhost:{cluster.port}: FATAL: " in str(problem)
    assert "pg_hba.conf" in str(problem.hint)


def test_numbers_of_hosts_and_ports_differ() -> None:
    """Libpq itself refuses lists that do not fit."""
    problem = _failure("host=a,b port=1,2,3 user=mandos")
    assert "could not match 3 port numbers to 2 hosts" in str(problem)
    assert isinstance(problem, AdministratorError)


@pytest.mark.parametrize(
    "conninfo",
    [
        f"postgresql://mandos:p@{PASSWORD}@db/mandos",
        f"postgresql://mandos:{PASSWORD}/word@db/mandos",
        f"postgresql://mandos:p/{PASSWORD}@db/mandos",
        f"postgresql://mandos:p%{PASSWORD}@db/mandos",
        f"host=db {PASSWORD}=x",
        f"host=127.0.0.1 password={PASSWORD} sslmode={PASSWORD}",
    ],
)
def test_malformed_settings_show_no_password(conninfo: str) -> None:
    """A password with special characters may end up in any part of a URI; none of it is shown."""
    problem = _failure(conninfo)
    assert isinstance(problem, AdministratorError)
    assert "word@" not in str(problem)


def test_a_standby_is_not_enough(own: Cluster) -> None:
    """A standby takes no writes; behind it the primary is found."""
    own.stop("fast")
    standby = Cluster(source=own.data)
    standby.write("standby.signal", "")
    with own, standby:
        problem = _failure(standby.at("open"))
        assert "it can only be read: it is a standby" in str(problem)
        assert "promote" in str(problem.hint)
        assert isinstance(problem, MachineError)
        where = f"host=127.0.0.1 port={standby.port},{own.port} user=open dbname=mandos"
        with connect(where.replace("host=", "host=127.0.0.1,"), "mandos") as connection:
            assert connection.info.port == own.port


def test_no_connection_left(own: Cluster) -> None:
    """The last connections are for PostgreSQL's administrator."""
    with contextlib.ExitStack() as stack:
        for _number in range(18):
            stack.enter_context(connect(own.at("open"), "mandos"))
        problem = _failure(own.at("open"))
    assert "the database has no connection left" in str(problem)
    assert "max_connections" in str(problem.hint)
    assert isinstance(problem, MachineError)


def test_shutdown(own: Cluster) -> None:
    """While PostgreSQL waits for its last session it takes no new one, and says so."""
    with connect(own.at("open"), "mandos") as connection:
        own.stop("smart", "--no-wait")
        with contextlib.suppress(psycopg.Error):
            while True:  # until the postmaster has seen the signal
                connect(own.at("open"), "mandos").close()
        problem = _failure(own.at("open"))
        assert "it starts or stops just now" in str(problem)
        own.stop("fast")
        ended = _statement_failure(own, connection, "select 1")
    assert "it was shut down, or it crashed" in str(ended)
    assert isinstance(ended, MachineError)


def _statement_failure(
    cluster: Cluster, connection: psycopg.Connection[tuple[Any, ...]], statement: str
) -> AdministratorError | MachineError:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    problem = explained(caught.value, cluster.at("open"))
    assert "\n".join(problem.lines()).replace("\n", "").isprintable()
    assert problem.hint
    return problem


def test_crash(own: Cluster) -> None:
    """A session that is killed takes the others with it: PostgreSQL restarts by itself."""
    with connect(own.at("open"), "mandos") as one, connect(own.at("open"), "mandos") as other:
        os.kill(one.info.backend_pid, signal.SIGKILL)
        select.select([other.fileno()], [], [])
        problem = _statement_failure(own, other, "select 1")
    assert "it was shut down, or it crashed" in str(problem)


@pytest.mark.parametrize(
    ("prepare", "statement", "said", "mend"),
    [
        ("", "create schema other", "the role lacks a right", "docs/postgresql.md"),
        ("", "select * from hidden.secrets", "the role lacks a right", "docs/postgresql.md"),
        ("", "select * from public.hidden", "the role lacks a right", "docs/postgresql.md"),
        ("", "select * from mandos.client", "tables of mandos are missing", "mandos --check"),
        ("set statement_timeout = '20ms'", "select pg_sleep(60)", "took too long", "slow"),
        ("set lock_timeout = '20ms'", "update public.locked set number = 2", "locked", "pid"),
        ("set default_transaction_read_only = on", "create temp table x ()", "can only be read",
         "primary"),
        ("", "select pg_advisory_lock(n) from generate_series(1, 99999) n", "of memory", "log"),
        ("", "insert into public.checked values (-1, 'hunter2')", "cannot be", "by hand"),
        ("", "select pg_terminate_backend(pg_backend_pid())", "it was shut down", "systemctl"),
    ],
)  # fmt: skip
def test_errors_of_statements(
    own: Cluster, prepare: str, statement: str, said: str, mend: str
) -> None:
    """Each error of a statement has a cause and a cure; the contents of rows are not shown."""
    with own.administer() as administrator:
        where = f"host={own.folder} port={own.port} user=postgres dbname=mandos"
        with psycopg.connect(where, autocommit=True) as tables:
            for text in (
                "revoke create on database mandos from open",
                "alter database mandos owner to postgres",
                "create schema hidden", "create table hidden.secrets ()",
                "create table public.hidden ()", "create table public.locked (number int)",
                "insert into public.locked values (1)",
                "create table public.checked (number int check (number > 0), secret text)",
                "grant all on public.locked, public.checked to open",
            ):  # fmt: skip
                tables.execute(text)
            tables.autocommit = False
            tables.execute("select * from public.locked for update")
            with connect(own.at("open"), "mandos") as connection:
                if prepare:
                    connection.execute(prepare.encode())
                problem = _statement_failure(own, connection, statement)
        assert administrator.execute("select 1").fetchone() == (1,)
    assert said in str(problem)
    assert mend in str(problem.hint)
    assert "hunter2" not in str(problem)


def test_paused_in_a_transaction(own: Cluster) -> None:
    """PostgreSQL ends a transaction whose server is paused, and with it the locks."""
    options = "options='-c idle_in_transaction_session_timeout=20ms'"
    with connect(own.at("open", more=options), "mandos") as connection:
        connection.execute("begin")
        select.select([connection.fileno()], [], [])
        problem = _statement_failure(own, connection, "select 1")
    assert "paused in the middle of a change" in str(problem)


def test_idle_sessions(own: Cluster) -> None:
    """A database that ends idle sessions is told not to."""
    options = "options='-c idle_session_timeout=20ms'"
    with connect(own.at("open", more=options), "mandos") as connection:
        select.select([connection.fileno()], [], [])
        problem = _statement_failure(own, connection, "select 1")
    assert "ended a connection that was idle" in str(problem)
    assert "alter role open set idle_session_timeout = 0" in str(problem.hint)


def test_full_disk(own: Cluster) -> None:
    """A table space on a disk that is full."""
    place = own.folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], check=True)
    try:
        shutil.chown(place, "postgres", "postgres")
        with own.administer() as administrator:
            administrator.execute(f"create tablespace small location '{place}'".encode())
            administrator.execute("grant all on tablespace small to open")
        with connect(own.at("open"), "mandos") as connection:
            statement = (
                "create table public.big tablespace small as"
                " select repeat(md5(n::text), 30) as text from generate_series(1, 10000) n"
            )
            problem = _statement_failure(own, connection, statement)
        with own.administer() as administrator:
            administrator.execute("drop tablespace small")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert "the disk of the database is full" in str(problem)
    assert "df -h" in str(problem.hint)


def test_control_characters_stay_out_of_the_log(own: Cluster) -> None:
    """Words of the database can be anybody's: they are shown in one line, escaped."""
    with connect(own.at("open"), "mandos") as connection:
        statement = r"do $$ begin raise exception E'a\x1b[31m\nmandos: \u202eb'; end $$"
        problem = _statement_failure(own, connection, statement)
    assert r"(a\x1b[31m; mandos: \u202eb)" in str(problem)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the database with TLS trusts."""
    return Authority(tmp_path_factory.mktemp("authority") / "own")


@pytest.fixture(scope="module")
def secured(_possible: None, authority: Authority) -> Iterator[Cluster]:
    """A PostgreSQL with TLS, whose certificate is for the name localhost."""
    made = Cluster("ssl = on", "ssl_ca_file = 'root.crt'")
    made.write("server.crt", authority.host[0])
    made.write("server.key", authority.host[1])
    made.write("root.crt", authority.root.read_text(encoding="utf-8"))
    with made:
        with made.administer() as administrator:
            administrator.execute("create role certified login")
            administrator.execute("create database mandos owner certified")
        yield made


def _over_tls(cluster: Cluster, host: str = "localhost", **files: Path) -> str:
    more = " ".join(f"{name}={file}" for name, file in files.items())
    place = f"host={host} port={cluster.port} user=certified dbname=mandos sslmode=verify-full"
    return f"{place} {more}"


def test_tls_on_both_sides(secured: Cluster, authority: Authority) -> None:
    """Both ends show certificates of one authority; no password is needed."""
    where = _over_tls(
        secured, sslrootcert=authority.root, sslcert=authority.certificate, sslkey=authority.key
    )
    with connect(where, "mandos") as connection:
        assert connection.pgconn.ssl_in_use


def test_tls_with_the_home_directory_of_root(
    secured: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server that root has started may not look into root's home, where libpq would look."""
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path.chmod(0o700)
    with secured.administer() as administrator:
        administrator.execute("create role trusted login")
    user = ServerUser(65534, 65534, "nobody")
    where = f"host=127.0.0.1 port={secured.port} user=trusted dbname=mandos"
    assert as_user(user, lambda: _uses_tls(where)) is True


def _uses_tls(conninfo: str) -> bool:
    with connect(conninfo, "mandos") as connection:
        return connection.pgconn.ssl_in_use


@pytest.mark.usefixtures("_possible")
def test_a_broken_connection_over_tls(authority: Authority) -> None:
    """A database that ends in the middle of a statement is no fault of TLS."""
    made = Cluster("ssl = on")
    made.write("server.crt", authority.host[0])
    made.write("server.key", authority.host[1])
    active = "select from pg_stat_activity where wait_event = 'PgSleep'"
    with made, made.administer() as administrator, ThreadPoolExecutor(1) as pool:
        administrator.execute("create role open login")
        administrator.execute("create database mandos")
        with connect(made.at("open"), "mandos") as connection:
            assert connection.pgconn.ssl_in_use
            statement = pool.submit(_statement_failure, made, connection, "select pg_sleep(9)")
            while administrator.execute(active).fetchone() is None:
                assert not statement.done()
            made.stop("immediate")
            problem = statement.result()
    assert re.search("the connection was lost|it was shut down, or it crashed", str(problem))
    assert isinstance(problem, MachineError)


def test_tls_is_demanded_and_missing(cluster: Cluster) -> None:
    """A database without TLS."""
    problem = _failure(cluster.at(more="sslmode=require"))
    assert "has no TLS" in str(problem)
    assert "ssl = on" in str(problem.hint)


def test_faults_of_tls(secured: Cluster, authority: Authority, tmp_path: Path) -> None:
    """Each file of TLS that is missing, of another authority, or open to others."""
    other = Authority(tmp_path / "other")
    own = {"sslcert": authority.certificate, "sslkey": authority.key}
    missing = tmp_path / "missing.crt"
    opened = tmp_path / "open.key"
    shutil.copy(authority.key, opened)
    opened.chmod(0o644)
    cases = [
        ("localhost", {**own, "sslrootcert": missing}, "is missing", "sslrootcert="),
        ("localhost", {**own, "sslrootcert": other.root}, "not of the authority", "openssl x509"),
        ("127.0.0.1", {**own, "sslrootcert": authority.root}, "for another name", "as the host"),
        ("localhost", {"sslrootcert": authority.root, "sslcert": tmp_path / "no.crt"},
         "do not agree on TLS", "sslcert="),
        ("localhost", {**own, "sslrootcert": authority.root, "sslkey": opened},
         "certificate or key of this server", "0600"),
        ("localhost", {"sslrootcert": authority.root, "sslcert": other.certificate,
                       "sslkey": other.key}, "do not agree on TLS", "ssl_ca_file there"),
    ]  # fmt: skip
    for host, files, said, mend in cases:
        problem = _failure(_over_tls(secured, host, **files))
        assert said in str(problem), files
        assert mend in str(problem.hint), files
        assert isinstance(problem, AdministratorError)


def test_merged_settings_of_a_uri() -> None:
    """Libpq reads the setting, and adds its defaults."""
    merged = merged_settings("postgresql://mandos@a,b:6000/mandos?passfile=/x")
    assert (merged["host"], merged["port"]) == ("a,b", ",6000")
    assert (merged["user"], merged["dbname"], merged["passfile"]) == ("mandos", "mandos", "/x")
    assert "sslmode" not in merged


def test_passwords_in_a_setting_are_noticed() -> None:
    """A password stands in a URI or in words, not in the name of a file."""
    assert has_password("postgresql://mandos:secret@db/mandos")
    assert has_password("host=db password=secret")
    assert has_password("postgresql://db/mandos?password=secret")
    assert not has_password("postgresql://mandos@db/mandos?passfile=/etc/mandos/password")
    assert not has_password("nonsense")
