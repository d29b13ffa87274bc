# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SQL statements about clients; each takes many rows, as arrays.  Pure."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.state import life_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_Row = TypeVar("_Row")

#: Rows that one statement takes at most.
_MOST_ROWS = 5000

_TYPES = {datetime: "timestamptz", bool: "boolean", int: "integer", Why: "text"}
#: The columns of a life, and their types in SQL.
COLUMNS = {name: _TYPES[kind] for name, kind in life_rows.TYPES.items()}
_values = attrgetter(*COLUMNS)
_NAMES = ", ".join(COLUMNS)
_ARRAYS = ", ".join(f"%s::{kind}[]" for kind in COLUMNS.values())
_NEW = ", ".join(f"new.{name}" for name in COLUMNS)

#: A client is served if an administrator added it, or if its section is in some server's files.
_PRESENT = """(client.origin = 'added' OR EXISTS (
    SELECT FROM mandos.section WHERE section.name = client.name AND section.absent IS NULL
))"""
_LEAST = "(SELECT value FROM mandos.property WHERE name = 'least')"

#: Own names of columns only, here and below: no value of anybody gets into a statement.
NOW = "SELECT mandos.now()"
#: The first statement of a write: it keeps other versions of the program from changing the tables.
BEGIN = f"SELECT {_LEAST}, mandos.now()"
#: The time, and whether others are about to correct it: another server has given a sign of life
#: that is later by some seconds, or has just proposed a correction.
NOW_AND_AHEAD = """
SELECT mandos.now(), EXISTS (
    SELECT FROM mandos.server
    WHERE name <> %s AND (beat > mandos.now() + make_interval(secs => %s)
        OR jump <> 0 AND beat > mandos.now() - interval '3 s')
)
"""
READ = f"""
SELECT {_LEAST}, client.name, client.settings, client.secret, client.origin, {_PRESENT},
    client.version, verdict, verdict_until, life.version,
    {", ".join(f"life.{name}" for name in COLUMNS)}
FROM mandos.client LEFT JOIN mandos.life USING (name)
"""  # noqa: S608
IN_FORCE = "SELECT name, settings, secret FROM mandos.client WHERE origin <> 'removed'"
LEFT = "SELECT 1 FROM mandos.moved WHERE server = %s AND away"
VERSIONS = (
    "SELECT client.name, client.version, life.version"
    " FROM mandos.client LEFT JOIN mandos.life USING (name)"
)
WAITING = (
    "SELECT DISTINCT client FROM mandos.waiting WHERE server = ANY(%s) AND until > mandos.now()"
)
SECTIONS = "SELECT name, server, settings, secret, absent FROM mandos.section"
SECTIONS_OF = f"{SECTIONS} WHERE name = ANY(%s)"
PRESENT = f"SELECT name FROM mandos.client WHERE name = ANY(%s) AND {_PRESENT}"  # noqa: S608
#: Every server hears of the clients, although nothing in their rows has changed.
RAISE = "UPDATE mandos.client SET version = version WHERE name = ANY(%s) RETURNING name, version"
KNOWN = "SELECT name FROM mandos.client WHERE name = ANY(%s)"
#: One server at a time adds clients: a row that does not exist yet cannot be locked.
LOCK_ADDING = "SELECT pg_advisory_xact_lock(x'6d616e6461646473'::bigint)"
LOCK_CLIENTS = (
    "SELECT name, settings, secret, origin, version FROM mandos.client WHERE name = ANY(%s)"
    " ORDER BY name FOR UPDATE"
)
LOCK_LIVES = (
    f"SELECT name, version, {_NAMES} FROM mandos.life WHERE name = ANY(%s)"  # noqa: S608
    " ORDER BY name FOR UPDATE"
)
PUT_LIVES = f"""
INSERT INTO mandos.life AS old (name, {_NAMES})
SELECT * FROM unnest(%s::text[], {_ARRAYS}) AS new (name, {_NAMES}) ORDER BY name
ON CONFLICT (name) DO UPDATE SET ({_NAMES}) = ROW({_NEW.replace("new.", "excluded.")})
RETURNING name, version
"""  # noqa: S608
PUT_CLIENTS = """
INSERT INTO mandos.client (name, settings, secret, key_id, origin)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[])
ON CONFLICT (name) DO UPDATE SET (settings, secret, key_id, origin)
    = ROW(excluded.settings, excluded.secret, excluded.key_id, excluded.origin)
RETURNING name, version
"""
PUT_SECTIONS = """
INSERT INTO mandos.section (server, name, settings, secret, absent)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::timestamptz[])
ON CONFLICT (name, server) DO UPDATE SET (settings, secret, absent)
    = ROW(excluded.settings, excluded.secret, excluded.absent)
"""
MARK_ABSENT = """
UPDATE mandos.section SET absent = mandos.now()
WHERE server = %s AND name = ANY(%s) AND absent IS NULL
"""
DROP_SECTIONS = "DELETE FROM mandos.section WHERE server = %s AND name = ANY(%s)"
#: Of these names: those in a server's files, and those in none that no administrator has added.
IN_FILES = "SELECT DISTINCT name FROM mandos.section WHERE name = ANY(%s)"
UNUSED = """
SELECT name FROM mandos.client WHERE name = ANY(%s) AND origin <> 'added'
    AND NOT EXISTS (SELECT FROM mandos.section WHERE section.name = client.name)
"""
FORGET = (
    "DELETE FROM mandos.waiting WHERE client = ANY(%s)",
    "DELETE FROM mandos.section WHERE name = ANY(%s)",
    "DELETE FROM mandos.life WHERE name = ANY(%s)",
    "DELETE FROM mandos.client WHERE name = ANY(%s)",
)
#: Removed by an administrator: the client stays as a mark for the servers whose files have it.
REMOVE = (
    "DELETE FROM mandos.waiting WHERE client = ANY(%s)",
    "DELETE FROM mandos.life WHERE name = ANY(%s)",
    "UPDATE mandos.client SET origin = 'removed' WHERE name = ANY(%s)",
)
#: The decision to give.  ``asked`` are names, the versions of the settings with the secrets, and
#: the times by the server's clock: a jump of the database's clock ends no denial.  A key that is
#: disabled under one name gets nothing under another one either.
GIVE = f"""
UPDATE mandos.life SET granted = mandos.now()
FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[]) AS asked (name, version, at),
    mandos.client
WHERE life.name = asked.name AND client.name = asked.name
    AND client.version = asked.version AND client.origin <> 'removed' AND {_PRESENT}
    AND life.enabled AND life.expires > mandos.now()
    AND NOT (verdict IS FALSE AND verdict_until > least(mandos.now(), asked.at))
    AND NOT EXISTS (
        SELECT FROM mandos.client AS other JOIN mandos.life AS past USING (name)
        WHERE other.key_id = client.key_id AND other.name <> client.name AND NOT past.enabled
    )
RETURNING life.name
"""  # noqa: S608
#: An approval that a server was given ``alone`` lifts no denial of the others.
PUT_VERDICTS = """
UPDATE mandos.life SET (verdict, verdict_until) = ROW(new.verdict, new.until)
FROM unnest(%s::text[], %s::boolean[], %s::timestamptz[], %s::boolean[])
    AS new (name, verdict, until, alone)
WHERE life.name = new.name AND life.enabled AND NOT (
    new.alone AND new.verdict
    AND life.verdict IS FALSE AND life.verdict_until > mandos.now()
)
"""
DROP_VERDICTS = """
UPDATE mandos.life SET (verdict, verdict_until) = ROW(NULL::boolean, NULL::timestamptz)
WHERE name = ANY(%s) AND verdict IS NOT NULL
"""
PUT_WAITING = """
INSERT INTO mandos.waiting (client, server, until)
SELECT name, %s, until FROM unnest(%s::text[], %s::timestamptz[]) AS new (name, until)
ON CONFLICT (client, server) DO UPDATE SET until = excluded.until
"""
#: What an earlier run of the server, which was killed, has left.
DROP_OLD_WAITING = "DELETE FROM mandos.waiting WHERE server = %s AND client <> ALL(%s)"
DROP_WAITING = "DELETE FROM mandos.waiting WHERE server = %s AND client = ANY(%s)"


