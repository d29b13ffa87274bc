# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the PostgreSQL database that servers share: connection, rights, tables, time, standbys.

Nothing is written there.  Only with the setting ``state``; psycopg is an optional library.
"""

from __future__ import annotations

import ipaddress
import shlex
import stat
import time
from typing import TYPE_CHECKING, Any

from mandos.durations import format_duration
from mandos.errors import MandosError
from mandos.server.life.sections import MEND_DIFFERENCE, MEND_KEY, differing, doubled
from mandos.server.self_check.as_user import as_user
from mandos.server.self_check.findings import Finding, Outcome, failed, not_checked, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mandos.client_settings import ClientSettings
    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.state.postgresql.connection import Connection
    from mandos.server.system.privileges import ServerUser

DATABASE = "database"
_ENCRYPTION, _TABLES, _RIGHTS = "database connection", "database tables", "database rights"
_CLOCK, _SECTIONS = "database clock", "clients' sections"
_ROOM, _DISK, _STANDBYS = "database connections", "database disk", "database standbys"
_NAME, _WITHOUT, _PASSWORD = "server name", "without database", "database password"
_LEAST_VERSION = 130000  # PostgreSQL 13
#: Connections that each server keeps open.
_CONNECTIONS = 3
#: Seconds between this machine's clock and the database's.
_DOUBTFUL = 2.0
#: Seconds after which a server that has given no sign of life is gone.
_ALIVE = 3
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_GUIDE = "docs/postgresql.md"
_AS_ADMINISTRATOR = "run there, as PostgreSQL's administrator: psql -d {} -c '{}'"
#: Whether there is a schema, this role may use it, it has tables, and the first can be read.
_ACCESS = (
    "select it.oid is not null, coalesce(has_schema_privilege(it.oid, 'USAGE'), false),"
    " exists (select from pg_class where relnamespace = it.oid),"
    " (select has_table_privilege(oid, 'SELECT') from pg_class"
    " where relnamespace = it.oid and relname = 'property')"
    " from (select (select oid from pg_namespace where nspname = 'mandos')) as it (oid)"
)


def check(
    settings: ServerSettings, user: ServerUser, clients: Sequence[ClientSettings] = ()
) -> Iterator[Finding]:
    """Connect as the server's user, and check that servers can share the database."""
    if not settings.state:
        return
    try:
        from mandos.server.state.postgresql import connection  # noqa: PLC0415 - optional
    except ImportError as error:
        mend = "run: apt install mandos-server-postgresql; or: pip install 'mandos[postgresql]'"
        yield failed(DATABASE, f"the library psycopg cannot be used: {error}", mend)
        return
    if connection.has_password(settings.state):
        yield from _password_in_file(settings)
    rows: list[tuple[str, str, str, str]] = as_user(user, lambda: _rows(settings, clients))
    for outcome, what, said, mend in rows:
        yield Finding(Outcome(outcome), what, said, mend)
    yield _without_database(settings)


def _password_in_file(settings: ServerSettings) -> Iterator[Finding]:
    path = settings.configdir / "mandos.conf"
    mend = f"keep the password in a file of its own (passfile=, see {_GUIDE}); at least run: "
    mend += f"chmod o-rwx {shlex.quote(str(path))}"
    if path.exists() and path.stat().st_mode & stat.S_IROTH:
        yield failed(_PASSWORD, f"everyone can read {path}, where state has a password", mend)
    else:
        yield warning(_PASSWORD, "the setting state has a password in it", mend)


def _rows(
    settings: ServerSettings, clients: Sequence[ClientSettings]
) -> list[tuple[str, str, str, str]]:
    """Return the findings as JSON values."""
    from mandos.server.state.postgresql import connection as room  # noqa: PLC0415 - optional

    try:
        with room.connect(settings.state, f"mandos --check {settings.server_name}") as connection:
            found = [it for part in _parts(connection, settings, clients) for it in _of_part(*part)]
    except room.Error as error:
        problem = room.explained(error, settings.state)
        found = [failed(DATABASE, str(problem), problem.hint or "")]
    return [(it.outcome.value, it.what, it.said, it.mend) for it in found]


