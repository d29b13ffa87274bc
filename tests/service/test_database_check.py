# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``mandos --check`` with a shared database: real clusters that are sound, and broken ones."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.authority import Authority
from harness.families import ours
from harness.host import Host, why_impossible
from harness.postgresql import ROLE, ROLE_PASSWORD, SUPERUSER, Cluster, uri
from mandos.client_settings import ClientSettings
from mandos.server.config.server_conf import ServerSettings
from mandos.server.self_check import database as database_check
from mandos.server.self_check.findings import Finding, Outcome, report
from mandos.server.state.settings_text import text_of
from mandos.server.system.privileges import ServerUser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.postgresql import Database

pytest.importorskip("psycopg", exc_type=ImportError)
from mandos.server.state.postgresql import schema
from mandos.server.state.postgresql.connection import connect

pytestmark = pytest.mark.peer

#: A user without rights; each package has it.
USER = ServerUser(65534, 65534, "nobody")
OK, WARNING, FAILED, UNKNOWN = Outcome.OK, Outcome.WARNING, Outcome.FAILED, Outcome.NOT_CHECKED


@pytest.fixture
def own(postgresql: Cluster) -> Iterator[Cluster]:
    """A cluster that the test may change; the fixture before it says whether there can be one."""
    del postgresql
    with Cluster() as cluster:
        yield cluster


def _findings(state: str, **more: object) -> dict[str, Finding]:
    """Check; there is one finding for each subject."""
    values: dict[str, object] = {"configdir": Path("/nonexistent"), "server_name": "keeper"}
    settings = ServerSettings(state=state, **(values | more))  # type: ignore[arg-type]
    found = list(database_check.check(settings, USER))
    text, _status = report(found)
    assert text.replace("\n", "").isprintable()
    assert ROLE_PASSWORD not in text
    assert "sesame" not in text
    by_subject = {finding.what: finding for finding in found}
    assert len(by_subject) == len(found), text
    assert all(finding.mend for finding in found if finding.outcome is not OK), text
    return by_subject


def _problems(state: str, **more: object) -> dict[str, Finding]:
    """Check; return the findings that are not well, but for those of the tests' own clusters.

    Their URIs have passwords, and the one of all tests does not wait for its disk.
    """
    found = _findings(state, **more)
    assert found.pop("database password").outcome is WARNING
    found.pop("database disk", None)
    return {what: it for what, it in found.items() if it.outcome is not OK}


def _prepare(database: Database) -> None:
    with connect(database.uri(), "mandos test") as connection:
        schema.prepare(connection)


def test_without_a_database_there_is_nothing_to_check() -> None:
    """A server with SQLite needs no psycopg."""
    assert _findings("") == {}


def test_all_is_well(own: Cluster) -> None:
    """An empty database that the role owns, then one with tables."""
    database = own.database("mandos")
    assert _problems(database.uri()) == {}
    found = _findings(database.uri())
    assert set(found) == {
        "database", "database connection", "database tables", "database clock",
        "database connections", "database disk", "database standbys", "without database",
        "database password",
    }  # fmt: skip
    assert found["database"].said.endswith(f"can be written to: database mandos, role {ROLE}")
    assert found["database disk"].outcome is OK
    assert found["database tables"].said.startswith("there are none yet; the server makes them")
    _prepare(database)
    found = _findings(database.uri())
    assert _problems(database.uri()) == {}
    assert found["database rights"].outcome is OK
    assert f"own (schema {schema.SCHEMA_VERSION})" in found["database tables"].said


def test_nothing_is_changed(postgresql_database: Database) -> None:
    """A check leaves no table behind."""
    _findings(postgresql_database.uri())
    assert postgresql_database.sql("select to_regnamespace('mandos')") == [(None,)]


