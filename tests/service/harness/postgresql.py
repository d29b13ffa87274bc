# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL for a test: a real cluster of its own, with databases, standbys and accidents.

A cluster's files are in a temporary folder, its processes in a process namespace that ends when the
test run does, however that ends.  Its address is one of the loopback network or of a test's host,
so any number of clusters run side by side.  Everybody, the superuser too, needs a password (SCRAM).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from harness.debian import cache, once
from harness.patience import Patience
from harness.process import PATIENCE, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from psycopg import Connection

    from harness.host import Host

#: Where Debian has each version's programs.
VERSIONS = Path("/usr/lib/postgresql")
TOOLS = ("unshare", "nsenter", "setpriv")
SUPERUSER, SUPERUSER_PASSWORD = "postgres", "the password of the superuser"
#: The role that owns the databases of ``Cluster.database``.
ROLE, ROLE_PASSWORD = "mandos", "open: sesame/50%?"
#: The port of a cluster that has a host, and so all of its ports, to itself.
PORT = 5432
INITDB = (
    *("--auth=scram-sha-256", f"--username={SUPERUSER}", "--encoding=UTF8"),
    *("--locale=C.UTF-8", "--wal-segsize=1", "--no-sync", "--no-instructions"),
)
#: Who may connect: everybody with a password, from everywhere.
HBA = "".join(
    f"{kind} {database} all {where} scram-sha-256\n"
    for kind, where in (("local", ""), ("host", "all"))
    for database in ("all", "replication")
)
#: Raised when the same words would make another template.
_FORMAT = "1"
SETTINGS = {
    "lc_messages": "C",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "shared_buffers": "16MB",
    "wal_keep_size": "64MB",  # for standbys that come back
    "dynamic_shared_memory_type": "mmap",  # files in the cluster's folder, which go with it
    "recovery_init_sync_method": "syncfs",  # a start after a kill takes 0.1 s instead of 2 s
}
#: Holds the namespaces of a cluster and starts its server.  When the test run is killed, it ends
#: the cluster's processes and removes its folder.
HOLDER = """
echo ready
while read -r line; do eval "$line"; done
kill -KILL -1
rm -rf "$1"
"""
START = '( {server} </dev/null; echo "ended $?" ) &\n'
READY, ENDED = "database system is ready to accept", r"^ended \d+$"
#: libfaketime reads its file at each look at the clock, and leaves the monotonic one alone.
CLOCK = {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
#: What ends PostgreSQL (pg_ctl(1), "Shutdown modes").
MODES = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

_numbers = itertools.count(1)


def programs() -> Path | None:
    """Return the folder with the programs of the newest PostgreSQL that is installed."""
    found = [path for path in VERSIONS.glob("*/bin") if (path / "initdb").exists()]
    return max(found, key=lambda path: int(path.parent.name.partition(".")[0]), default=None)


@functools.cache
def why_no_postgresql() -> str | None:
    """Say why this machine cannot run a cluster of a test; None when it can."""
    if os.geteuid() != 0:
        return "a PostgreSQL of the test's own needs root, to run as another user"
    missing = [name for name in TOOLS if shutil.which(name) is None]
    missing += ["postgresql"] if programs() is None else []
    if missing:
        return f"not installed: {', '.join(missing)} (tools/test-setup does it)"
    try:
        import psycopg  # noqa: F401, PLC0415 - needs the system's libpq
    except ImportError as error:
        return f"psycopg cannot be imported: {error}"
    return None


@functools.cache
def _user() -> str:
    """Return the user that runs clusters: PostgreSQL refuses to run as root."""
    passwd = Path("/etc/passwd").read_text(encoding="utf-8")
    return "postgres" if re.search("^postgres:", passwd, re.MULTILINE) else "nobody"


def _as_user() -> tuple[str, ...]:
    group = subprocess.run(
        ["id", "--group", _user()], check=True, capture_output=True, text=True
    ).stdout.strip()
    return ("setpriv", f"--reuid={_user()}", f"--regid={group}", "--clear-groups", "--")


def _clock_library() -> str:
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return str(library)


def _program(name: str) -> str:
    folder = programs()
    assert folder is not None, why_no_postgresql()
    return str(folder / name)


def _folder() -> Path:
    """Make a folder that the cluster's user owns and everybody can reach a socket in."""
    folder = Path(tempfile.mkdtemp(prefix="mandos-pg-"))
    shutil.chown(folder, _user())
    folder.chmod(0o711)
    return folder


def _run(*command: str) -> str:
    """Run a program to its successful end; return what it printed."""
    done = subprocess.run(
        command, check=False, cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


def _template() -> Path:
    """Return the data folder of a new cluster, which initdb makes once and the cache keeps."""
    version = _run(_program("postgres"), "--version")
    words = repr((_FORMAT, version, _user(), INITDB, SUPERUSER_PASSWORD, HBA))
    key = hashlib.sha256(words.encode()).hexdigest()[:16]
    return once(cache() / f"postgresql-{key}", _make_template)


def _make_template(path: Path) -> None:
    folder = _folder()
    try:
        data, password = folder / "data", folder / "password"
        password.write_text(SUPERUSER_PASSWORD, encoding="utf-8")
        where = (f"--pgdata={data}", f"--pwfile={password}")
        _run(*_as_user(), _program("initdb"), *INITDB, *where)
        (data / "pg_hba.conf").write_text(HBA, encoding="utf-8")
        with (data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("include '../settings.conf'\n")
        _run("cp", "--archive", str(data), str(path))
    finally:
        shutil.rmtree(folder)


def _loopback() -> tuple[str, int]:
    """Return an address of the loopback network and a port that no program uses.

    The port is below those that the kernel gives away, and with the address drawn from millions.
    """
    while True:
        parts = (1 + secrets.randbelow(254), secrets.randbelow(256), 1 + secrets.randbelow(254))
        address = ".".join(map(str, (127, *parts)))
        port = 10000 + secrets.randbelow(20000)
        with socket.socket() as trial:
            try:
                trial.bind((address, port))
            except OSError:
                continue
        return address, port


def _children(pid: int) -> list[int]:
    """Return the children of a process, none if it has ended."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in text.split()]


def _descendants(pid: int) -> Iterator[int]:
    """Yield the children of a process, and theirs."""
    for child in _children(pid):
        yield child
        yield from _descendants(child)


def _state(pid: int) -> str:
    """Return the state of a process (proc_pid_stat(5)); X if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return stat.rpartition(")")[2].split()[0]


def wait(ready: Callable[[], bool], problem: Callable[[], str]) -> None:
    """Return when ``ready`` is true; fail when patience is over."""
    patience = Patience(PATIENCE)
    while not ready():
        assert not patience.is_over(), problem()
        time.sleep(0.005)


def _signal(pid: int, number: signal.Signals, states: str) -> None:
    """Send a signal; return when the process is in one of these states, or gone."""
    if _state(pid) not in "XZ":
        os.kill(pid, number)
        wait(lambda: _state(pid) in states + "XZ", lambda: f"{pid} ignores {number.name}")


def identifier(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a string of SQL, and of postgresql.conf."""
    return "'" + text.replace("'", "''") + "'"


def uri(
    clusters: Sequence[Cluster], role: str, password: str | None, database: str, **options: str
) -> str:
    """Return what ``state`` in mandos.conf takes: a URI with an address for each cluster.

    ``options`` are parameters of libpq, such as ``target_session_attrs="read-write"``.
    """
    user = quote(role, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    hosts = ",".join(cluster.place for cluster in clusters)
    words = f"?{urlencode(options, quote_via=quote)}" if options else ""
    return f"postgresql://{user}@{hosts}/{quote(database, safe='')}{words}"


@dataclass(frozen=True)
class Database:
    """A database of a test, and the role that owns it."""

    cluster: Cluster
    name: str
    role: str = ROLE
    password: str = ROLE_PASSWORD

    def uri(self, *others: Cluster, **options: str) -> str:
        """Return its URI for the role; ``others`` are further clusters that may have it."""
        return uri((self.cluster, *others), self.role, self.password, self.name, **options)

    def sql(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Run SQL as the superuser in this database; return the rows."""
        return self.cluster.sql(text, *values, database=self.name)

    def connect(self) -> Connection[tuple[Any, ...]]:
        """Connect as the role, through the socket."""
        return self.cluster.connect(self.role, self.password, self.name)

    def drop(self) -> None:
        """Remove it, whoever is connected."""
        self.cluster.sql(f"DROP DATABASE {identifier(self.name)} WITH (FORCE)")


class Cluster:
    """A PostgreSQL server with data of its own; it runs from the beginning.

    ``host`` is the machine whose network it has, otherwise that of the test.  It listens on all
    addresses of a host; ``address`` is the one in its URIs.  ``settings`` go into postgresql.conf,
    ``environment`` to the server.  With ``fsync`` off commits are faster, and a kill loses nothing.
    With ``own_clock``, ``set_clock`` moves the server's clock.
    """

    def __init__(
        self,
        name: str = "primary",
        *,
        host: Host | None = None,
        address: str | None = None,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        own_clock: bool = False,
    ) -> None:
        self._prepare(name, host, address, own_clock=own_clock)
        self._environment.update(environment or {})
        self._settings = dict(settings or {}) | ({} if fsync else {"fsync": "off"})
        try:
            _run("cp", "--archive", "--reflink=auto", str(_template()), str(self.data))
            self.start()
        except BaseException:
            self.close()
            raise

    def _prepare(
        self, name: str, host: Host | None, address: str | None, *, own_clock: bool
    ) -> None:
        """Make the folder and the namespaces."""
        self.name = name
        self.host = host
        self._environment: dict[str, str] = {}
        self._standbys: list[str] = []
        if host is None:
            self.address, self.port = _loopback()
        else:
            self.address, self.port = address or "127.0.0.1", PORT
        self.folder = _folder()
        if own_clock:
            self.set_clock(0)
            self._environment.update(LD_PRELOAD=_clock_library(), **CLOCK)
            self._environment["FAKETIME_TIMESTAMP_FILE"] = str(self.folder / "clock")
        network = ("nsenter", "--target", str(host.pid), "--net", "--") if host else ()
        isolate = ("unshare", "--pid", "--ipc", "--fork", "--kill-child=KILL")
        hold = (*network, *isolate, "sh", "-c", HOLDER, "sh", str(self.folder))
        self._holder = Process(hold)
        self._holder.wait_for("^ready$")
        (self._shell,) = _children(self._holder.pids[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the cluster and remove its files."""
        self.kill()
        self._holder.end()
        shutil.rmtree(self.folder)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def place(self) -> str:
        """Address and port as in a URI."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"

    @property
    def log(self) -> str:
        """Everything that the server has logged, in all its runs."""
        return self._holder.log

    @property
    def running(self) -> bool:
        """Whether the server has not ended; one that is paused has not."""
        return self._server is not None

    @property
    def _server(self) -> int | None:
        """The number of the server's first process; a shell waits for its end."""
        found = (pid for waiting in _children(self._shell) for pid in _children(waiting))
        return next((pid for pid in found if _state(pid) not in "XZ"), None)

    def report(self, problem: str) -> str:
        """``problem`` with the log, for a failed assertion."""
        return f"{problem}: PostgreSQL {self.name}\n--- its log\n{self.log}\n---"

    # Life and death

    def start(self) -> None:
        """Start the server; return when it accepts connections."""
        assert not self.running, self.report("runs already")
        self._write_settings()
        seen = len(self._holder.lines)
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        variables = (f"{key}={value}" for key, value in (environment | self._environment).items())
        postgres = ("env", f"--chdir={self.folder}", *variables, _program("postgres"), "-D", "data")
        line = START.format(server=shlex.join([*_as_user(), *postgres]))
        self._holder.send(line.encode())
        seen = self._holder.wait_for(f"{READY}|{ENDED}", after=seen)
        assert READY in self._holder.lines[seen - 1], self.report("does not start")

    def stop(self, mode: str = "fast") -> None:
        """End the server: ``smart``, ``fast``, or ``immediate``, which needs a recovery."""
        server = self._server
        assert server is not None, self.report("does not run")
        seen = len(self._holder.lines)
        os.kill(server, MODES[mode])
        self._holder.wait_for(ENDED, after=seen)

    def kill(self) -> None:
        """End all processes at once (SIGKILL), as a machine that loses power; paused ones too."""
        if self.running:
            seen = len(self._holder.lines)
            processes = self._stop_all()
            for pid in reversed(processes):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait(
                lambda: all(_state(pid) in "XZ" for pid in processes),
                lambda: self.report("does not end"),
            )
            self._holder.wait_for(ENDED, after=seen)

    def pause(self) -> None:
        """Stop all processes (SIGSTOP), as a machine that hangs; connections stay open."""
        self._stop_all()

    def _stop_all(self) -> list[int]:
        """Stop the server, which starts no process then, and its processes; return them."""
        server = self._server
        assert server is not None, self.report("does not run")
        _signal(server, signal.SIGSTOP, "T")
        children = list(_descendants(server))
        for pid in children:
            _signal(pid, signal.SIGSTOP, "T")
        return [server, *children]

    def resume(self) -> None:
        """Go on after ``pause``."""
        server = self._server
        assert server is not None, self.report("does not run")
        for pid in (*_descendants(server), server):
            _signal(pid, signal.SIGCONT, "RSD")

    # Settings

    def configure(self, **settings: str) -> None:
        """Change settings; return when the server has them, if it runs.

        Fails for one that needs a restart: ``stop`` before, and ``start`` after that.
        ``commit_delay="100000", commit_siblings="0"`` makes a disk that needs 0.1 s for a commit.
        """
        self._settings.update(settings)
        self._write_settings()
        if self.running:
            wrong = self.sql("SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL")
            assert not wrong, wrong
            ((before,),) = self.sql("SELECT pg_conf_load_time()")
            self.sql("SELECT pg_reload_conf()")
            wait(
                lambda: self.sql("SELECT pg_conf_load_time()") > [(before,)],
                lambda: self.report("does not reload"),
            )

    def _write_settings(self) -> None:
        place = {
            "listen_addresses": "*" if self.host else self.address,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "cluster_name": self.name,
        }
        settings = SETTINGS | place | self._settings
        text = "".join(f"{key} = {literal(value)}\n" for key, value in settings.items())
        (self.folder / "settings.conf").write_text(text, encoding="utf-8")

    def set_clock(self, seconds: float) -> None:
        """Have the server's clock differ from the machine's by seconds, in all its processes."""
        new = self.folder / "clock.new"
        new.write_text(f"{seconds:+f}\n", encoding="ascii")
        new.rename(self.folder / "clock")

    def enable_tls(self) -> Path:
        """Take TLS too, with a certificate for the address; return the file for sslrootcert."""
        key, certificate = self.folder / "server.key", self.folder / "server.crt"
        new = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        names = (f"-subj=/CN={self.name}", f"-addext=subjectAltName=IP:{self.address}")
        words = [part for name in names for part in name.split("=", 1)]
        _run("openssl", "req", *new, *words, "-keyout", str(key), "-out", str(certificate))
        shutil.chown(key, _user())
        self.configure(ssl="on", ssl_key_file=str(key), ssl_cert_file=str(certificate))
        return certificate

    # SQL

    def connect(
        self, role: str = SUPERUSER, password: str = SUPERUSER_PASSWORD, database: str = "postgres"
    ) -> Connection[tuple[Any, ...]]:
        """Connect through the socket, which is reached from each host; each statement commits."""
        from psycopg import connect  # noqa: PLC0415 - tests without libpq skip

        return connect(
            host=str(self.folder), port=self.port, user=role, password=password,
            dbname=database, autocommit=True, connect_timeout=600,
        )  # fmt: skip

    def sql(self, text: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run SQL as the superuser; return the rows of the last statement.

        There may be several statements if there are no ``values`` (``%s`` in the text).
        """
        with self.connect(database=database) as connection:
            cursor = connection.execute(text.encode(), values or None)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def create_role(self, name: str, password: str, options: str = "") -> None:
        """Make a role that may connect; ``options`` as of CREATE ROLE, such as NOINHERIT."""
        words = f"LOGIN PASSWORD {literal(password)} {options}"
        self.sql(f"CREATE ROLE {identifier(name)} {words}")

    def create_database(self, name: str, owner: str, template: str = "template0") -> None:
        """Make a database, a copy of ``template``, to which nobody may be connected."""
        words = f"OWNER {identifier(owner)} TEMPLATE {identifier(template)}"
        self.sql(f"CREATE DATABASE {identifier(name)} {words}")

    def database(self, name: str | None = None, template: str = "template0") -> Database:
        """Make a database that the role ``mandos`` owns; it takes a fraction of a second."""
        name = name or f"test_{next(_numbers)}"
        if not self.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", ROLE):
            self.create_role(ROLE, ROLE_PASSWORD)
        self.create_database(name, ROLE, template)
        return Database(self, name)

    def uri(
        self, role: str, password: str | None, database: str, *others: Cluster, **options: str
    ) -> str:
        """Return a URI with this address and those of ``others``; see the function ``uri``."""
        return uri((self, *others), role, password, database, **options)

    # Replication

    def standby(
        self,
        name: str = "standby",
        *,
        host: Host | None = None,
        address: str | None = None,
        synchronous: bool = False,
        settings: Mapping[str, str] | None = None,
        own_clock: bool = False,
    ) -> Cluster:
        """Make a copy that streams from this cluster, by pg_basebackup(1), and start it.

        It connects to this cluster's ``address``.  With ``synchronous`` a commit waits until a
        synchronous standby has it on its disk, and for ever if there is none.
        """
        copy = Cluster.__new__(Cluster)
        copy._prepare(name, host, address, own_clock=own_clock)
        copy._settings = self._settings | {"synchronous_standby_names": ""} | dict(settings or {})
        try:
            copy._copy_from(self)
            copy.start()
            self._expect(name, synchronous=synchronous)
        except BaseException:
            copy.close()
            raise
        return copy

    def _copy_from(self, source: Cluster) -> None:
        """Fill the data folder."""
        options = {
            "host": source.address, "port": str(source.port), "user": SUPERUSER,
            "password": SUPERUSER_PASSWORD, "application_name": self.name,
        }  # fmt: skip
        words = (f"{key}='{value}'" for key, value in options.items())
        backup = (_program("pg_basebackup"), "--write-recovery-conf", f"--pgdata={self.data}")
        quick = ("--checkpoint=fast", "--wal-method=stream", "--no-sync")
        network = ("nsenter", "--target", str(self._shell), "--net", "--")
        _run(*network, *_as_user(), *backup, *quick, f"--dbname={' '.join(words)}")

    def _expect(self, standby: str, *, synchronous: bool) -> None:
        """Return when a standby streams, as the only word for it says."""
        if synchronous:
            self._standbys.append(standby)
            names = ", ".join(map(identifier, self._standbys))
            self.configure(synchronous_standby_names=f"ANY 1 ({names})")
        wanted = ("streaming", "quorum" if synchronous else "async")
        shown = "SELECT state, sync_state FROM pg_stat_replication WHERE application_name = %s"
        wait(lambda: self.sql(shown, standby) == [wanted], lambda: self.report("has no standby"))

    def promote(self) -> None:
        """Make a standby the primary of now; return when it writes."""
        ((promoted,),) = self.sql("SELECT pg_promote()")
        assert promoted, self.report("not promoted")