def _parts(
    connection: Connection, settings: ServerSettings, clients: Sequence[ClientSettings]
) -> Iterator[tuple[str, Iterator[Finding], Connection, str]]:
    """Yield the parts of the check, each with its subject."""
    for what, found in (
        (DATABASE, _version(connection)),
        (_ENCRYPTION, _encryption(connection)),
        (_TABLES, _tables(connection, settings)),
        (_SECTIONS, _sections(connection, clients)),
        (_CLOCK, _clock(connection)),
        (_ROOM, _room(connection)),
        (_DISK, _disk(connection)),
        (_STANDBYS, _standbys(connection)),
    ):
        yield what, found, connection, settings.state


def _of_part(
    what: str, found: Iterator[Finding], connection: Connection, state: str
) -> Iterator[Finding]:
    """Yield the findings of a part; an error that ends it becomes one, if the connection lasts."""
    from mandos.server.state.postgresql import connection as room  # noqa: PLC0415 - optional

    try:
        yield from found
    except room.Error as error:
        if connection.broken:
            raise
        problem = room.explained(error, state)
        yield failed(what, str(problem), problem.hint or "")


def _row(connection: Connection, statement: str, *values: object) -> Any:  # noqa: ANN401
    return connection.execute(statement.encode(), values or None).fetchone()


def _version(connection: Connection) -> Iterator[Finding]:
    info = connection.info
    number = info.server_version
    said = f"PostgreSQL {number // 10000}.{number % 10000} at {info.host}:{info.port} can be"
    said += f" written to: database {info.dbname}, role {info.user}"
    if number >= _LEAST_VERSION:
        yield ok(DATABASE, said)
    else:
        yield failed(DATABASE, said, "upgrade it to PostgreSQL 13 or newer: pg_upgradecluster(1)")


def _encryption(connection: Connection) -> Iterator[Finding]:
    """Report whether a stranger in the network could stand between the database and us."""
    info = connection.info
    mode = info.get_parameters().get("sslmode")
    mend = f"set sslmode=verify-full and sslrootcert= in state; see {_GUIDE}"
    (gssapi,) = _row(
        connection, "select coalesce(bool_or(encrypted), false) from pg_stat_gssapi"
        " where pid = pg_backend_pid()"
    )  # fmt: skip
    if _is_local(info.host, info.hostaddr):
        yield ok(_ENCRYPTION, "it does not leave this machine")
    elif gssapi or mode == "verify-full":
        yield ok(_ENCRYPTION, f"it is encrypted, and {info.host} has proved its name")
    elif not connection.pgconn.ssl_in_use:
        said = f"the connection to {info.host} is not encrypted: any machine in between can change"
        yield warning(_ENCRYPTION, f"{said} which clients are enabled", mend)
    else:
        said = f"it is encrypted, but another machine could pretend to be {info.host}"
        yield warning(_ENCRYPTION, said, mend)


def _is_local(host: str, address: str) -> bool:
    if host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _tables(connection: Connection, settings: ServerSettings) -> Iterator[Finding]:
    from mandos.server.state.postgresql import schema  # noqa: PLC0415 - optional

    (schema_is_there, usable, tables, readable) = _row(connection, _ACCESS)
    if schema_is_there and not usable and tables:
        yield _closed_schema(connection)
        return
    if readable is False:
        yield from _rights(connection)
        return
    if not tables:
        yield _can_be_made(connection, in_schema=schema_is_there)
        return
    found = schema.found(connection)
    try:
        schema.check(found)
    except MandosError as error:
        yield failed(_TABLES, str(error), error.hint or "")
        return
    yield from _rights(connection)
    if found.version < schema.SCHEMA_VERSION:
        yield _can_be_upgraded(connection, found.version, schema.SCHEMA_VERSION)
    elif found.version > schema.SCHEMA_VERSION:
        said = f"they are those of a newer version of mandos (schema {found.version}), which this"
        yield warning(_TABLES, f"{said} one can use", "upgrade this server, too")
    else:
        yield ok(_TABLES, f"they are mandos's own (schema {found.version})")
    yield from _other_server(connection, settings.server_name)


def _closed_schema(connection: Connection) -> Finding:
    name, user = connection.info.dbname, connection.info.user
    statement = f'grant usage on schema mandos to "{user}"'
    mend = _AS_ADMINISTRATOR.format(shlex.quote(name), statement)
    return failed(_RIGHTS, f"the role {user} may not use the schema mandos", mend)


