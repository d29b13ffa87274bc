# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables in PostgreSQL, in a schema of their own, and the way from older ones to them.

Servers of two versions can share a database during an upgrade: a new version may only add columns
with defaults and tables, as long as ``least`` stays.  A step that old servers cannot live with
raises ``least``: an old server then refuses to start, and a running one stops using the database.

The tables are the interface between servers, so triggers keep its rules, also for changes by hand:
each update of a client raises its row's version, and every listening server hears its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import errors

from mandos.errors import AdministratorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

SCHEMA = "mandos"
#: The channel on which servers hear of changes: the payload has a kind and names of clients.
CHANNEL = "mandos"
#: The number of the advisory lock under which the tables are made and changed: ASCII "mandos".
_LOCK = 0x6D616E646F73


class Step(NamedTuple):
    """A step to the next version; ``least`` is the oldest version whose servers can go on."""

    script: str
    least: int


_FIRST = """
CREATE TABLE mandos.property (
    name text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO mandos.property VALUES ('program', 'mandos');
CREATE DOMAIN mandos.moment AS timestamptz
    CHECK (VALUE >= '1970-01-01 00:00+00' AND VALUE < '9000-01-01 00:00+00');
CREATE TABLE mandos.clock (
    -- Added to the database's own time, so that a jump of that is none of the clients' time.
    correction interval NOT NULL
);
INSERT INTO mandos.clock VALUES ('0');
-- Versions of rows rise for ever: a client that is removed and added anew has none of its old ones.
CREATE SEQUENCE mandos.version;
CREATE FUNCTION mandos.now() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT clock_timestamp() + correction FROM mandos.clock $$;

CREATE TABLE mandos.server (
    name text PRIMARY KEY,            -- a row for each server that was ever here
    boot text NOT NULL,               -- the boot of its machine: boot_id of proc_sys_kernel(5)
    run text NOT NULL,                -- a number of this run of the server
    started mandos.moment NOT NULL,
    beat mandos.moment NOT NULL,        -- its last sign of life
    checks boolean NOT NULL,          -- whether it can check clients: it has a link
    jump double precision NOT NULL DEFAULT 0, -- seconds by which it saw the time jump
    version text NOT NULL,
    schema integer NOT NULL DEFAULT 1 -- the newest version of these tables that it knows
);
CREATE TABLE mandos.client (
    name text PRIMARY KEY,
    settings text NOT NULL,           -- in force, as JSON
    secret bytea NOT NULL,
    origin text NOT NULL,             -- file, added or removed (by an administrator)
    key_id text NOT NULL,             -- also in the settings
    version bigint NOT NULL
);
CREATE INDEX client_by_key ON mandos.client (key_id);
CREATE TABLE mandos.section (         -- each server's files
    server text NOT NULL,
    name text NOT NULL,
    settings text NOT NULL,
    secret bytea NOT NULL,
    absent mandos.moment,             -- since when the section is missing there
    PRIMARY KEY (name, server)
);
CREATE TABLE mandos.life (
    name text PRIMARY KEY,
    created mandos.moment NOT NULL,
    enabled boolean NOT NULL,
    last_enabled mandos.moment,
    expires mandos.moment,
    last_checked_ok mandos.moment,
    last_checker_status integer NOT NULL,
    last_approval_request mandos.moment,
    disabled_at mandos.moment,
    disabled_why text,
    last_secret_sent mandos.moment,
    last_rehearsed mandos.moment,
    granted mandos.moment,              -- when a server last decided to give the secret
    verdict boolean,                  -- of an administrator, about requests
    verdict_until mandos.moment,
    version bigint NOT NULL,
    CHECK (NOT enabled OR expires IS NOT NULL)
);
CREATE TABLE mandos.waiting (         -- requests that wait for approval
    client text NOT NULL,
    server text NOT NULL,
    until mandos.moment NOT NULL,
    PRIMARY KEY (client, server)
);
CREATE TABLE mandos.moved (           -- states of servers that --move-state has moved
    server text PRIMARY KEY,
    fingerprint text NOT NULL,        -- of the state that was moved in
    away boolean NOT NULL             -- moved out again: the server must not use the database
);
CREATE TABLE mandos.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server text NOT NULL,
    kind text NOT NULL,
    provoked integer NOT NULL,        -- by 0 administrators, 1 anybody, 2 the key's holder
    client text NOT NULL,
    key_id text NOT NULL,
    address text NOT NULL,
    interface text NOT NULL,
    detail text NOT NULL,
    by_whom text NOT NULL,
    first mandos.moment NOT NULL,
    last mandos.moment NOT NULL,
    times bigint NOT NULL
);
CREATE INDEX audit_of_client ON mandos.audit (client, id);
CREATE INDEX audit_provoked ON mandos.audit (provoked, id);

-- With the owner's rights, so that servers need no right to the sequence.
CREATE FUNCTION mandos.raise_version() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    NEW.version := nextval('mandos.version');
    RETURN NEW;
END $$;
CREATE TRIGGER raise_version BEFORE INSERT OR UPDATE ON mandos.client
    FOR EACH ROW EXECUTE FUNCTION mandos.raise_version();
CREATE TRIGGER raise_version BEFORE INSERT OR UPDATE ON mandos.life
    FOR EACH ROW EXECUTE FUNCTION mandos.raise_version();

-- A payload has less than 8000 bytes (NOTIFY); an empty list of names means: compare all.
CREATE FUNCTION mandos.tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    FOR names IN
        SELECT string_agg(name, E'\\n') FROM (
            SELECT name, row_number() OVER () / 32 AS part FROM changed
        ) AS numbered GROUP BY part
    LOOP
        PERFORM pg_notify('mandos', E'client\\n' || CASE
            WHEN octet_length(names) < 7900 THEN names ELSE '' END);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_update AFTER UPDATE ON mandos.life
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mandos.tell();
CREATE TRIGGER tell_insert AFTER INSERT ON mandos.life
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mandos.tell();
CREATE TRIGGER tell_delete AFTER DELETE ON mandos.life
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mandos.tell();
CREATE TRIGGER tell_update AFTER UPDATE ON mandos.client
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mandos.tell();
CREATE TRIGGER tell_insert AFTER INSERT ON mandos.client
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mandos.tell();
CREATE TRIGGER tell_delete AFTER DELETE ON mandos.client
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mandos.tell();

CREATE FUNCTION mandos.tell_waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mandos', 'waiting');
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON mandos.waiting
    FOR EACH STATEMENT EXECUTE FUNCTION mandos.tell_waiting();
CREATE FUNCTION mandos.tell_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mandos', 'audit');
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT ON mandos.audit
    FOR EACH STATEMENT EXECUTE FUNCTION mandos.tell_audit();
"""

