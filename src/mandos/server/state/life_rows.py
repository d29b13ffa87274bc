# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients' lives as rows of the database; the fields of ``Life`` give columns and their types."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from mandos.server.life.events import Why
from mandos.server.life.life import Life
from mandos.server.state.timestamps import from_number, to_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HINTS = get_type_hints(Life)
#: The type of each field of a life, without None.
TYPES: dict[str, type] = {
    field.name: (get_args(_HINTS[field.name]) or (_HINTS[field.name],))[0] for field in fields(Life)
}
#: The columns of the table ``life`` after the client's name.
COLUMNS = tuple(TYPES)
_values = attrgetter(*COLUMNS)


def _why(text: str | None) -> Why | None:
    return None if text is None else Why(text)


#: The function for each field type that turns a column's value into the field's.
_READERS: dict[type, Callable[[Any], object]] = {
    datetime: from_number,
    bool: bool,
    int: int,
    Why: _why,
}
_readers = tuple(_READERS[kind] for kind in TYPES.values())


def row_of(name: str, life: Life) -> tuple[object, ...]:
    """The row of a client: its name and ``COLUMNS``."""
    values = _values(life)
    return (name, *(to_number(it) if isinstance(it, datetime) else it for it in values))


def life_of(row: Sequence[Any]) -> Life:
    """The life in a row of ``COLUMNS``; raises ValueError or TypeError for a damaged one."""
    values: dict[str, Any] = {
        name: read(value) for name, read, value in zip(COLUMNS, _readers, row, strict=True)
    }
    return Life(**values)
