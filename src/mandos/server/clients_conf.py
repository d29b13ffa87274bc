# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file ``clients.conf``: manual page mandos-clients.conf(5).

Every value is read and checked here, once; what comes out is valid.  The checker is expanded a
second time when it runs; whether that can go well is checked here already.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import re
import stat
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mandos.durations import parse_duration
from mandos.errors import AdministratorError
from mandos.server.inifile import expand, parse_boolean, read_ini
from mandos.wire import grammar
from mandos.wire.key_id import parse_key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mandos.server.inifile import IniFile, Section, Value

log = logging.getLogger(__name__)

#: What a checker may name as ``%%(name)s``: manual page, "RUNTIME EXPANSION".
RUNTIME_NAMES = frozenset((
    "approval_delay", "approval_duration", "created", "dbus_object_path", "enabled", "expires",
    "fingerprint", "host", "interval", "key_id", "last_approval_request", "last_checked_ok",
    "last_enabled", "name", "timeout",
))  # fmt: skip

_FINGERPRINT = re.compile(r"[0-9a-f]{1,128}")
_RUNTIME_REFERENCE = re.compile(r"%(?:%|\(([^()]*)\)s|)")
_SEAL = "mandos-keygen --password, on the client, prints a section with a secret"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientSettings:
    """One client as ``clients.conf`` has it; the secret never shows in a log."""

    name: str
    secret: bytes = field(repr=False)
    key_id: str = ""
    fingerprint: str = ""
    host: str = ""
    checker: str = "fping -q -- %(host)s"
    timeout: timedelta = timedelta(minutes=5)
    extended_timeout: timedelta = timedelta(minutes=15)
    interval: timedelta = timedelta(minutes=2)
    approval_delay: timedelta = timedelta(0)
    approval_duration: timedelta = timedelta(seconds=1)
    approved_by_default: bool = True
    enabled: bool = True

    def __post_init__(self) -> None:
        """Hold what must be true of every client."""
        if self.interval <= timedelta(0):
            raise AdministratorError("interval: expected more than no time, not PT0S")


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("text without null bytes")
    return value


def _fingerprint(value: str) -> str:
    digits = "".join(value.split()).lower()
    if digits and not _FINGERPRINT.fullmatch(digits):
        raise ValueError("hexadecimal digits")
    return digits


def _key_id(value: str) -> str:
    return parse_key_id(value) if value.strip() else ""


@lru_cache(maxsize=1024)
def _checker(value: str) -> str:
    """Take a command whose second expansion, when it runs, will find all names."""
    for match in _RUNTIME_REFERENCE.finditer(_text(value)):
        name = match[1]
        if match[0] == "%":
            raise ValueError("%%(name)s after a percent sign, or %%%% for the sign itself")
        if name is not None and name not in RUNTIME_NAMES:
            raise ValueError(f"one of {', '.join(sorted(RUNTIME_NAMES))} in %%({name})s")
    return value


@lru_cache(maxsize=1024)
def _duration(value: str) -> timedelta:
    return parse_duration(value)


@lru_cache(maxsize=1024)
def _interval(value: str) -> timedelta:
    if not parse_duration(value):
        raise ValueError("more than no time")
    return parse_duration(value)


READERS: Mapping[str, Callable[[str], object]] = {
    "key_id": _key_id,
    "fingerprint": _fingerprint,
    "host": _text,
    "checker": _checker,
    "timeout": _duration,
    "extended_timeout": _duration,
    "interval": _interval,
    "approval_delay": _duration,
    "approval_duration": _duration,
    "approved_by_default": parse_boolean,
    "enabled": parse_boolean,
}
_KNOWN = READERS.keys() | {"secret", "secfile"}


def load_clients(path: Path) -> list[ClientSettings]:
    """Read all clients, in the order of the file.

    Raises AdministratorError with every problem that was found, each naming file, line, section,
    option and what is expected.
    """
    if not os.path.lexists(path):
        raise AdministratorError(
            f"{path} does not exist", f"create it, mode 0600, with a section per client; {_SEAL}"
        )
    file = read_ini(path)
    _warn_of_exposed(path)
    reading = _Reading(path, file)
    clients = [client for section in file.sections if (client := reading.client(section))]
    if reading.problems:
        raise AdministratorError("\n".join(reading.problems), "mend the file and start again")
    return clients