#: The steps from each version of the schema to the next; a database without ours begins at 0.
STEPS: Sequence[Step] = (Step(_FIRST, least=1),)
#: The newest schema that this program knows.
SCHEMA_VERSION = len(STEPS)

_EXISTS = (
    "SELECT to_regnamespace('mandos') IS NOT NULL,"
    " EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('mandos')),"
    " to_regclass('mandos.property') IS NOT NULL"
)
_PROPERTIES = "SELECT name, value FROM mandos.property WHERE name IN ('program', 'schema', 'least')"
#: A server has died when it gave no sign of life for so long (it gives one each second).
_LIVING = """
SELECT name FROM mandos.server
WHERE beat > mandos.now() - interval '5 s' AND schema < %s ORDER BY name
"""
_PUT = (
    "INSERT INTO mandos.property VALUES (%s, %s)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


class Found(NamedTuple):
    """The tables in a database: whether there are any, whether they are ours, and their versions.

    ``schema``: the schema is there, maybe empty.  ``version`` is the version of our tables,
    ``least`` the oldest whose servers can use them.
    """

    schema: bool = False
    tables: bool = False
    ours: bool = False
    version: int = 0
    least: int = 0


def found(connection: Connection[Any]) -> Found:
    """Look at the tables, and change nothing; raises psycopg.Error."""
    schema, tables, properties = connection.execute(_EXISTS).fetchone() or (False, False, False)
    if not properties:
        return Found(schema, tables)
    try:
        values = dict(connection.execute(_PROPERTIES).fetchall())
        version, least = int(values["schema"]), int(values["least"])
        return Found(schema, tables, values["program"] == "mandos", version, least)
    except (errors.UndefinedColumn, KeyError, ValueError):
        return Found(schema, tables)


def prepare(connection: Connection[Any]) -> None:
    """Make the tables, or bring them to the newest version; each step whole or not at all.

    Several servers may call it at the same time.  Raises AdministratorError when the database
    cannot be used by this version of the program, psycopg.Error when the server fails.
    """
    if check(found(connection)).version >= SCHEMA_VERSION:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        here = check(found(connection))
        if not here.schema:
            connection.execute("CREATE SCHEMA mandos")
        if here.version and STEPS[-1].least > here.version:
            # Writes that have begun are ended first, and later ones see the new version.
            connection.execute("LOCK TABLE mandos.property IN ACCESS EXCLUSIVE MODE")
            _refuse_while_used(connection, STEPS[-1].least)
        for number, step in enumerate(STEPS[here.version :], start=here.version + 1):
            connection.execute(step.script.encode())
            connection.execute(_PUT, ("schema", str(number)))
            connection.execute(_PUT, ("least", str(step.least)))


def _refuse_while_used(connection: Connection[Any], least: int) -> None:
    """Raise AdministratorError while a server lives that could not go on after the upgrade."""
    names = [name for (name,) in connection.execute(_LIVING, (least,))]
    if names:
        raise AdministratorError(
            "this version of the program changes the database so that servers of the older version"
            f" cannot use it, and they run: {', '.join(names)}",
            "they go on until you stop them (systemctl stop mandos on each); then start this one,"
            " and upgrade and start the others",
        )


def check_least(least: int) -> None:
    """Raise AdministratorError if programs of this version can no longer use the tables."""
    if least > SCHEMA_VERSION:
        raise AdministratorError(
            f"the database was upgraded for a newer version of this program (for those that know"
            f" schema {least}; this one knows {SCHEMA_VERSION})",
            "upgrade this server; those of the newer version go on meanwhile",
        )


def check(here: Found) -> Found:
    """Return the argument if this version of the program can use the tables, or make them.

    Raises AdministratorError.
    """
    if here.tables and not here.ours:
        raise AdministratorError(
            "the database has a schema mandos with other tables",
            "give the servers a database of their own: createdb --owner=mandos mandos",
        )
    check_least(here.least)
    return here
