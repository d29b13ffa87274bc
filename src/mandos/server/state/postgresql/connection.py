# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connects to the database of the setting ``state``, with limits on how long anything takes.

libpq itself merges the setting with service files and the environment, as for every other program:
PostgreSQL's manual, "Database Connection Control Functions".
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from mandos.errors import AdministratorError, MachineError
from mandos.server.state.postgresql.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: A connection to the database: rows are tuples.
Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
#: All errors that the functions of a connection raise.
Error = psycopg.Error
#: Addresses of one host that are tried.
_ADDRESSES = 8
#: Seconds for each address, unless the administrator sets another number up to the second one.
_CONNECT_SECONDS, _LONGEST_WAIT = 3, 60
#: An acknowledgement of TCP that is missing for 4 s, also of a probe on an idle line, ends the
#: connection: tcp(7), TCP_USER_TIMEOUT and TCP_KEEPIDLE.
_NETWORK = {
    "keepalives": "1",
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "2",
    "tcp_user_timeout": "4000",
}
#: Limits of PostgreSQL that the administrator's ``options`` may change.  The last one keeps a
#: server that is paused in the middle of a transaction from locking rows for the others.
_TIMEOUTS = "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=5s"
#: Settings that the statements, or their promises, depend on.
_FIXED = (
    "-c synchronous_commit=on -c search_path=pg_catalog,pg_temp -c TimeZone=UTC -c DateStyle=ISO"
    " -c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed"
)
#: A value that libpq refuses after it has merged all settings, and before it uses the network.
_IMPOSSIBLE = "none-such"
_NO_FILE = "/nonexistent/postgresql.crt"
#: Characters of the database's own words that a message quotes.
_SHOWN = 400
#: Characters of a password that is searched for in those words; shorter ones are part of much.
_LEAST_PASSWORD = 4
#: Beginnings of lines in which libpq guesses at the cause.
_GUESSES = ("Is the server running", "This probably means", "before or while processing")
#: Beginnings of psycopg's and libpq's messages, which repeat the place.
_REPEATED = re.compile(
    r"connection (?:failed|is bad): |connection to server (?:at|on socket) \"[^\"]*\""
    r"(?: \([^)]*\))?(?:, port \d+)? failed: "
)


class Place(NamedTuple):
    """One server of PostgreSQL to try, in libpq's words; empty words are left to libpq."""

    host: str = ""
    hostaddr: str = ""
    port: str = ""

    @property
    def name(self) -> str:
        """The place as people write it."""
        return _written(self.host or self.hostaddr or "the local socket", self.port)


def _written(host: str, port: str) -> str:
    """Write a host and a port as in a URI."""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def connect(conninfo: str, application: str) -> Connection:
    """Connect to the first host of ``conninfo`` that can be written to; each statement commits.

    Each address has 3 s.  A partition ends the connection within 5 s, as far as TCP can see it;
    PostgreSQL ends a statement after 10 s, a wait for a lock after 5 s, and a transaction that is
    idle for 5 s.  The administrator's own values of these limits win.  Raises ``Error``, for
    ``explained``.

    Two waits have no limit here: for a host that answers TCP while its PostgreSQL is paused, and
    for a synchronous standby, which a commit awaits outside of ``statement_timeout``.  To cancel
    such a commit is no way out: PostgreSQL then calls it successful, with a warning.
    """
    merged = merged_settings(conninfo)
    settings = _settings(merged, application)
    problems: list[Error] = []
    places = list(_places(merged))
    for place in places:
        try:
            whole = make_conninfo(conninfo, **settings, **_given(place))
            return psycopg.connect(whole, autocommit=True)
        except psycopg.OperationalError as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    lines = [f"{place.name}: {_raw(error)}" for place, error in zip(places, problems, strict=True)]
    raise psycopg.OperationalError("\n".join(lines))


