# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's settings: manual pages mandos(8) and mandos.conf(5).

One row for each option feeds the command line, the configuration file and the help.  The command
line overrides ``mandos.conf``, which overrides the defaults.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import re
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import mandos
from mandos.durations import parse_duration
from mandos.errors import AdministratorError, UsageError
from mandos.server.config.files import is_there
from mandos.server.config.inifile import DEFAULT, parse_boolean, read_ini, spelling_hint
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mandos.server.config.inifile import IniFile

_CONFIGDIR = "/etc/mandos"
_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
_PORT_LIMIT = 65535
_DESCRIPTOR_LIMIT = 1 << 20  # Linux's fs.nr_open
_DIGITS = 10
_SHOWN = 80  # characters of a wrong value
_NAME_LIMIT = 63  # bytes of a service name: RFC 6763, section 4.1.1
_INTERFACE_LIMIT = 15  # IFNAMSIZ without its null byte: netdevice(7)
_CHECKERS_LIMIT = 4096  # as many processes fit any pid_max (proc(5): 32768 at least)
_LEAST_RECORDS, _MOST_RECORDS = 1000, 10_000_000
_MOVES = ("to-database", "from-database")
_URI = ("postgresql://", "postgres://")
#: Words of libpq's connection strings: PostgreSQL's manual, "Keyword/Value Connection Strings".
_CONNECTION_WORD = r"[a-z_]+\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)"
_CONNECTION_WORDS = re.compile(rf"\s*{_CONNECTION_WORD}(?:\s+{_CONNECTION_WORD})*\s*")


class LinkLoss(Enum):
    """The fate of the clients' timeouts while the server itself has no link."""

    EXPIRE = "expire"
    HOLD = "hold"


def _host_name() -> str:
    """Return the name of this machine, in the form that ``server_name`` must have."""
    letters = (it for it in socket.gethostname() if it.isprintable() and it not in " /")
    name = "".join(letters).encode()[:_NAME_LIMIT].decode(errors="ignore")
    return name or "mandos"


