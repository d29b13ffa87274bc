# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How times and foreign text are written on the screen: short, and safe for a terminal."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: Categories that move the cursor, turn the writing direction or show nothing (Unicode, table 4-4).
_UNSEEN: Final = frozenset(("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"))


def clock(duration: timedelta) -> str:
    """Write how long until something: ``4:07``, ``5:04:07``, ``3d 05h``; never below zero."""
    seconds = max(0, int(duration.total_seconds()))
    minutes = seconds // _MINUTE
    if seconds < _HOUR:
        return f"{minutes}:{seconds % 60:02}"
    if seconds < _DAY:
        return f"{seconds // _HOUR}:{minutes % 60:02}:{seconds % 60:02}"
    return f"{seconds // _DAY}d {seconds % _DAY // _HOUR:02}h"


def age(duration: timedelta) -> str:
    """Write how long ago something was, in one unit: ``12 s``, ``4 min``, ``3 h``, ``9 d``."""
    seconds = max(0, int(duration.total_seconds()))
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def span(duration: timedelta) -> str:
    """Write a setting in full: ``5 min``, ``2 h 30 min``, ``0 s``; fractions as ``0.5 s``."""
    if duration < timedelta(minutes=1):
        return f"{duration.total_seconds():g} s"
    rest = duration // timedelta(seconds=1)
    parts = []
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def moment(date: datetime, now: datetime, zone: tzinfo | None = None) -> str:
    """Write a date in the machine's zone, without its day when that is today."""
    local, today = date.astimezone(zone), now.astimezone(zone)
    pattern = "%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M"
    return local.strftime(pattern)


def printable(text: str) -> str:
    """Write characters that a terminal must not get (controls, bidirectional marks) as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _UNSEEN else char
        for char in text
    )