def merged_settings(conninfo: str) -> dict[str, str]:
    """Return libpq's settings for a connection string, with service file, environment and defaults.

    Raises ``Error`` when the string is malformed.
    """
    conninfo_to_dict(conninfo)
    probe = pq.PGconn.connect_start(make_conninfo(conninfo, sslmode=_IMPOSSIBLE).encode())
    try:
        options = probe.info
    finally:
        probe.finish()
    found = {it.keyword.decode(): it.val.decode() for it in options if it.val}
    return {key: value for key, value in found.items() if value != _IMPOSSIBLE}


def has_password(conninfo: str) -> bool:
    """Return whether a connection string has a password in it; not if it is malformed."""
    try:
        return bool(conninfo_to_dict(conninfo).get("password"))
    except Error:
        return False


def _settings(merged: Mapping[str, str], application: str) -> dict[str, str]:
    """Return the settings that a connection has beside the administrator's, or in their stead."""
    network = {key: value for key, value in _NETWORK.items() if key not in merged}
    return {
        **network,
        **_client_certificate(merged),
        "connect_timeout": str(_connect_timeout(merged.get("connect_timeout", ""))),
        "target_session_attrs": "read-write",
        "client_encoding": "UTF8",
        "application_name": application,
        "options": " ".join(filter(None, (_TIMEOUTS, merged.get("options"), _FIXED))),
    }


def _client_certificate(merged: Mapping[str, str]) -> dict[str, str]:
    """Keep libpq from the home directory of root, where it takes a refusal for a fault.

    A server that root has started has root's ``HOME`` after it has become another user.
    """
    if "sslcert" in merged or not os.environ.get("HOME"):
        return {}
    try:
        Path(os.environ["HOME"], ".postgresql/postgresql.crt").stat()
    except PermissionError:
        return {"sslcert": _NO_FILE}
    except OSError:
        pass
    return {}


def _connect_timeout(text: str) -> int:
    """Return the administrator's number of seconds, unless it is none or would be without end."""
    try:
        seconds = int(text)
    except ValueError:
        return _CONNECT_SECONDS
    return seconds if 0 < seconds <= _LONGEST_WAIT else _CONNECT_SECONDS


def _given(place: Place) -> dict[str, str]:
    return {key: value for key, value in place._asdict().items() if value}


def _places(merged: Mapping[str, str]) -> Iterator[Place]:
    """Yield each address of each host.

    psycopg before 3.1.13 gives one ``connect_timeout`` to all of them together: a host that is
    switched off would hide those after it.
    """
    hosts = merged.get("host", "").split(",")
    addresses = merged.get("hostaddr", "").split(",")
    count = len(addresses) if addresses != [""] else len(hosts)
    ports = _repeated(merged.get("port", "").split(","), count)
    rows = (_repeated(hosts, count), _repeated(addresses, count), ports)
    if any(len(row) != count for row in rows):
        yield Place()  # libpq reports that the numbers differ
        return
    for host, address, port in zip(*rows, strict=True):
        for found in [address] if address else _resolved(host):
            yield Place(host, found, port)


def _repeated(values: Sequence[str], count: int) -> Sequence[str]:
    return [*values] * count if len(values) == 1 else values


