# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The problems that a database can have, each with its cause and its cure.  Pure.

An error of a statement has a code (SQLSTATE: PostgreSQL's manual, "PostgreSQL Error Codes").  An
error while connecting has none that psycopg shows, so it is known by its text, in PostgreSQL's
English.  A server whose ``lc_messages`` is another language says the rest in its own words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_GUIDE = "docs/postgresql.md"
_LOG = "see the log of PostgreSQL (on Debian in /var/log/postgresql)"


class Problem(NamedTuple):
    """A problem: its codes or the words of its text, its cause, its cure, and the kind of fault.

    ``codes`` are whole codes, or their first two characters, which name a class.  The cure may have
    the words user, dbname, host, port and passfile in braces.  A ``setting`` is for the
    administrator of this server or of the database to correct; other problems may pass.
    """

    codes: tuple[str, ...]
    words: str
    said: str
    mend: str
    setting: bool = False


#: The first problem that fits counts.
PROBLEMS = (
    Problem(
        (), r"definition of service|service file .* not found|in service file",
        "the service cannot be read",
        "define it in /etc/postgresql-common/pg_service.conf, or in the file that"
        f" servicefile or PGSERVICEFILE names; see {_GUIDE}",
        setting=True,
    ),
    Problem(
        (), r"no password supplied",
        "the database wants a password, and there is none",
        "write the line HOST:PORT:{dbname}:{user}:PASSWORD into a file, and name it by passfile=",
        setting=True,
    ),
    Problem(
        ("28P01",), r"password authentication failed",
        "the database refuses the password",
        "set it again as PostgreSQL's administrator (psql -c '\\password {user}'), and write the"
        " same one into the password file",
        setting=True,
    ),
    Problem(
        (), r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "the database does not accept this user from this address",
        "add a line such as: hostssl {dbname} {user} ADDRESS/128 scram-sha-256 to pg_hba.conf"
        " there, then run: psql -c 'select pg_reload_conf()'",
        setting=True,
    ),
    Problem(
        (), r"not permitted to log in",
        "the role may not log in",
        "run there, as PostgreSQL's administrator: psql -c 'alter role {user} login'",
        setting=True,
    ),
    Problem(
        (), r"role .* does not exist",
        "there is no such role",
        "run there, as PostgreSQL's administrator: createuser --pwprompt {user}",
        setting=True,
    ),
    Problem(
        ("3D000",), r"database .* does not exist",
        "there is no such database",
        "run there, as PostgreSQL's administrator: createdb --owner={user} {dbname}",
        setting=True,
    ),
    Problem(
        (), r"not currently accepting connections",
        "the database accepts no connections",
        "run there, as PostgreSQL's administrator: psql -c 'alter database {dbname} with"
        " allow_connections true'",
        setting=True,
    ),
    Problem(
        (), r"permission denied for database|User does not have CONNECT privilege",
        "the role may not connect to the database",
        "run there, as PostgreSQL's administrator: psql -c 'grant connect on database {dbname} to"
        " {user}'",
        setting=True,
    ),
    Problem(
        (), r"server does not support SSL",
        "the database has no TLS, and the setting demands it",
        "set ssl = on in postgresql.conf there, with a certificate and key, and reload it;"
        f" see {_GUIDE}",
        setting=True,
    ),
    Problem(
        (), r"root certificate file",
        "the certificate that the database is checked by is missing",
        "copy the certificate of the authority here, readable by the server's user, and name it by"
        " sslrootcert=",
        setting=True,
    ),
    Problem(
        (), r"does not match host name",
        "the certificate of the database is for another name",
        "write the name in the certificate as the host, or make a certificate for this host",
        setting=True,
    ),
    Problem(
        (), r"certificate verify failed",
        "the certificate of the database is not of the authority that is trusted here, or expired",
        "compare the file of sslrootcert= with ssl_cert_file there; see: openssl x509 -noout -text"
        " -in FILE",
        setting=True,
    ),
    Problem(
        (), r"private key file|certificate file",
        "the certificate or key of this server cannot be used",
        "sslcert= and sslkey= name them; the key belongs to the server's user, with mode 0600",
        setting=True,
    ),
    Problem(
        (), r"valid client certificate|certificate authentication failed|SSL error|tlsv1 alert"
        r"|sslv3 alert",
        "the database and this server do not agree on TLS",
        f"check sslcert=, sslkey= and sslrootcert= here, and ssl_ca_file there; {_LOG}",
        setting=True,
    ),
    Problem(
        ("28",), r"authentication failed for user|authentication method",
        "the database does not accept the proof of who this user is",
        "see the line of pg_hba.conf there that fits this host, database and user; for a user of"
        " another name on the same machine add a map to pg_ident.conf",
        setting=True,
    ),
    Problem(
        ("25006",), r"session is read-only|is in hot standby mode|read-only transaction",
        "it can only be read: it is a standby, or default_transaction_read_only is set",
        "name the primary as well (host=db1,db2), or promote this one if the primary is lost for"
        " good: pg_ctlcluster VERSION main promote",
    ),
    Problem(
        ("53300",), r"too many clients|connection slots are reserved|too many connections",
        "the database has no connection left",
        "each server needs 3; see: psql -c 'select usename, count(*) from pg_stat_activity group by"
        " 1', and raise max_connections, or the limit of the role or of the database",
    ),
    Problem(
        ("53100",), r"No space left on device",
        "the disk of the database is full",
        "make room there; see: df -h",
    ),
    Problem(
        ("53200",), r"out of (?:shared )?memory",
        "the database is out of memory",
        f"{_LOG}; give that machine more memory, or lower shared_buffers and max_connections",
    ),
    Problem(
        ("42501",), r"permission denied for (?:schema|table|sequence|function)|must be owner",
        "the role lacks a right",
        f"grant the rights that {_GUIDE} lists; mandos --check lists those that are missing",
        setting=True,
    ),
    Problem(
        ("55P03",), r"lock timeout",
        "a row stayed locked by another session",
        "see: psql -c \"select pid, state, query from pg_stat_activity where state <> 'idle'\"",
    ),
    Problem(
        ("57014",), r"statement timeout",
        "the database took too long",
        f"{_LOG}; its disk may be slow, or the machine busy",
    ),
    Problem(
        ("25P03",), r"idle-in-transaction timeout",
        "this server was paused in the middle of a change, which was taken back",
        "nothing is to be done: it is made again",
    ),
    Problem(
        ("57P05",), r"idle-session timeout",
        "the database ended a connection that was idle",
        "run there, as PostgreSQL's administrator: psql -c 'alter role {user} set"
        " idle_session_timeout = 0'",
        setting=True,
    ),
    Problem(
        ("57P03",), r"the database system is (?:starting up|shutting down|in recovery|not yet)",
        "it starts or stops just now",
        f"wait; if it lasts, {_LOG}",
    ),
    Problem(
        ("57P01", "57P02"), r"terminating connection|server closed the connection unexpectedly",
        "it was shut down, or it crashed",
        f"see: systemctl status postgresql; {_LOG}",
    ),
    Problem(
        (), r"translate host name|failed to resolve host|name resolution",
        "the host is unknown",
        "see: getent hosts {host}; correct the name, or add it to /etc/hosts here",
    ),
    Problem(
        (), r"Connection refused|No such file or directory",
        "nothing listens there",
        "see there: systemctl status postgresql; pg_lsclusters shows the port; listen_addresses in"
        " postgresql.conf must have that address",
    ),
    Problem(
        (), r"timeout expired|Connection timed out|No route to host|Network is unreachable"
        r"|connection timed out",
        "there is no answer",
        "see: ping {host}; a firewall may be in the way, or that machine is off",
    ),
    Problem(
        (), r"Permission denied",
        "this user may not use the socket",
        "see: ls -ld /run/postgresql; unix_socket_permissions in postgresql.conf",
        setting=True,
    ),
    Problem(
        ("08",), r"connection is (?:closed|lost)|connection .*lost|Connection reset"
        r"|could not (?:receive|send) data|closed unexpectedly|EOF detected",
        "the connection was lost",
        f"see: ping {{host}}; {_LOG}",
    ),
    Problem(
        (), r"invalid .*value|could not match .* to|invalid port",
        "a part of the setting state has a value that cannot be",
        "see PostgreSQL's manual, \"Parameter Key Words\"",
        setting=True,
    ),
    Problem(
        (), r"unsupported startup parameter",
        "a connection pooler (such as PgBouncer) is in between, which cannot be used",
        "name PostgreSQL itself in the setting state",
        setting=True,
    ),
    Problem(
        ("3F000", "42P01", "42703", "42883", "42704"), r"^$",
        "the tables of mandos are missing there, or of another version",
        "run: mandos --check",
        setting=True,
    ),
    Problem(
        ("58", "XX"), r"could not (?:read|write|open|fsync)|invalid page",
        "the disk of the database has errors, or its files are damaged",
        f"{_LOG} and dmesg there; restore a backup: {_GUIDE}",
    ),
    Problem(
        ("40",), r"^$",
        "another session made a change at the same time",
        "nothing is to be done: it is tried again",
    ),
    Problem(
        ("22", "23"), r"^$",
        "a row there has contents that cannot be",
        "undo the change that was made by hand, or run: mandos --check",
        setting=True,
    ),
)  # fmt: skip

_UNKNOWN = Problem((), "", "it reports an error", _LOG)


def problem_of(code: str | None, text: str) -> Problem:
    """Return the problem with this code, otherwise the one with these words."""
    for wanted in filter(None, (code, (code or "")[:2])):
        for problem in PROBLEMS:
            if wanted in problem.codes:
                return problem
    for problem in PROBLEMS:
        if re.search(problem.words, text):
            return problem
    return _UNKNOWN