def _warn_of_exposed(path: Path) -> None:
    if path.stat().st_mode & stat.S_IROTH:
        log.warning("everyone can read %s, which holds secrets; run: chmod o-rwx %s", path, path)


class _Reading:
    """One pass over the sections of a file; collects problems instead of stopping at the first."""

    def __init__(self, path: Path, file: IniFile) -> None:
        self.problems: list[str] = []
        self._path = path
        self._defaults = file.defaults
        self._owners: dict[str, Section] = {}
        self._tell_unknown(file)

    def client(self, section: Section) -> ClientSettings | None:
        """The client that a section describes, or None when it has a problem."""
        known = len(self.problems)
        if not section.name.isprintable():
            self._problem(section, "", section.line, "expected a name without control characters")
        options = {**self._defaults, **section.options}
        values = {
            name: self._value(section, name, read, options)
            for name, read in READERS.items()
            if name in options
        }
        values["secret"] = self._secret(section, options)
        if (values.get("key_id", ""), values.get("fingerprint", "")) == ("", ""):
            self._problem(section, "", section.line, f"key_id is missing; {_SEAL}")
        if values.get("key_id"):
            self._own(section, values["key_id"])
        return ClientSettings(name=section.name, **values) if len(self.problems) == known else None

    def _value(
        self,
        section: Section,
        name: str,
        read: Callable[[str], object],
        options: Mapping[str, Value],
    ) -> Any:  # noqa: ANN401 - the option decides the type
        value = options[name]
        try:
            return read(expand(value.text, options))
        except AdministratorError as error:
            self._problem(section, name, value.line, str(error))
        except ValueError as error:
            shown = f", not {value.text[:80]!r}" if name != "secret" else ""
            self._problem(section, name, value.line, f"expected {error}{shown}")
        return None

    def _secret(self, section: Section, options: Mapping[str, Value]) -> Any:  # noqa: ANN401
        for name, read in (("secret", _decoded), ("secfile", _from_file)):
            if name in options:
                return self._value(section, name, read, options)
        self._problem(section, "", section.line, f"secret (or secfile) is missing; {_SEAL}")
        return None

    def _own(self, section: Section, key_id: str) -> None:
        first = self._owners.setdefault(key_id, section)
        if first is not section:
            line = section.options["key_id"].line if "key_id" in section.options else section.line
            problem = f"the same as that of [{first.name}], line {first.line}"
            self._problem(section, "key_id", line, problem)

    def _problem(self, section: Section, option: str, line: int, problem: str) -> None:
        where = f"{self._path}: line {line}: [{section.name}]"
        self.problems.append(f"{where} {option}: {problem}" if option else f"{where} {problem}")

    def _tell_unknown(self, file: IniFile) -> None:
        """Unknown options are ignored, though others may refer to them."""
        for options in (file.defaults, *(section.options for section in file.sections)):
            for name in options.keys() - _KNOWN:
                log.info(
                    "%s: line %d: unknown option %.40s is ignored",
                    self._path,
                    options[name].line,
                    name,
                )


def _decoded(text: str) -> bytes:
    try:
        secret = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"base64 lines ({error}); {_SEAL}") from error
    if not secret:
        raise AdministratorError(f"is empty; {_SEAL}")
    return _bounded(secret)


def _from_file(name: str) -> bytes:
    path = Path(os.path.expandvars(os.path.expanduser(name)))  # noqa: PTH111 - both in one form
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise AdministratorError(f"{path} is not a regular file")
        with path.open("rb") as file:
            secret = file.read(grammar.SECRET_LIMIT + 1)
    except OSError as error:
        raise AdministratorError(f"cannot read {path}: {error.strerror}") from error
    if not secret:
        raise AdministratorError(f"{path} is empty")
    return _bounded(secret)


def _bounded(secret: bytes) -> bytes:
    if len(secret) > grammar.SECRET_LIMIT:
        raise AdministratorError(f"is larger than {grammar.SECRET_LIMIT} bytes")
    return secret
