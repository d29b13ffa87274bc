# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates as whole numbers, for the database: microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@overload
def to_number(date: datetime) -> int: ...
@overload
def to_number(date: datetime | None) -> int | None: ...
def to_number(date: datetime | None) -> int | None:
    """The number of a date."""
    return None if date is None else (date - _EPOCH) // _MICROSECOND


@overload
def from_number(number: int) -> datetime: ...
@overload
def from_number(number: int | None) -> datetime | None: ...
def from_number(number: int | None) -> datetime | None:
    """The date of a number; raises TypeError or ValueError for anything else."""
    try:
        return None if number is None else _EPOCH + timedelta(microseconds=number)
    except OverflowError as error:
        raise ValueError(f"{number} is no date") from error