def life_arrays(lives: Iterable[tuple[str, Life]]) -> list[str]:
    """The parameters of PUT_LIVES: an array for the names, and one for each column."""
    return columns([(name, *_values(life)) for name, life in lives])


def parts(rows: Sequence[_Row], most: int = _MOST_ROWS) -> Iterator[list[_Row]]:
    """The rows in parts, so that no statement takes longer than statements may."""
    for start in range(0, len(rows), most):
        yield list(rows[start : start + most])


def columns(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """The columns of rows as arrays in PostgreSQL's own notation.

    The library writes lists, too, but takes several times as long.  See PostgreSQL's manual,
    "Array Value Input".
    """
    return [_array(column) for column in zip(*rows, strict=True)]


def _array(values: Iterable[object]) -> str:
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case bytes():
            return f'"\\\\x{value.hex()}"'
        case datetime():
            return f'"{value.isoformat()}"'
        case _:
            text = str(value).replace("\\", "\\\\").replace('"', '\\"')
            return f'"{text}"'


def life_of(values: Sequence[Any]) -> Life:
    """The life in a row of ``COLUMNS``; raises ValueError or TypeError for a damaged one."""
    named = dict(zip(COLUMNS, values, strict=True))
    if named["created"] is None:
        raise ValueError("it has no row in mandos.life")
    why = named["disabled_why"]
    named["disabled_why"] = None if why is None else Why(why)
    return Life(**named)