def test_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the package is named that has it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in [name for name in sys.modules if name.startswith("mandos.server.state.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    package = sys.modules["mandos.server.state"]
    monkeypatch.delattr(package, "postgresql", raising=False)
    found = _findings("service=mandos")
    assert found["database"].outcome is FAILED
    assert "apt install mandos-server-postgresql" in found["database"].mend


def test_no_connection(own: Cluster) -> None:
    """An error while connecting is one finding, with its cure."""
    database = own.database("mandos")
    own.stop()
    problem = _problems(database.uri())["database"]
    assert problem.outcome is FAILED
    assert "nothing listens there" in problem.said


def test_a_password_in_the_file(postgresql_database: Database, tmp_path: Path) -> None:
    """A password belongs into a file of its own, above all if everybody can read this one."""
    file = tmp_path / "mandos.conf"
    file.write_text("", encoding="utf-8")
    for mode, outcome in ((0o640, WARNING), (0o644, FAILED)):
        file.chmod(mode)
        found = _findings(postgresql_database.uri(), configdir=tmp_path)["database password"]
        assert found.outcome is outcome
        assert f"chmod o-rwx {file}" in found.mend


def test_the_password_file_must_be_the_server_users(own: Cluster) -> None:
    """The check connects as the user that the server becomes, not as root."""
    database = own.database("mandos")
    with _password_file() as file:
        state = uri((own,), ROLE, None, database.name, passfile=str(file))
        problem = _findings(state)["database"]
        assert problem.outcome is FAILED
        assert f"chown _mandos {file}" in problem.mend
        shutil.chown(file, USER.uid)
        found = _findings(state)
    assert "database password" not in found
    assert found["database"].outcome is OK


@contextlib.contextmanager
def _password_file() -> Iterator[Path]:
    """A password file of root, which every user could reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "password")
        words = ROLE_PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
        file.write_text(f"*:*:*:*:{words}\n", encoding="utf-8")
        file.chmod(0o600)
        yield file


def _cure(database: Database, finding: Finding) -> None:
    """Run the statement that a finding's cure has."""
    statement = finding.mend.partition(" -c '")[2].removesuffix("'")
    assert statement, finding
    database.sql(statement)


def test_a_role_without_rights(postgresql_database: Database) -> None:
    """The tables are another role's: each right that is missing is named; the cure grants it."""
    cluster, name = postgresql_database.cluster, postgresql_database.name
    role = f"reader_{name}"
    cluster.create_role(role, ROLE_PASSWORD)
    state = uri((cluster,), role, ROLE_PASSWORD, name)
    try:
        problem = _problems(state)["database tables"]
        assert f"the role {role} may not make them" in problem.said
        assert f'create schema mandos authorization "{role}"' in problem.mend
        _prepare(postgresql_database)
        problem = _problems(state)["database rights"]
        assert problem.said == f"the role {role} may not use the schema mandos"
        _cure(postgresql_database, problem)
        problem = _problems(state)["database rights"]
        assert "; select on property; " in problem.said
        assert "select, insert, update, delete on life;" in problem.said
        _cure(postgresql_database, problem)
        assert _problems(state) == {}
        postgresql_database.sql(f"revoke delete on mandos.life from {role}")
        postgresql_database.sql(f"revoke insert on mandos.property from {role}")
        problem = _problems(state)["database rights"]
        assert problem.said == f"the role {role} lacks the right to delete on life"
    finally:
        postgresql_database.sql(f"drop owned by {role}")
        cluster.sql(f"drop role {role}")


def test_an_empty_schema_of_another_role(postgresql_database: Database) -> None:
    """A schema without tables that the role may not make them in."""
    postgresql_database.sql("create schema mandos")
    problem = _problems(postgresql_database.uri())["database tables"]
    _cure(postgresql_database, problem)
    assert _problems(postgresql_database.uri()) == {}


def test_tables_of_another_program(postgresql_database: Database) -> None:
    """A schema of our name with other tables is left alone."""
    postgresql_database.sql("create schema mandos; create table mandos.client ()")
    postgresql_database.sql(f"grant usage on schema mandos to {ROLE}")
    problem = _problems(postgresql_database.uri())["database tables"]
    assert problem.outcome is FAILED
    assert "a schema mandos with other tables" in problem.said
    assert "createdb" in problem.mend


def test_tables_of_other_versions(postgresql_database: Database) -> None:
    """Newer tables may be usable; older ones are upgraded by their owner."""
    _prepare(postgresql_database)
    newer = schema.SCHEMA_VERSION + 1
    change = "update mandos.property set value = %s where name = %s"
    postgresql_database.sql(change, str(newer), "schema")
    problem = _problems(postgresql_database.uri())["database tables"]
    assert problem.outcome is WARNING
    assert f"newer version of mandos (schema {newer})" in problem.said
    postgresql_database.sql(change, str(newer), "least")
    problem = _problems(postgresql_database.uri())["database tables"]
    assert problem.outcome is FAILED
    assert "upgrade this server" in problem.mend
    postgresql_database.sql(change, "0", "least")
    postgresql_database.sql(change, "0", "schema")
    found = _findings(postgresql_database.uri())["database tables"]
    assert found.outcome is OK
    assert "the server upgrades them when it starts" in found.said
    postgresql_database.sql(f"alter schema mandos owner to {SUPERUSER}")
    postgresql_database.sql(f"grant usage on schema mandos to {ROLE}")
    problem = _problems(postgresql_database.uri())["database tables"]
    assert problem.outcome is FAILED
    assert f"has the role {SUPERUSER}, their owner" in problem.mend


def test_a_standby_cannot_be_used(own: Cluster) -> None:
    """A standby alone is a failure; with the primary after it, all is well."""
    database = own.database("mandos")
    with own.standby(synchronous=True) as standby:
        problem = _problems(uri((standby,), ROLE, ROLE_PASSWORD, "mandos"))["database"]
        assert "it can only be read" in problem.said
        found = _findings(uri((standby, own), ROLE, ROLE_PASSWORD, "mandos"))
        assert found["database"].outcome is OK
        assert f":{own.port} can be written to" in found["database"].said
    del database


def test_standbys(own: Cluster) -> None:
    """Asynchronous ones are a warning with its consequence; a synchronous one must be there."""
    database = own.database("mandos")
    assert _findings(database.uri())["database standbys"].said.startswith("there are none")
    with own.standby() as standby:
        found = _findings(database.uri())["database standbys"]
        assert found.outcome is WARNING
        assert "all (1) are asynchronous" in found.said
        assert "a disabled client may be enabled again" in found.said
        assert "synchronous_standby_names = 'ANY 1 (*)'" in found.mend
        own.configure(synchronous_standby_names="ANY 1 (*)")
        found = _findings(database.uri())["database standbys"]
        assert found.outcome is UNKNOWN
        own.sql(found.mend.partition(" -c '")[2].removesuffix("'"))
        found = _findings(database.uri())["database standbys"]
        assert found.outcome is OK
        assert "1 of 1 have each change" in found.said
        standby.stop()
        own.configure(wal_sender_timeout="1s")
        found = _findings(database.uri())["database standbys"]
        assert found.outcome is FAILED
        assert "every change waits" in found.said
        own.configure(synchronous_standby_names="")


def test_settings_that_lose_changes(own: Cluster) -> None:
    """A database that does not wait for its disk is no place for a promise."""
    database = own.database("mandos")
    own.configure(fsync="off", full_page_writes="off", synchronous_commit="off")
    found = _findings(database.uri())["database disk"]
    assert found.outcome is FAILED
    assert "fsync and full_page_writes turned off" in found.said
    assert "a client that was disabled can be enabled again" in found.said


@pytest.mark.parametrize(
    "statement",
    [
        "alter role mandos connection limit 3",
        "alter database mandos connection limit 3",
        "alter role mandos connection limit 3; alter database mandos connection limit 99",
    ],
)
def test_connections_that_are_left(own: Cluster, statement: str) -> None:
    """The smallest limit counts."""
    database = own.database("mandos")
    assert _findings(database.uri())["database connections"].outcome is OK
    own.sql(statement)
    found = _findings(database.uri())["database connections"]
    assert (found.outcome, found.said[:10]) == (OK, "3 are left")
    with database.connect():
        found = _findings(database.uri())["database connections"]
    assert found.outcome is WARNING
    assert found.said.startswith("2 are left, and each server needs 3")


def test_all_connections(own: Cluster) -> None:
    """The connections of other users count as well."""
    database = own.database("mandos")
    before = _findings(database.uri())["database connections"].said
    with own.connect(), own.connect(), own.connect():
        after = _findings(database.uri())["database connections"].said
    assert int(before.split()[0]) == int(after.split()[0]) + 3


def test_clocks(own: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds are worth a warning, in either direction."""
    database = own.database("mandos")
    real = time.time
    for shift, outcome, said in (
        (1.5, OK, ""),
        (100.0, WARNING, "s ahead of the database's"),
        (-100.0, WARNING, "s behind the database's"),
    ):
        monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
        found = _findings(database.uri())["database clock"]
        assert found.outcome is outcome
        assert said in found.said


def test_another_server_of_this_name(postgresql_database: Database) -> None:
    """A server that lives on another machine has the name; a dead one, or ours, has not."""
    _prepare(postgresql_database)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    postgresql_database.sql(
        "insert into mandos.server (name, boot, run, started, beat, checks, version)"
        " values ('keeper', 'another', '1', now(), now() - interval '1 minute', true, '1')"
    )
    assert _problems(postgresql_database.uri()) == {}
    postgresql_database.sql("update mandos.server set beat = clock_timestamp() + interval '1 hour'")
    problem = _problems(postgresql_database.uri())["server name"]
    assert problem.outcome is FAILED
    assert "another machine runs a server of the name keeper" in problem.said
    assert _problems(postgresql_database.uri(), server_name="other") == {}
    postgresql_database.sql("update mandos.server set boot = %s", boot)
    assert _problems(postgresql_database.uri()) == {}


def test_limits_without_the_database(postgresql_database: Database) -> None:
    """The check states how far the promise holds with these settings."""
    state = postgresql_database.uri()
    found = _findings(state)["without database"]
    assert (found.outcome, found.said[:51]) == (
        OK,
        "without the database this server gives no secrets (",
    )
    lasting = {"without_database": timedelta(minutes=10)}
    found = _findings(state, **lasting)["without database"]
    assert "for PT10M after it has lost the database: also to clients that were" in found.said
    both = lasting | {"without_database_at_boot": timedelta(days=1)}
    found = _findings(state, **both)["without database"]
    assert "PT10M after it has lost the database, and for P1D after its last contact" in found.said


class Pair:
    """A machine with a database, and one with a server that checks it by mandos --check."""

    def __init__(self, database: Host, server: Host) -> None:
        database.connect(server)
        self.server = server
        self.address = database.addresses()[0]
        self.cluster = Cluster(host=database, address=self.address)
        self.cluster.database("mandos")
        server.path("/run/config").mkdir()
        clients = server.path("/run/config/clients.conf")
        clients.write_text("", encoding="utf-8")
        clients.chmod(0o640)
        shutil.chown(clients, "root", "_mandos")
        self.status = -1

    def check(self, *words: str) -> dict[str, str]:
        """Return the lines about the database."""
        state = f"host=db.example hostaddr={self.address} user={ROLE} dbname=mandos"
        state = " ".join([state, f"password='{ROLE_PASSWORD}'", *words])
        options = ("--configdir=/run/config", "--statedir=/run/state", "--no-dbus", "--no-zeroconf")
        command = (ours().server, "--check", *options, "--port=4711", "--state", state)
        process = self.server.start(*command)
        self.status = process.wait()
        lines = process.stdout.decode().splitlines()
        parts = [line.split(": ", 2) for line in lines if ": database" in line]
        assert parts, process.report("nothing about the database")
        return {what: f"{outcome}: {said}" for outcome, what, said in parts}


@pytest.fixture
def pair(postgresql: Cluster) -> Iterator[Pair]:
    """Two machines with a cable."""
    del postgresql
    if (reason := why_impossible()) is not None:
        pytest.skip(reason)
    with Host("database") as database, Host("server") as server:
        made = Pair(database, server)
        with made.cluster:
            yield made


def test_mandos_check_judges_the_connection(pair: Pair, tmp_path: Path) -> None:
    """Over a network, only a proof of the database's name keeps strangers out."""
    line = pair.check()["database connection"]
    assert line.startswith("warning: the connection to db.example is not encrypted")
    authority = Authority(tmp_path / "authority", "db.example")
    for name, text in zip(("server.crt", "server.key"), authority.host, strict=True):
        path = pair.cluster.data / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        shutil.chown(path, pair.cluster.data.owner())
    pair.cluster.configure(ssl="on")
    for words in ((), ("sslmode=require",)):
        line = pair.check(*words)["database connection"]
        assert line.startswith("warning: it is encrypted, but another machine could pretend to be")
    root = pair.server.path("/run/root.crt")
    root.write_text(authority.root.read_text(encoding="utf-8"), encoding="utf-8")
    lines = pair.check("sslmode=verify-full", "sslrootcert=/run/root.crt")
    assert lines["database connection"].startswith("ok: it is encrypted, and db.example has proved")
    assert lines["database"].startswith("ok: PostgreSQL ")


def test_mandos_check_fails_without_the_database(pair: Pair) -> None:
    """A database that is down makes the whole check fail."""
    lines = pair.check()
    assert pair.status == 0, lines
    pair.cluster.stop()
    lines = pair.check()
    assert pair.status == 1
    assert "nothing listens there" in lines["database"]


def test_sections_that_differ(postgresql_database: Database) -> None:
    """Each is a finding that names settings, not values; so is each key that clients share."""
    here = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"sealed", host="here")
    _prepare(postgresql_database)
    for name in ("alpha", "beta"):
        text = text_of(replace(here, name=name, host="there"))
        values = name, text, here.secret, here.key_id
        postgresql_database.sql(
            "INSERT INTO mandos.client (name, settings, secret, origin, key_id)"
            " VALUES (%s, %s, %s, 'file', %s)", *values
        )  # fmt: skip
    settings = ServerSettings(state=postgresql_database.uri(), configdir=Path("/nonexistent"))

    def said(*clients: ClientSettings) -> list[str]:
        found = database_check.check(settings, USER, clients)
        return [it.said for it in found if it.what == "clients' sections" and it.outcome is WARNING]

    difference, double = said(here, replace(here, name="new"))
    assert "alpha here differs from the settings in force (host)" in difference
    assert "the same key: alpha, beta" in double
    postgresql_database.sql("UPDATE mandos.client SET origin = 'removed' WHERE name = 'beta'")
    assert said(replace(here, host="there")) == []
