# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log: the message of each event for a person, and the messages that are kept.

Successful checks are verbose.  They are kept apart, so that thousands of them do not push out the
one request that was refused.
"""

from __future__ import annotations

import heapq
import signal
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from mandos.admin.client import shortened
from mandos.admin.formatting import all_units, printable
from mandos.admin.signals import (
    CheckerCompleted,
    CheckerStarted,
    ClientNotFound,
    GotSecret,
    NeedApproval,
    Rejected,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from typing import Any

    from mandos.admin.client import AuditRecord
    from mandos.admin.signals import Event

#: How many messages of each sort are kept.
KEPT = 2000
#: Reasons of the signal Rejected, as both servers send them.
_REASONS: Final = {
    "Disabled": "it is disabled",
    "Denied": "it was denied",
    "Approval timed out": "nobody approved it in time",
}


class Weight(Enum):
    """How much a message matters."""

    VERBOSE = 0
    NORMAL = 1
    ALERT = 2


@dataclass(frozen=True, slots=True)
class Message:
    """A line of the log; numbers grow in the order of the events."""

    number: int
    at: datetime
    text: str
    weight: Weight


class Messages:
    """The newest messages of each sort."""

    def __init__(self) -> None:
        self._verbose: deque[Message] = deque(maxlen=KEPT)
        self._other: deque[Message] = deque(maxlen=KEPT)
        self.last = 0

    def add(self, at: datetime, text: str, weight: Weight = Weight.NORMAL) -> None:
        """Add a message; its text becomes printable."""
        self.last += 1
        kept = self._verbose if weight is Weight.VERBOSE else self._other
        kept.append(Message(self.last, at, printable(text), weight))

    def after(self, number: int, *, verbose: bool) -> list[Message]:
        """The messages with a higher number, in their order."""
        kinds = (self._other, self._verbose) if verbose else (self._other,)
        return list(heapq.merge(*(_after(kept, number) for kept in kinds), key=_NUMBER))


_NUMBER = attrgetter("number")


def _after(kept: deque[Message], number: int) -> list[Message]:
    newest = []
    for message in reversed(kept):
        if message.number <= number:
            break
        newest.append(message)
    return newest[::-1]


def said(event: Event, name: str = "") -> tuple[str, Weight] | None:
    """The message of an event about the client of this name; None when it needs none."""
    say = _SAYINGS.get(type(event))
    return None if say is None else say(event, name)


def _started(event: CheckerStarted, name: str) -> tuple[str, Weight]:
    return f"{name}: checker started: {event.command}", Weight.VERBOSE


def _completed(event: CheckerCompleted, name: str) -> tuple[str, Weight]:
    weight = Weight.NORMAL if event.wait_status else Weight.VERBOSE
    return f"{name}: checker {_ending(event)}: {event.command}", weight


def _got_secret(_event: GotSecret, name: str) -> tuple[str, Weight]:
    return f"{name}: was sent its secret", Weight.NORMAL


def _need_approval(event: NeedApproval, name: str) -> tuple[str, Weight]:
    wait = all_units(timedelta(milliseconds=min(event.milliseconds, _LONGEST)))
    what = "sent unless denied" if event.default else "denied unless approved"
    return f"{name}: asks for its secret; {what} within {wait}", Weight.ALERT


def _rejected(event: Rejected, name: str) -> tuple[str, Weight]:
    reason = _REASONS.get(event.reason, event.reason)
    return f"{name}: asked for its secret and did not get it: {reason}", Weight.ALERT


def _not_found(event: ClientNotFound, _name: str) -> tuple[str, Weight]:
    return (
        f"{event.address} asked with the key ID {event.key_id}, which no client has",
        Weight.ALERT,
    )


#: The words for records of other servers: between the client's name, and the user and the server.
_ELSEWHERE: Final = {
    "enabled": ("enabled", Weight.NORMAL),
    "disabled": ("DISABLED", Weight.ALERT),
    "approved": ("approved", Weight.NORMAL),
    "denied": ("denied", Weight.NORMAL),
    "secret-sent": ("was sent its secret", Weight.NORMAL),
    "rejected": ("asked for its secret and did not get it", Weight.ALERT),
}


def said_elsewhere(record: AuditRecord) -> tuple[str, Weight] | None:
    """The message about a record of another server; None when it needs none."""
    text, weight = _ELSEWHERE.get(record.kind, ("", Weight.NORMAL))
    if not text:
        return None
    why = _REASONS.get(record.detail, record.detail)
    detail = f": {why}" if why else ""
    by = f" by {record.by}" if record.by else ""
    return f"{shortened(record.client)}: {text}{by} on server {record.server}{detail}", weight


#: The words of the message for each kind of event that has one.
_SAYINGS: Final[Mapping[type, Callable[[Any, str], tuple[str, Weight]]]] = {
    CheckerStarted: _started,
    CheckerCompleted: _completed,
    GotSecret: _got_secret,
    NeedApproval: _need_approval,
    Rejected: _rejected,
    ClientNotFound: _not_found,
}
_LONGEST: Final = timedelta.max // timedelta(milliseconds=1)


def _ending(event: CheckerCompleted) -> str:
    """How a checker ended: wait(2)."""
    if event.wait_status == 0:
        return "succeeded"
    if event.exit_code >= 0:
        return f"failed with exit code {event.exit_code}"
    number = event.wait_status & 0x7F
    try:
        return f"was killed by {signal.Signals(number).name}"
    except ValueError:
        return f"was killed by signal {number}"
