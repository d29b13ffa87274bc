# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as administrators write them: RFC 3339 appendix A, and the older form ``5m 30s``.

A year is 52 weeks and a month is 4 weeks: the manual page mandos-clients.conf(5), "timeout".
"""

from __future__ import annotations

import re
from datetime import timedelta

from mandos.errors import AdministratorError

#: Longest duration that is accepted; dates that far ahead can still be written with four digits.
LONGEST = timedelta(weeks=52 * 1000)
_LONGEST_TEXT = 200

_WEEK = 7 * 24 * 3600
_SECONDS = {
    "years": 52 * _WEEK, "months": 4 * _WEEK, "weeks": _WEEK, "days": 24 * 3600,
    "hours": 3600, "minutes": 60, "seconds": 1,
}  # fmt: skip

#: RFC 3339 appendix A, where no unit between two others may be left out (``PT1H0M5S``).
_RFC_3339 = re.compile(
    r"P(?=[0-9T])(?:(?P<weeks>[0-9]+)W|"
    r"(?:(?P<years>[0-9]+)Y(?![0-9]+D))?(?:(?P<months>[0-9]+)M)?(?:(?P<days>[0-9]+)D)?(?:T(?=[0-9])"
    r"(?:(?P<hours>[0-9]+)H(?![0-9]+S))?(?:(?P<minutes>[0-9]+)M)?(?:(?P<seconds>[0-9]+)S)?)?)"
)
_OLD_WORD = re.compile(r"([0-9]+)([wdhms])")
_OLD_UNITS = {unit[0]: _SECONDS[unit] for unit in ("weeks", "days", "hours", "minutes", "seconds")}


class DurationError(AdministratorError):
    """The text is not a duration, or it is too long; the only error that leaves this module."""


def parse_duration(text: str) -> timedelta:
    """Read ``PT5M`` or ``5m 30s``; blanks around it do not matter.

    Raises DurationError for anything else, and for more than LONGEST.
    """
    words = text.split()
    if len(text) > _LONGEST_TEXT or not words:
        raise _not_a_duration(text)
    if (match := _RFC_3339.fullmatch(words[0])) and len(words) == 1:
        parts = match.groupdict(default="0")
        return _bounded(sum(int(parts[unit]) * seconds for unit, seconds in _SECONDS.items()), text)
    return _bounded(sum(_old_word(word, text) for word in words), text)


def _old_word(word: str, text: str) -> int:
    match = _OLD_WORD.fullmatch(word)
    if match is None:
        raise _not_a_duration(text)
    return int(match[1]) * _OLD_UNITS[match[2]]


def _bounded(seconds: int, text: str) -> timedelta:
    if seconds > LONGEST.total_seconds():
        raise DurationError(f"the duration {text.strip()!r} is longer than 1000 years")
    return timedelta(seconds=seconds)


def _not_a_duration(text: str) -> DurationError:
    return DurationError(
        f"{text.strip()[:80]!r} is not a duration",
        "write five and a half minutes as PT5M30S (RFC 3339), or as 5m 30s",
    )


def format_duration(duration: timedelta) -> str:
    """Write a duration of zero or more as RFC 3339 has it: ``PT5M``, ``P1DT2H``, ``PT1H0M5S``.

    Fractions of a second are dropped.
    """
    hours, minutes, seconds = (
        duration.seconds // 3600,
        duration.seconds // 60 % 60,
        duration.seconds % 60,
    )
    if duration.days and not duration.days % 7 and not duration.seconds:
        return f"P{duration.days // 7}W"
    date = f"{duration.days}D" if duration.days else ""
    time = f"{hours}H" if hours else ""
    time += f"{minutes}M" if minutes or (hours and seconds) else ""
    time += f"{seconds}S" if seconds else ""
    return f"P{date}T{time}" if time else f"P{date or 'T0S'}"
