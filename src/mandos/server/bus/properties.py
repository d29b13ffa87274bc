# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's properties: reads each one, and applies a new value."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from dbus_fast import Variant

from mandos import bus_names
from mandos.client_settings import BY_PROPERTY, DURATIONS, Restart, Setting, ValueKind
from mandos.durations import LONGEST
from mandos.errors import AdministratorError
from mandos.server.bus.errors import CallError
from mandos.server.config.parsers import PARSERS
from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mandos.client_settings import ClientSettings
    from mandos.server.life.client import Client

    Date = Callable[[datetime], datetime]

_MILLISECOND = timedelta(milliseconds=1)
_INTEGERS = frozenset("nqiuxty")
#: Characters of a text.  The longest are checkers; execve(2) takes eight times as many.
_TEXT_LIMIT = 16384

#: Words in the names of a life's fields that its properties do not merely capitalize.
_WORDS = {"ok": "OK", "why": "Reason"}
#: The value behind each property that changes with a client's life: the fields of ``Life``
#: (``last_checked_ok`` is LastCheckedOK), and the checker and the requests of this moment.
LIFE: Mapping[str, Callable[[Client], object]] = {
    "ApprovalPending": attrgetter("approval_pending"),
    "CheckerRunning": attrgetter("checker_running"),
    "WatchedBy": attrgetter("watched_by"),
    **{
        "".join(_WORDS.get(word, word.title()) for word in field.name.split("_")): attrgetter(
            f"life.{field.name}"
        )
        for field in fields(Life)
    },
}
#: The properties of the settings that can be changed, by the name of the setting.
NAMES_OF_SETTINGS = {
    setting.name: name for name, setting in BY_PROPERTY.items() if setting.restart is Restart.SAVED
}
_SIGNATURES = {
    name: declared.signature for name, (_, declared) in bus_names.CLIENT_PROPERTIES.items()
}


def milliseconds(duration: timedelta) -> int:
    """A duration as D-Bus has it; fractions are dropped."""
    return duration // _MILLISECOND


def _of_life(value: Callable[[Client], object], client: Client, _path: str, date: Date) -> object:
    """A value of a client's life as D-Bus has it."""
    match value(client):
        case None:
            return ""
        case datetime() as moment:
            return date(moment).replace(tzinfo=None).isoformat()
        case Why() as why:
            return str(why)
        case other:
            return other


def _of_setting(setting: Setting) -> Callable[[Client, str, Date], object]:
    """Reads a setting as D-Bus has it."""
    value: Callable[[ClientSettings], Any] = attrgetter(setting.name)
    if setting.kind in DURATIONS:
        return lambda client, _path, _date: value(client.settings) // _MILLISECOND
    if setting.kind in {ValueKind.KEY_ID, ValueKind.FINGERPRINT}:
        return lambda client, _path, _date: value(client.settings).upper()
    return lambda client, _path, _date: value(client.settings)


_READ: Mapping[str, Callable[[Client, str, Date], object]] = {
    "Name": lambda client, _path, _date: client.name,
    "ObjectPath": lambda _client, path, _date: path,
    **{
        name: _of_setting(setting)
        for name, setting in BY_PROPERTY.items()
        if setting.kind is not ValueKind.SECRET
    },
    **{name: partial(_of_life, value) for name, value in LIFE.items()},
}


def read(name: str, client: Client, path: str, date: Date) -> Variant:
    """The value of a property that can be read."""
    return Variant(_SIGNATURES[name], _READ[name](client, path, date))


def read_all(
    interface: bus_names.Interface, client: Client, path: str, date: Date
) -> dict[str, Variant]:
    """All properties of an interface that can be read."""
    return {
        name: read(name, client, path, date)
        for name, one in interface.properties.items()
        if one.access != bus_names.WRITE
    }


def write(name: str, client: Client, value: Variant, now: datetime, by: str) -> None:
    """Apply a new value of a property; raises CallError when the value is not allowed."""
    if name in BY_PROPERTY:
        _change(name, client, value, now, by)
    elif name == "LastCheckedOK":
        _of_type(name, value, "s")  # the value does not matter: DBUS-API, note h
        client.checked_ok(now, by)
    elif name == "Enabled":
        if _of_type(name, value, "b"):
            client.enable(now, Why.ADMINISTRATOR, by)
        else:
            client.disable(now, Why.ADMINISTRATOR, by)
    elif _of_type(name, value, "b"):  # CheckerRunning
        client.start_checker(now)
    else:
        client.stop_checker(now)


def _change(name: str, client: Client, value: Variant, now: datetime, by: str) -> None:
    setting = BY_PROPERTY[name]
    try:
        client.change(now, by, **{setting.name: _value_of(name, setting.kind, value)})
    except ValueError as error:
        raise CallError(bus_names.INVALID_ARGS, f"{name}: expected {error}") from error
    except AdministratorError as error:
        raise CallError(bus_names.INVALID_ARGS, f"{name}: {error}") from error


def _value_of(name: str, kind: ValueKind, value: Variant) -> object:
    """The value of a setting; raises CallError, or an error of the parser of its kind."""
    if kind in DURATIONS:
        return _duration(name, value)
    if kind is ValueKind.SECRET:
        return _secret(name, value)
    if kind is ValueKind.BOOLEAN:
        return _of_type(name, value, "b")
    return PARSERS[kind](_text_of(name, value))


def _of_type(name: str, value: Variant, signature: str) -> Any:  # noqa: ANN401 - by signature
    if value.signature != signature:
        text = f"{name} has the type {signature}, not {value.signature}"
        raise CallError(bus_names.INVALID_ARGS, text)
    return value.value


def _duration(name: str, value: Variant) -> timedelta:
    """Take an integer of any type, as the reference does."""
    if value.signature not in _INTEGERS:
        text = f"{name} has the type t, not {value.signature}"
        raise CallError(bus_names.INVALID_ARGS, text)
    if not 0 <= value.value <= LONGEST // _MILLISECOND:
        text = f"{name}: expected milliseconds, at most 1000 years"
        raise CallError(bus_names.INVALID_ARGS, text)
    return timedelta(milliseconds=value.value)


def _text_of(name: str, value: Variant) -> str:
    text = str(_of_type(name, value, "s"))
    if len(text) > _TEXT_LIMIT:
        text = f"{name}: expected at most {_TEXT_LIMIT} characters"
        raise CallError(bus_names.INVALID_ARGS, text)
    return text


def _secret(name: str, value: Variant) -> bytes:
    secret = bytes(_of_type(name, value, "ay"))
    if not 0 < len(secret) <= grammar.SECRET_LIMIT:
        text = f"{name}: expected 1 to {grammar.SECRET_LIMIT} bytes"
        raise CallError(bus_names.INVALID_ARGS, text)
    return secret
