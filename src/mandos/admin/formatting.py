# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, dates and foreign text as mandos-ctl and mandos-monitor show them to people.

mandos-ctl writes sentences, so it spells days out.  mandos-monitor has columns, so its forms are
short.  Both make text from the server safe for a terminal in the same way.
"""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import TYPE_CHECKING

from mandos.bus_names import CLIENT_NAME_LIMIT

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", 1))


def two_units(duration: timedelta) -> str:
    """The two largest units: ``2 h 5 min``, ``3 days``, ``12 s``; milliseconds when less."""
    seconds = int(abs(duration).total_seconds())
    if not seconds:
        return f"{abs(duration) // timedelta(milliseconds=1)} ms" if duration else "0 s"
    parts = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {_day_or_days(count) if unit == 'd' else unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def _day_or_days(count: int) -> str:
    return "day" if count == 1 else "days"


def one_unit(duration: timedelta) -> str:
    """The largest unit: ``12 s``, ``4 min``, ``3 h``, ``9 d``; never below zero."""
    seconds = max(0, int(duration.total_seconds()))
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"


def all_units(duration: timedelta) -> str:
    """All units of a setting: ``5 min``, ``2 h 30 min``, ``0 s``; fractions as ``0.5 s``."""
    if duration < timedelta(minutes=1):
        return f"{duration.total_seconds():g} s"
    rest = duration // timedelta(seconds=1)
    parts = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def countdown(duration: timedelta) -> str:
    """The time until an event: ``4:07``, ``5:04:07``, ``3d 05h``; never below zero."""
    seconds = max(0, int(duration.total_seconds()))
    minutes = seconds // _MINUTE
    if seconds < _HOUR:
        return f"{minutes}:{seconds % 60:02}"
    if seconds < _DAY:
        return f"{seconds // _HOUR}:{minutes % 60:02}:{seconds % 60:02}"
    return f"{seconds // _DAY}d {seconds % _DAY // _HOUR:02}h"


def ago(date: datetime, now: datetime) -> str:
    """How long ago: ``12 s ago``; ``just now`` also for a date that is still to come."""
    return "just now" if now - date < timedelta(seconds=1) else f"{two_units(now - date)} ago"


def full_date(date: datetime) -> str:
    """A date in the machine's zone: ``2026-11-24 05:09:47``."""
    return date.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_date(date: datetime, now: datetime, zone: tzinfo | None = None) -> str:
    """A date in the machine's zone, without its day when that is today: ``05:09:47``."""
    local, today = date.astimezone(zone), now.astimezone(zone)
    pattern = "%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M"
    return local.strftime(pattern)


def printable(text: str) -> str:
    """The text, with escapes for characters that could move a cursor, turn text round or hide."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def quoted(name: str) -> str:
    """A name as a shell takes it, after options: ``-- -x`` when it begins with a dash.

    A name beyond the server's limit, as of old servers, is left to the reader.
    """
    if len(name) > CLIENT_NAME_LIMIT:  # no shell takes one of 128 KiB: execve(2)
        return "NAME"
    return f"{'-- ' if name.startswith('-') else ''}{shlex.quote(printable(name))}"