def _can_be_made(connection: Connection, *, in_schema: bool) -> Finding:
    name, user = connection.info.dbname, connection.info.user
    right = (
        "has_schema_privilege('mandos', 'CREATE') and has_schema_privilege('mandos', 'USAGE')"
        if in_schema
        else "has_database_privilege(current_database(), 'CREATE')"
    )
    (may,) = _row(connection, f"select {right}")
    if may:
        return ok(_TABLES, "there are none yet; the server makes them when it starts")
    said = f"there are none yet, and the role {user} may not make them"
    statement = f'create schema mandos authorization "{user}"'
    if in_schema:
        statement = f'alter schema mandos owner to "{user}"'
    return failed(_TABLES, said, _AS_ADMINISTRATOR.format(shlex.quote(name), statement))


def _can_be_upgraded(connection: Connection, version: int, newest: int) -> Finding:
    """Report whether this role may change the tables, which their owner alone may."""
    (owner, may) = _row(
        connection,
        "select pg_get_userbyid(nspowner), pg_has_role(nspowner, 'USAGE') from pg_namespace"
        " where nspname = 'mandos'",
    )
    said = f"they are those of an older version of mandos (schema {version}, this one has {newest})"
    if may:
        return ok(_TABLES, f"{said}; the server upgrades them when it starts")
    mend = f"start one server of this version whose state has the role {owner}, their owner"
    return failed(
        _TABLES, f"{said}, and the role {connection.info.user} may not upgrade them", mend
    )


def _rights(connection: Connection) -> Iterator[Finding]:
    """Report rights that the role lacks; property is only read."""
    rows = connection.execute(
        "select relname, array(select it from"
        " unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as it"
        " where not has_table_privilege(oid, it) and (it = 'SELECT' or relname <> 'property'))"
        " from pg_class where relnamespace = to_regnamespace('mandos') and relkind in ('r', 'p')"
        " order by relname"
    ).fetchall()
    lacking = [f"{', '.join(rights).lower()} on {table}" for table, rights in rows if rights]
    name, user = connection.info.dbname, connection.info.user
    if not lacking:
        yield ok(_RIGHTS, f"the role {user} may read and write the tables")
        return
    statement = f'grant select, insert, update, delete on all tables in schema mandos to "{user}"'
    mend = _AS_ADMINISTRATOR.format(shlex.quote(name), statement)
    yield failed(_RIGHTS, f"the role {user} lacks the right to {'; '.join(lacking)}", mend)


