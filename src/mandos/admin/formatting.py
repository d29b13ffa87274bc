# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, dates and names as people read them: rough, in their own time zone, harmless."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))
_UNPRINTABLE = re.compile(r"[^ -~\w]")


def rough(duration: timedelta) -> str:
    """The two largest units: ``2 h 5 min``, ``3 days``, ``12 s``; milliseconds when less."""
    seconds = int(abs(duration).total_seconds())
    if not seconds:
        return f"{abs(duration) // timedelta(milliseconds=1)} ms" if duration else "0 s"
    parts = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
        elif parts:
            break
    return " ".join(parts[:2])


def ago(date: datetime, now: datetime) -> str:
    """How long ago: ``12 s ago``."""
    return "just now" if now - date < timedelta(seconds=1) else f"{rough(now - date)} ago"


def local(date: datetime) -> str:
    """The date where the reader is: ``2026-11-24 05:09:47``."""
    return date.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def shown(text: str) -> str:
    """A text without characters that could move a terminal's cursor or change its colours."""
    return _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return character if character.isprintable() else repr(character)[1:-1]


def quoted(name: str) -> str:
    """A name as a shell takes it, after options: ``-- -x`` when it begins with a dash."""
    return f"{'-- ' if name.startswith('-') else ''}{shlex.quote(shown(name))}"
