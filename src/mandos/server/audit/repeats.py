# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds the log lines about requests: the first of a kind is logged, its repetitions are counted.

(The level DEBUG logs them all, which helps to find a fault.)

A refused request of a known client is a repetition if the client, the kind and the reason are the
same; an answer to a client, if the client, the address and the purpose (boot, rehearsal or status)
are; a request of an unknown key, if the key is.
Every minute one line says how often each was repeated, and one line reports all unknown keys
together.  An administrator's change of a client begins anew: the next refusal is logged at once.
Memory is bounded by the number of clients.  Pure.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mandos.server.audit.records import ANSWERED, ASKED, Kind
from mandos.server.audit.text import (
    describe_record,
    late_checks,
    other_addresses,
    unknown_keys,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mandos.server.audit.records import Record

_Key = TypeVar("_Key")

#: Unknown keys that get a log line of their own in a minute.
UNKNOWN_KEYS = 100
#: Addresses of each client to which an answer has a line of its own in a minute.
SENT_ADDRESSES = 5
#: Clients that the server was late to check: so many lines of each kind in a minute.
LATE = {Kind.OVERDUE: 100, Kind.FORGIVEN: 100}
#: A peer can cause this too, but each is logged; it changes nothing that was said before.
_ROUTINE = (Kind.CHECK_FAILED,)


class Line(NamedTuple):
    """A line for the log, and the record whose fields it carries."""

    level: int
    text: str
    record: Record


@dataclass(slots=True)
class _Repeated:
    """The last record of a kind, and how many were not logged."""

    last: Record
    times: int = 0

    def again(self, record: Record) -> None:
        """Count another one."""
        self.last = record
        self.times += 1


class _Sent:
    """The answers to one client for one purpose, by address."""

    def __init__(self) -> None:
        self._addresses: dict[tuple[str, str], _Repeated] = {}
        self._others: _Repeated | None = None

    def repeats(self, record: Record) -> bool:
        """Whether the address had a line, or too many others had one."""
        where = (record.address, record.interface)
        if where in self._addresses or len(self._addresses) < SENT_ADDRESSES:
            return _repeats(self._addresses, where, record)
        if self._others is None:
            self._others = _Repeated(record)
        self._others.again(record)
        return True

    def summaries(self) -> Iterator[Line]:
        """Sum up what had no line of its own."""
        yield from _summaries(self._addresses)
        if self._others is not None:
            last, times = self._others.last, self._others.times
            yield Line(logging.INFO, other_addresses(times, last), last)

    def minute_over(self) -> bool:
        """Begin to count anew; other addresses get a chance.  False if nothing is left."""
        self._addresses = {} if self._others is not None else _kept(self._addresses)
        self._others = None
        return bool(self._addresses)


class Repeats:
    """Turns records into log lines."""

    def __init__(self) -> None:
        self._known: dict[str, dict[tuple[str, str], _Repeated]] = {}
        self._sent: dict[tuple[str, Kind], _Sent] = {}
        self._keys: dict[str, _Repeated] = {}
        self._others: _Repeated | None = None
        self._late: dict[Kind, _Repeated] = {}

    def lines(self, record: Record) -> Iterator[Line]:
        """The log line for a record: on the level DEBUG if the record only repeats another one."""
        if record.kind is Kind.UNKNOWN_KEY:
            repeated = self._unknown(record)
        elif record.kind in ANSWERED:
            sent = self._sent.setdefault((record.client, record.kind), _Sent())
            repeated = sent.repeats(record)
        elif record.kind in LATE:
            repeated = self._many_late(record)
        elif record.kind in ASKED:
            about = self._known.setdefault(record.client, {})
            repeated = _repeats(about, (record.kind, record.detail), record)
        else:
            repeated = False
            if record.kind not in _ROUTINE:
                yield from _summaries(self._known.pop(record.client, {}))
                for kind in sorted(ANSWERED):
                    yield from self._sent.pop((record.client, kind), _Sent()).summaries()
        level, text = describe_record(record)
        yield Line(logging.DEBUG if repeated else level, text, record)

    def minute_over(self) -> Iterator[Line]:
        """Sum up the last minute's counts; forget the records that were not repeated in it."""
        for about in self._known.values():
            yield from _summaries(about)
        self._known = {
            client: kept for client, about in self._known.items() if (kept := _kept(about))
        }
        for sent in self._sent.values():
            yield from sent.summaries()
        self._sent = {key: sent for key, sent in self._sent.items() if sent.minute_over()}
        yield from self._unknown_keys()
        for kind, one in self._late.items():
            if one.times > LATE[kind]:
                yield Line(logging.WARNING, late_checks(kind, one.times - LATE[kind]), one.last)
        self._late.clear()

    def _many_late(self, record: Record) -> bool:
        """Whether so many clients were not checked in time that this one is only counted."""
        one = self._late.setdefault(record.kind, _Repeated(record))
        one.again(record)
        return one.times > LATE[record.kind]

    def _unknown(self, record: Record) -> bool:
        """Whether the key was named before, or too many others were."""
        if record.key_id in self._keys or len(self._keys) < UNKNOWN_KEYS:
            return _repeats(self._keys, record.key_id, record)
        if self._others is None:
            self._others = _Repeated(record)
        self._others.again(record)
        return True

    def _unknown_keys(self) -> Iterator[Line]:
        some = [one for one in self._keys.values() if one.times]
        if self._others is not None:
            some.append(self._others)
        if some:
            last = max(some, key=lambda one: one.last.at).last
            times = sum(one.times for one in some)
            yield Line(logging.WARNING, unknown_keys(times, last), last)
        # When all places are taken for long, other keys get a chance to be named.
        self._keys = {} if self._others is not None else _kept(self._keys)
        self._others = None


def _repeats(about: dict[_Key, _Repeated], key: _Key, record: Record) -> bool:
    repeated = about.get(key)
    if repeated is None:
        about[key] = _Repeated(record)
        return False
    repeated.again(record)
    return True


def _summaries(about: Mapping[tuple[str, str], _Repeated]) -> Iterator[Line]:
    for one in about.values():
        if one.times:
            level, text = describe_record(one.last)
            more = "1 more time" if one.times == 1 else f"{one.times} more times"
            yield Line(level, f"{text} ({more} since the last line about this)", one.last)


def _kept(about: dict[_Key, _Repeated]) -> dict[_Key, _Repeated]:
    """Start new counts for the records that continue."""
    return {key: _Repeated(one.last) for key, one in about.items() if one.times}