def _other_server(connection: Connection, name: str) -> Iterator[Finding]:
    """Report another machine that uses this server's name just now."""
    row = _row(
        connection,
        "select boot from mandos.server"
        " where name = %s and beat > mandos.now() - make_interval(secs => %s)",
        name, _ALIVE,
    )  # fmt: skip
    with open(_BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 - no module for the user to load
        own = file.read().strip()
    if row is not None and row[0].strip() != own:
        said = f"another machine runs a server of the name {name} with this database"
        yield failed(_NAME, said, "give each server its own name: server_name in mandos.conf")


def _sections(connection: Connection, clients: Sequence[ClientSettings]) -> Iterator[Finding]:
    """Report sections of this server that differ from the settings in force, and shared keys."""
    from mandos.server.state.postgresql import schema, store  # noqa: PLC0415 - optional

    (_schema, usable, tables, readable) = _row(connection, _ACCESS)
    if not (usable and tables and readable) or not schema.found(connection).version:
        return
    in_force = store.settings_in_force(connection)
    pairs = ((one, in_force[one.name]) for one in clients if one.name in in_force)
    found = [warning(_SECTIONS, line, MEND_DIFFERENCE) for line in differing(pairs)]
    lines = doubled(in_force.values())
    found += [warning(_SECTIONS, line, MEND_KEY) for line in lines]
    yield from found
    if not found:
        yield ok(_SECTIONS, f"they agree with the {len(in_force)} clients of all servers")


def _clock(connection: Connection) -> Iterator[Finding]:
    before = time.time()
    (there,) = _row(connection, "select extract(epoch from clock_timestamp())::float8")
    after = time.time()
    slow = max(before - there, there - after, 0.0)
    direction = "ahead of" if before > there else "behind"
    if slow < _DOUBTFUL:
        yield ok(_CLOCK, f"it differs from this machine's by {slow:.1f} s")
        return
    said = f"this machine's clock is {slow:.1f} s {direction} the database's, which counts"
    yield warning(_CLOCK, said, "see on both machines: timedatectl; and let NTP set both clocks")


def _room(connection: Connection) -> Iterator[Finding]:
    """Report the connections that are left, of the server, the database and the role."""
    (limits,) = _row(
        connection,
        "select array["
        "current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true), '0')::int"
        " - (select sum(numbackends) from pg_stat_database)::int,"
        "(select nullif(datconnlimit, -1) - numbackends from pg_database join pg_stat_database"
        " on datid = pg_database.oid where pg_database.datname = current_database()),"
        "(select nullif(rolconnlimit, -1) - (select count(*)::int from pg_stat_activity"
        " where usename = current_user) from pg_roles where rolname = current_user)]",
    )
    left = min(it for it in limits if it is not None) + 1  # ours ends
    said = f"{left} are left, and each server needs {_CONNECTIONS}"
    if left >= _CONNECTIONS:
        yield ok(_ROOM, said)
        return
    mend = "raise max_connections in postgresql.conf, or the limit of the role or the database"
    yield warning(_ROOM, f"{said} (a server that runs has its own already)", mend)


def _disk(connection: Connection) -> Iterator[Finding]:
    """Report settings with which an acknowledged change can be lost by a loss of power."""
    off = [
        name
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if _row(connection, "select current_setting(%s)", name)[0] in ("off", "local")
    ]
    if not off:
        yield ok(_DISK, "a change is on disk before it is acknowledged")
        return
    said = f"with {' and '.join(off)} turned off a loss of power can undo acknowledged changes"
    mend = f"set {' and '.join(f'{name} = on' for name in off)} in postgresql.conf, and restart it"
    yield failed(_DISK, f"{said}: a client that was disabled can be enabled again", mend)


def _standbys(connection: Connection) -> Iterator[Finding]:
    """Report whether a standby has each change before it is acknowledged."""
    (number, known, synchronous, names) = _row(
        connection,
        "select count(*), count(sync_state), count(*) filter (where sync_state in"
        " ('sync', 'quorum')), current_setting('synchronous_standby_names')"
        " from pg_stat_replication",
    )
    if names:
        yield _synchronous(connection, names, number, known, synchronous)
    elif number:
        said = (
            f"all ({number}) are asynchronous: when the primary is lost and one promoted, the last"
            " acknowledged changes may be missing: a disabled client may be enabled again"
        )
        mend = (
            "set synchronous_standby_names = 'ANY 1 (*)' in postgresql.conf of the primary, then"
            f" run: psql -c 'select pg_reload_conf()'; see {_GUIDE}"
        )
        yield warning(_STANDBYS, said, mend)
    else:
        said = "there are none: after a loss of its disk, the last backup is all that is left"
        yield ok(_STANDBYS, said)


def _synchronous(
    connection: Connection, names: str, number: int, known: int, synchronous: int
) -> Finding:
    """Report whether a standby that the primary waits for is there."""
    if synchronous:
        return ok(
            _STANDBYS, f"{synchronous} of {number} have each change before it is acknowledged"
        )
    if number and not known:
        said = f"the role {connection.info.user} may not see whether a standby is synchronous"
        statement = f'grant pg_monitor to "{connection.info.user}"'
        return not_checked(_STANDBYS, said, _AS_ADMINISTRATOR.format("postgres", statement))
    said = f"no standby of synchronous_standby_names ({names}) is connected: every change waits"
    return failed(_STANDBYS, said, f"start one, or shorten synchronous_standby_names; see {_GUIDE}")


def _without_database(settings: ServerSettings) -> Finding:
    """State how far the promise holds that a disabled client gets nothing."""
    lost, boot = settings.without_database, settings.without_database_at_boot
    if not lost and not boot:
        said = "without the database this server gives no secrets"
        return ok(_WITHOUT, f"{said} (without_database, without_database_at_boot)")
    times = [
        f"{format_duration(time)} {when}"
        for time, when in ((lost, "after it has lost the database"),
                           (boot, "after its last contact, when the machine was booted since"))
        if time
    ]  # fmt: skip
    said = f"this server gives secrets from its own copy for {', and for '.join(times)}"
    return ok(_WITHOUT, f"{said}: also to clients that were disabled elsewhere meanwhile")
