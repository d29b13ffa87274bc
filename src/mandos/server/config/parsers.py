# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers for the values of client settings, one for each kind.

A parser takes the text of the option in clients.conf, after its expansion, and returns the value.
It raises AdministratorError with the whole complaint, or ValueError with the expected form.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mandos.client_settings import SETTINGS, ValueKind
from mandos.durations import parse_duration
from mandos.errors import AdministratorError
from mandos.server.config.inifile import parse_boolean
from mandos.wire import grammar
from mandos.wire.key_id import parse_key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

#: The names that a checker may refer to as ``%%(name)s``: manual page, "EXPANSION".
RUNTIME_NAMES = frozenset({
    "created", "dbus_object_path", "expires", "last_approval_request", "last_checked_ok",
    "last_enabled", "name", *(setting.name for setting in SETTINGS if setting.for_checkers),
})  # fmt: skip
#: The command that helps when a secret is missing or wrong.
SEAL = "mandos-keygen --password, on the client, prints a section with a secret"

_HEXADECIMAL = re.compile(r"[0-9a-f]{1,128}")
_RUNTIME_REFERENCE = re.compile(r"%(?:%|\(([^()]*)\)s|)")
#: Digits of a value that a message quotes; a longer one may be a misplaced secret.
_QUOTED = 16


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("text without null bytes")
    return value


def _fingerprint(value: str) -> str:
    return _digits(value, "expected at most 128 hexadecimal digits")


def _key_id(value: str) -> str:
    digits = _digits(value, "a key ID has 64 hexadecimal digits")
    return parse_key_id(digits) if digits else ""


def _digits(value: str, complaint: str) -> str:
    """The value without blanks, in lower case; a complaint quotes it only when it is short."""
    digits = "".join(value.split()).lower()
    if digits and not _HEXADECIMAL.fullmatch(digits):
        quotation = f", not {digits!r}" if len(digits) < _QUOTED else ""
        raise AdministratorError(complaint + quotation)
    return digits


@lru_cache(maxsize=1024)
def _command(value: str) -> str:
    """Check a checker's command: its second expansion, when it runs, must find all names."""
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
def _period(value: str) -> timedelta:
    duration = parse_duration(value)
    if not duration:
        raise ValueError("more than no time")
    return duration


def _secret(value: str) -> bytes:
    digits = "".join(value.split())
    bare = digits.rstrip("=")
    if bare and not len(bare) % 4:  # then padding is not needed, and some Pythons refuse it
        digits = bare
    try:
        secret = binascii.a2b_base64(digits, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"base64 lines ({error}); {SEAL}") from error
    if not secret:
        raise AdministratorError(f"is empty; {SEAL}")
    if len(secret) > grammar.SECRET_LIMIT:
        raise AdministratorError(f"is larger than {grammar.SECRET_LIMIT} bytes")
    return secret


PARSERS: Mapping[ValueKind, Callable[[str], object]] = {
    ValueKind.TEXT: _text,
    ValueKind.COMMAND: _command,
    ValueKind.KEY_ID: _key_id,
    ValueKind.FINGERPRINT: _fingerprint,
    ValueKind.SECRET: _secret,
    ValueKind.DURATION: _duration,
    ValueKind.PERIOD: _period,
    ValueKind.BOOLEAN: parse_boolean,
}
