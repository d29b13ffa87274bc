# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database and D-Bus follow the fields of a client's life; every transition keeps the rest."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mandos import bus_names
from mandos.client_settings import ClientSettings
from mandos.server.bus import properties
from mandos.server.life.client import Client, exit_code
from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.state import life_rows, schema

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
#: A life in which every field has a value of its own.
FULL = Life(
    created=START, enabled=True, last_enabled=START + MINUTE, expires=START + 2 * MINUTE,
    last_checked_ok=START + 3 * MINUTE, last_checker_status=4,
    last_approval_request=START + 5 * MINUTE, disabled_at=START + 6 * MINUTE,
    disabled_why=Why.CONFIGURATION,
)  # fmt: skip
NOW = START + 60 * MINUTE

#: The fields that each transition may change.
TRANSITIONS: dict[str, tuple[Callable[[Life], Life], set[str]]] = {
    "turned_on": (
        lambda life: life.turned_on(NOW, MINUTE),
        {"last_enabled", "expires", "disabled_at", "disabled_why"},
    ),
    "turned_off": (
        lambda life: life.turned_off(NOW, Why.TIMEOUT),
        {"enabled", "expires", "disabled_at", "disabled_why"},
    ),
    "retired": (lambda life: life.retired(), {"enabled", "expires"}),
    "until": (lambda life: life.until(NOW), {"expires"}),
    "moved": (lambda life: life.moved(MINUTE), {"expires"}),
    "checked": (lambda life: life.checked(7), {"last_checker_status"}),
    "found_alive": (
        lambda life: life.found_alive(NOW, MINUTE),
        {"last_checked_ok", "last_checker_status", "expires"},
    ),
    "asked": (lambda life: life.asked(NOW), {"last_approval_request"}),
    "dated": (
        lambda life: life.dated(lambda moment: moment + MINUTE),
        {
            "created", "last_enabled", "expires", "last_checked_ok", "last_approval_request",
            "disabled_at",
        },
    ),
}  # fmt: skip


def test_every_field_is_a_column() -> None:
    """A new field needs a migration that adds its column."""
    with closing(sqlite3.connect(":memory:")) as database:
        schema.migrate(database)
        columns = {name for _number, name, *_rest in database.execute("PRAGMA table_info(life)")}
    assert columns == {"name", *life_rows.COLUMNS}


def test_a_row_has_every_field() -> None:
    """A life comes out of the database as it went in."""
    with closing(sqlite3.connect(":memory:")) as database:
        marks = ", ".join("?" * (len(life_rows.COLUMNS) + 1))
        row = life_rows.row_of("alpha", FULL)
        name, *values = database.execute(f"SELECT {marks}", row).fetchone()
    assert name == "alpha"
    assert life_rows.life_of(values) == FULL


@pytest.mark.parametrize("field", [field.name for field in fields(Life)])
def test_every_field_is_a_property(field: str) -> None:
    """One property that D-Bus declares follows the field, and no other does."""
    declared = {name for one in bus_names.CLIENT_INTERFACES for name in one.properties}
    (name,) = (
        name for name in properties.LIFE if _shown(name, FULL) != _shown(name, _other(field))
    )
    assert name in declared


def _shown(name: str, life: Life) -> object:
    settings = ClientSettings(name="alpha", key_id="ab" * 32, secret=b"x", enabled=False)
    client = Client(settings, START)
    client.life = life
    return properties.read(name, client, "/", lambda moment: moment)


def _other(field: str) -> Life:
    """The same life with another value in one field."""
    values: dict[str, Any] = {it.name: getattr(FULL, it.name) for it in fields(Life)}
    values[field] = _another(values[field])
    return Life(**values)


def _another(value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case Why():
            return Why.TIMEOUT
        case _:
            return START + 9 * MINUTE


@pytest.mark.parametrize("name", sorted(TRANSITIONS))
def test_a_transition_changes_its_fields_only(name: str) -> None:
    """And leaves the life that was there as it is."""
    transition, changed = TRANSITIONS[name]
    old = replace(FULL)
    new = transition(old)
    assert old == FULL
    assert changed == {
        field.name for field in fields(Life) if getattr(new, field.name) != getattr(old, field.name)
    }


@pytest.mark.parametrize("name", ["moved", "found_alive"])
def test_time_that_does_not_run_is_not_started(name: str) -> None:
    """A disabled client that is found alive, or has a new timeout, does not get a deadline."""
    transition, _changed = TRANSITIONS[name]
    assert transition(FULL.turned_off(START, Why.TIMEOUT)).expires is None


def test_a_life_cannot_be_changed() -> None:
    """So that a value that was taken for the disk stays as it was."""
    with pytest.raises(FrozenInstanceError):
        FULL.enabled = False  # type: ignore[misc]


def test_exit_code_is_that_of_the_standard_library() -> None:
    """For each end of a process: all statuses, and all signals, with or without core."""
    exits = [status << 8 for status in range(256)]
    signals = [number | core for number in range(1, 65) for core in (0, 0x80)]
    for wait_status in exits + signals:
        assert exit_code(wait_status) == os.waitstatus_to_exitcode(wait_status)