def _resolved(host: str) -> list[str]:
    """Return the addresses of a host; one empty address where libpq needs none, or reports that."""
    if not host or host.startswith(("/", "@")):
        return [""]
    try:
        # As bytes: for text Python loads a codec, from files that the user may be unable to read.
        found = socket.getaddrinfo(host.encode(), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [""]
    return [str(address[0]) for *_kind, address in found[:_ADDRESSES]]


def explained(error: Exception, conninfo: str) -> AdministratorError | MachineError:
    """Turn an error of the database into ours: the place, the cause, the cure, never a password.

    AdministratorError when a setting is wrong, here or there; MachineError otherwise.
    """
    try:
        merged = merged_settings(conninfo)
    except Error as malformed:
        return _malformed(malformed)
    if _has_misplaced_password(merged):
        return _malformed("it has a special character at a wrong place; it is not shown")
    text = _words(error)
    problem = problem_of(getattr(error, "sqlstate", None), text)
    names = {key: shlex.quote(value) for key, value in _names(merged).items()}
    mend = problem.mend.format_map(names)
    if "password file" in mend or "passfile=" in mend:
        mend = _about_password_file(merged) or mend
    kind = AdministratorError if problem.setting else MachineError
    shown = _without(merged.get("password", ""), text)[:_SHOWN]
    return kind(f"{_place(merged)}: {problem.said} ({shown})", mend)


def _has_misplaced_password(merged: Mapping[str, str]) -> bool:
    """Return whether a part of a password may have become a host, a port or a database.

    So it is in postgresql://user:pass/word@host/database, and in user:p@ssword@host.
    """
    hosts, ports = merged.get("host", ""), merged.get("port", "")
    paths = hosts.startswith(("/", "@"))
    return (
        ("@" in hosts and not paths)
        or "@" in merged.get("dbname", "")
        or not set(ports) <= set("0123456789,")
    )


def _malformed(error: object) -> AdministratorError:
    """Explain a setting that libpq cannot read; its quotations may be parts of a password."""
    said = re.sub(r'"[^"]*"', '"..."', str(error).strip())
    return AdministratorError(
        f"the setting state is malformed: {_printable(said)}",
        'see PostgreSQL\'s manual, "Connection Strings"; in a URI write special characters of a'
        " password as %40 (@), %2F (/), %3A (:), or better keep it in a password file",
    )


def _words(error: Exception) -> str:
    """Return the error's words in one line, without a row's contents, which may be a secret."""
    diagnostics = getattr(error, "diag", None)
    text = getattr(diagnostics, "message_primary", None) or _raw(error)
    lines = [line.strip() for line in _REPEATED.sub("", text).splitlines()]
    told = dict.fromkeys(line for line in lines if line and not line.startswith(_GUESSES))
    return _printable("; ".join(told)) or type(error).__name__


def _raw(error: Exception) -> str:
    """Return libpq's own text while connecting, of which psycopg 3.1 cuts off the beginning."""
    connection = getattr(error, "pgconn", None)
    text: bytes = getattr(connection, "error_message", b"") or b""
    return text.decode(errors="replace") or str(error)


def _without(password: str, text: str) -> str:
    return text.replace(password, "...") if len(password) >= _LEAST_PASSWORD else text


def _printable(text: str) -> str:
    return "".join(it if it.isprintable() else ascii(it)[1:-1] for it in text)


def _names(merged: Mapping[str, str]) -> dict[str, str]:
    """Return the words for a cure; where there are several hosts, the first."""
    user = merged.get("user", "")
    return {
        "user": user,
        "dbname": merged.get("dbname") or user,
        "host": (merged.get("host") or merged.get("hostaddr") or "localhost").split(",")[0],
        "port": (merged.get("port") or "5432").split(",")[0],
    }


def _place(merged: Mapping[str, str]) -> str:
    names = _names(merged)
    if not names["dbname"]:
        return "the database of the setting state"
    hosts = (merged.get("host") or merged.get("hostaddr") or "the local socket").split(",")
    ports = _repeated((merged.get("port") or "5432").split(","), len(hosts))
    where = hosts
    if len(hosts) == len(ports):
        where = [_written(host, port or "5432") for host, port in zip(hosts, ports, strict=True)]
    return _printable(f"the database {names['dbname']} at {', '.join(where)} as {names['user']}")


def _about_password_file(merged: Mapping[str, str]) -> str:
    """Return the cure of a password file; empty when none is used.

    libpq itself skips a file that it cannot use, without an error.
    """
    name = merged.get("passfile", "")
    if not name or "password" in merged:
        return ""
    file = shlex.quote(name)
    try:
        mode = Path(name).stat().st_mode
        usable = os.access(name, os.R_OK)
    except FileNotFoundError:
        return f"make the password file {file}, or name another by passfile="
    except OSError:
        mode, usable = stat.S_IFREG, False
    if not usable:
        return f"let this user read the password file; run: chown _mandos {file}"
    if not stat.S_ISREG(mode) or mode & 0o077:
        return f"libpq skips a password file that others may read; run: chmod 600 {file}"
    return f"correct the password, or the line for this host, database and user, in {file}"