@dataclass(frozen=True)
class ServerSettings:
    """The settings of one run of the server; valid once built.

    ``checkers`` limits those that run at once, ``audit_records`` those that are kept.  ``state`` is
    empty for a state in ``statedir``, otherwise libpq's connection string, in which a password may
    be: it is no part of the representation.  ``without_database`` is how long after the last
    contact with that database the server still gives secrets, ``without_database_at_boot`` the same
    when it has not seen the database since the machine booted.  ``notices`` are remarks on the
    file, to be logged once the log is open.
    """

    interface: str = ""
    address: str = ""
    port: int = 0
    debug: bool = False
    debuglevel: str = ""
    priority: str = grammar.PRIORITY
    servicename: str = grammar.SERVICE_NAME
    configdir: Path = Path(_CONFIGDIR)
    statedir: Path = Path("/var/lib/mandos")
    use_dbus: bool = True
    use_ipv6: bool = True
    restore: bool = True
    socket: int | None = None
    foreground: bool = False
    zeroconf: bool = True
    link_loss: LinkLoss = LinkLoss.EXPIRE
    checkers: int = 128
    audit_records: int = 100_000
    state: str = field(default="", repr=False)
    server_name: str = field(default_factory=_host_name)
    without_database: timedelta = timedelta()
    without_database_at_boot: timedelta = timedelta()
    check: bool = False
    reload: bool = False
    move_state: str = ""
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the rules between options; raises AdministratorError."""
        _check_address(self.address, use_ipv6=self.use_ipv6)
        if not self.zeroconf and not self.port and self.socket is None:
            raise AdministratorError(
                "without Zeroconf clients cannot find out the port, and no port is set",
                "set port or socket, or turn zeroconf on",
            )

    @property
    def log_level(self) -> int:
        """The least level that the server logs: DEBUG when debugging, else INFO by default."""
        default = "DEBUG" if self.debug else "INFO"
        return int(logging.getLevelNamesMapping()[self.debuglevel or default])


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("text without control characters")
    return value


def _priority(value: str) -> str:
    if not value:
        raise ValueError("a GnuTLS priority string")
    return _text(value)


def _service_name(value: str) -> str:
    if not 0 < len(_text(value).encode()) <= _NAME_LIMIT:
        raise ValueError(f"a name of 1 to {_NAME_LIMIT} bytes")
    return value


def _interface(value: str) -> str:
    if len(os.fsencode(_text(value))) > _INTERFACE_LIMIT or "/" in value or " " in value:
        raise ValueError("the name of a network interface, such as eth0")
    return value


def _directory(value: str) -> Path:
    if not value or "\0" in value:
        raise ValueError("a directory")
    return Path(value)


def _number(value: str, limit: int) -> int | None:
    """Read plain decimal digits; None for a number above ``limit``, and other text such as +1."""
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS and int(value) <= limit):
        return None
    return int(value)


def _port(value: str) -> int:
    port = _number(value or "0", _PORT_LIMIT)
    if port is None:
        raise ValueError(f"a TCP port from 0 (any) to {_PORT_LIMIT}")
    return port


def _descriptor(value: str) -> int | None:
    descriptor = _number(value, _DESCRIPTOR_LIMIT)
    if value and descriptor is None:
        raise ValueError("the number of an open file descriptor")
    return descriptor


def _between(value: str, least: int, most: int) -> int:
    number = _number(value, most)
    if number is None or number < least:
        raise ValueError(f"a whole number from {least} to {most}")
    return number


def _checkers(value: str) -> int:
    return _between(value, 1, _CHECKERS_LIMIT)


def _records(value: str) -> int:
    return _between(value, _LEAST_RECORDS, _MOST_RECORDS)


def _link_loss(value: str) -> LinkLoss:
    try:
        return LinkLoss(value.lower())
    except ValueError:
        raise ValueError("expire or hold") from None


def _state(value: str) -> str:
    if not value or value.startswith(_URI) or _CONNECTION_WORDS.fullmatch(value):
        return _text(value)
    raise ValueError(
        "a PostgreSQL database, as postgresql://HOST/DATABASE or in words such as service=mandos"
        " (without state, the state is in statedir)"
    )


def _server_name(value: str) -> str:
    if not value:
        return _host_name()
    if len(_text(value).encode()) > _NAME_LIMIT or " " in value or "/" in value:
        raise ValueError(f"a name of 1 to {_NAME_LIMIT} bytes, without spaces and slashes")
    return value


def _move_state(value: str) -> str:
    if value not in _MOVES:
        raise ValueError(" or ".join(_MOVES))
    return value


def _duration(value: str) -> timedelta:
    try:
        return parse_duration(value)
    except AdministratorError:
        raise ValueError("a duration such as PT5M or 5m (0: PT0S)") from None


def _level(value: str) -> str:
    if value.upper() not in _LEVELS:
        raise ValueError("one of " + ", ".join(_LEVELS))
    return value.upper()


def _check_address(
    address: str,
    *,
    use_ipv6: bool,
    where: str = "address",
    error: type[AdministratorError] = AdministratorError,
) -> None:
    kind = ipaddress.IPv6Address if use_ipv6 else ipaddress.IPv4Address
    try:
        if address:
            kind(address)
    except ValueError as problem:
        raise error(
            f"{where}: expected an {'IPv6' if use_ipv6 else 'IPv4'} address, not {address!r}",
            "write an IPv4 address as ::ffff:192.0.2.3" if use_ipv6 else None,
        ) from problem


@dataclass(frozen=True)
class Row:
    """One option: its place in file and command line, the reader of its text, its line of help.

    An error does not show a ``hidden`` value, which may have a password in it.
    """

    name: str
    flags: tuple[str, ...]
    read: Callable[[str], object]
    help: str
    value: str | None = None
    constant: object = None
    in_file: bool = True
    hidden: bool = False


ROWS = (
    Row("interface", ("-i", "--interface"), _interface, "use this interface", "NAME"),
    Row("address", ("-a", "--address"), _text, "listen on this address only", "ADDRESS"),
    Row("port", ("-p", "--port"), _port, "listen on this port", "PORT"),
    Row("debug", ("--debug",), parse_boolean, "log everything, on the console", constant=True),
    Row("debuglevel", ("--debuglevel",), _level, "least level to log", "LEVEL", in_file=False),
    Row("priority", ("--priority",), _priority, "GnuTLS priority string", "STRING"),
    Row("servicename", ("--servicename",), _service_name, "name to announce", "NAME"),
    Row("configdir", ("--configdir",), _directory, "folder of mandos.conf", "DIR", in_file=False),
    Row("statedir", ("--statedir",), _directory, "directory of the state", "DIR"),
    Row("use_dbus", ("--no-dbus",), parse_boolean, "offer no D-Bus interface", constant=False),
    Row("use_ipv6", ("--no-ipv6",), parse_boolean, "use IPv4 only", constant=False),
    Row("restore", ("--no-restore",), parse_boolean, "forget the saved state", constant=False),
    Row("socket", ("--socket",), _descriptor, "listen on this open descriptor", "FD"),
    Row("foreground", ("--foreground",), parse_boolean, "do not become a daemon", constant=True),
    Row("zeroconf", ("--no-zeroconf",), parse_boolean, "do not announce", constant=False),
    Row("link_loss", ("--link-loss",), _link_loss, "timeouts while no link is up", "expire|hold"),
    Row("checkers", ("--checkers",), _checkers, "most checkers at a time", "N"),
    Row("audit_records", ("--audit-records",), _records, "most audit records to keep", "N"),
    Row("state", ("--state",), _state, "PostgreSQL database of the state", "URI", hidden=True),
    Row("server_name", ("--server-name",), _server_name, "name among its servers", "NAME"),
    Row("without_database", ("--without-database",), _duration, "serve without it", "DURATION"),
    Row("without_database_at_boot", ("--without-database-at-boot",), _duration,
        "serve without it when it was not seen since boot", "DURATION"),
    Row("check", ("--check",), parse_boolean, "test this set-up", constant=True, in_file=False),
    Row("move_state", ("--move-state",), _move_state, "move the saved state, then end",
        "to-database|from-database", in_file=False),
    Row("reload", ("--reload",), parse_boolean, "reload a server", constant=True, in_file=False),
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that errors look like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise a usage error."""
        raise UsageError(message, "see mandos --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mandos",
        description="Gives encrypted disk passwords to the machines that they belong to.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("-v", "--version", action="version", version=f"mandos {mandos.__version__}")
    for row in ROWS:
        if row.value is None:
            parser.add_argument(
                *row.flags, dest=row.name, action="store_const", const=row.constant, help=row.help
            )
        else:
            parser.add_argument(*row.flags, dest=row.name, metavar=row.value, help=row.help)
    return parser


_BY_NAME = {row.name: row for row in ROWS}


def load(arguments: Sequence[str]) -> ServerSettings:
    """Read the command line, then ``mandos.conf``, which may be absent.

    Raises UsageError or AdministratorError; exits by itself after --help and --version.
    """
    given = {
        name: _read(_BY_NAME[name], value, _BY_NAME[name].flags[-1], UsageError)
        if isinstance(value, str)
        else value
        for name, value in vars(_parser().parse_args(arguments)).items()
    }
    if given.get("reload"):
        return ServerSettings(reload=True)  # the file plays no part: the running server has read it
    file = _File(given.get("configdir", Path(_CONFIGDIR)) / "mandos.conf")
    values = {**file.values, **given}
    _check_address(
        values.get("address", ""),
        use_ipv6=values.get("use_ipv6", True),
        where="--address" if "address" in given else file.where("address"),
        error=UsageError if "address" in given else AdministratorError,
    )
    if values.get("debug"):
        values["foreground"] = True
    return ServerSettings(**values, notices=tuple(file.notices))


def _read(row: Row, value: str, where: str, error: type[AdministratorError]) -> Any:  # noqa: ANN401
    try:
        return row.read(value)
    except ValueError as problem:
        shown = "" if row.hidden else f", not {value[:_SHOWN]!r}"
        raise error(f"{where}: expected {problem}{shown}") from problem


class _File:
    """The values of ``mandos.conf``, not expanded: a priority string has percent signs of its own.

    Raises AdministratorError with every problem of the file.
    """

    def __init__(self, path: Path) -> None:
        self.values: dict[str, Any] = {}
        self.notices: list[str] = []
        self._path = path
        self._lines: dict[str, int] = {}
        if is_there(path):
            self._take(read_ini(path))

    def where(self, option: str) -> str:
        """Return the place of an option in the file, as errors show it."""
        return f"{self._path}: line {self._lines.get(option, 0)}: [{DEFAULT}] {option}"

    def _take(self, file: IniFile) -> None:
        problems = []
        for section in file.sections:
            self._notice(section.line, f"unknown section {section.name!r}")
        names = frozenset(row.name for row in ROWS if row.in_file)
        for option, (text, line) in file.defaults.items():
            row = _BY_NAME.get(option)
            self._lines[option] = line
            if row is None or not row.in_file:
                self._notice(line, f"unknown option {option!r}", spelling_hint(option, names))
                continue
            try:
                self.values[option] = _read(row, text, self.where(option), AdministratorError)
            except AdministratorError as problem:
                problems.append(str(problem))
        if problems:
            raise AdministratorError("\n".join(problems), "see mandos.conf(5)")

    def _notice(self, line: int, what: str, hint: str = "") -> None:
        self.notices.append(f"{self._path}: line {line}: {what} is ignored{hint}")
