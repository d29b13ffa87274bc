# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file ``clients.conf``: manual page mandos-clients.conf(5).

Every value is read and checked here, once; what comes out is valid.  The checker is expanded a
second time when it runs, so that second expansion is tried here already.
"""

from __future__ import annotations

import base64
import binascii
import configparser
import logging
import os
import re
import stat
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mandos.durations import parse_duration
from mandos.errors import AdministratorError
from mandos.server.inifile import parse_boolean, read_ini
from mandos.wire import grammar
from mandos.wire.key_id import parse_key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

#: What a checker may name as ``%%(name)s``: manual page, "RUNTIME EXPANSION".
RUNTIME_NAMES = frozenset((
    "approval_delay", "approval_duration", "created", "dbus_object_path", "enabled", "expires",
    "fingerprint", "host", "interval", "key_id", "last_approval_request", "last_checked_ok",
    "last_enabled", "name", "timeout",
))  # fmt: skip

_FINGERPRINT = re.compile(r"[0-9a-f]{1,128}")
_SEAL = "mandos-keygen --password, on the client, prints a section with a secret"


@dataclass(frozen=True, kw_only=True)
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


def _checker(value: str) -> str:
    """Expand with every name that there will be, and see whether it goes well."""
    try:
        _ = _text(value) % dict.fromkeys(RUNTIME_NAMES, "")
    except KeyError as error:
        raise ValueError(
            f"a name that can be expanded ({', '.join(sorted(RUNTIME_NAMES))}) instead of {error}"
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError("%%(name)s, and %%%% for a percent sign") from error
    return value


READERS: Mapping[str, Callable[[str], object]] = {
    "key_id": _key_id,
    "fingerprint": _fingerprint,
    "host": _text,
    "checker": _checker,
    "timeout": parse_duration,
    "extended_timeout": parse_duration,
    "interval": parse_duration,
    "approval_delay": parse_duration,
    "approval_duration": parse_duration,
    "approved_by_default": parse_boolean,
    "enabled": parse_boolean,
}


def load_clients(path: Path) -> list[ClientSettings]:
    """Read all clients, in the order of the file.

    Raises AdministratorError with every problem that was found, each naming file, section,
    option and what is expected.
    """
    if not path.exists():
        raise AdministratorError(
            f"{path} does not exist", f"create it, mode 0600, with a section per client; {_SEAL}"
        )
    parser = read_ini(path)
    _warn_of_exposed(path)
    problems: list[str] = []
    clients = [
        client
        for name in parser.sections()
        if (client := _client(path, parser[name], problems)) is not None
    ]
    problems += _shared_key_ids(path, clients)
    if problems:
        raise AdministratorError("\n".join(problems), "mend the file and start again")
    return clients


def _warn_of_exposed(path: Path) -> None:
    if path.stat().st_mode & stat.S_IROTH:
        log.warning("everyone can read %s, which holds secrets; run: chmod o-rwx %s", path, path)


def _client(
    path: Path, section: configparser.SectionProxy, problems: list[str]
) -> ClientSettings | None:
    before = len(problems)
    where = f"{path}: [{section.name}]"
    values: dict[str, Any] = {}
    for option in section:
        value = _expanded(section, option, where, problems)
        if option in READERS and value is not None:
            _take(values, option, value, where, problems)
        elif option not in ("secret", "secfile"):
            log.info("%s: unknown option %s is ignored", where, option)
    if not (values.get("key_id") or values.get("fingerprint")):
        problems.append(f"{where}: key_id is missing; {_SEAL}")
    try:
        values["secret"] = _secret(section)
    except (AdministratorError, configparser.Error) as error:
        problems.append(f"{where} {str(error).splitlines()[0]}")
    return ClientSettings(name=section.name, **values) if len(problems) == before else None


def _expanded(
    section: configparser.SectionProxy, option: str, where: str, problems: list[str]
) -> str | None:
    try:
        return section[option]
    except configparser.InterpolationMissingOptionError as error:
        problems.append(
            f"{where} {option}: there is no option {error.reference}; %% stands for a percent sign"
        )
    except configparser.InterpolationError:
        problems.append(
            f"{where} {option}: expected %(name)s after a percent sign; %% stands for the sign"
        )
    return None


def _take(values: dict[str, Any], option: str, value: str, where: str, problems: list[str]) -> None:
    try:
        values[option] = READERS[option](value)
    except AdministratorError as error:
        problems.append(f"{where} {option}: {error}")
    except ValueError as error:
        problems.append(f"{where} {option}: expected {error}, not {value[:80]!r}")


def _secret(section: configparser.SectionProxy) -> bytes:
    if "secret" in section:
        secret = _decoded(section["secret"])
    elif "secfile" in section:
        secret = _from_file(section["secfile"])
    else:
        raise AdministratorError(f"secret (or secfile) is missing; {_SEAL}")
    if len(secret) > grammar.SECRET_LIMIT:
        raise AdministratorError(f"secret: larger than {grammar.SECRET_LIMIT} bytes")
    return secret


def _decoded(text: str) -> bytes:
    try:
        secret = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AdministratorError(f"secret: expected base64 lines ({error}); {_SEAL}") from error
    if not secret:
        raise AdministratorError(f"secret: is empty; {_SEAL}")
    return secret


def _from_file(name: str) -> bytes:
    path = Path(os.path.expandvars(os.path.expanduser(name)))  # noqa: PTH111 - both in one form
    try:
        with path.open("rb") as file:
            secret = file.read(grammar.SECRET_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise AdministratorError(f"secfile: cannot read {path}: {reason}") from error
    if not secret:
        raise AdministratorError(f"secfile: {path} is empty")
    return secret


def _shared_key_ids(path: Path, clients: Sequence[ClientSettings]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for client in clients:
        first = owners.setdefault(client.key_id or client.name, client.name)
        if first != client.name:
            yield f"{path}: [{client.name}] has the same key_id as [{first}]"
