# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client as the monitor sees it: its state now, and the values to sort and show it by."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self, TypedDict

from mandos.admin.client import KILLED, NEVER_CHECKED
from mandos.admin.formatting import countdown, one_unit, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mandos.admin.client import Client

NEVER: Final = datetime.max.replace(tzinfo=UTC)
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_DIGITS = re.compile(r"([0-9]{1,18})")


class State(IntEnum):
    """The states of a client, the most urgent first."""

    ASKS = 0
    FAILING = 1
    LATE = 2
    ENABLED = 3
    DISABLED = 4


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client, with the dates that decide about its state read once.

    ``expires`` and ``answered`` are NEVER where there is none, ``alive`` is LONG_AGO.
    """

    client: Client
    #: The D-Bus object's path, which no other client has.
    path: str
    #: As it may be shown.
    name: str
    #: Sorts numbers in names by their value.
    sort_name: tuple[tuple[int, int | str], ...]
    #: The text that filters and searches look at, without regard to case.
    text: str
    #: The client's state, unless a check is overdue.
    basis: State
    #: When it will be disabled unless it is found alive.
    expires: datetime
    #: From when on a check is overdue: one should have ended two intervals after the last.
    late: datetime
    #: When its waiting request is decided by default.
    answered: datetime
    #: When it was last found alive.
    alive: datetime

    @classmethod
    def of(cls, client: Client) -> Self:
        """Read a client."""
        pieces = _DIGITS.split(client.name.casefold())
        return cls(
            path=client.path,
            name=printable(client.short_name),
            sort_name=tuple((0, int(one)) if one.isdecimal() else (1, one) for one in pieces),
            text=f"{client.name}\n{client.host}".casefold(),
            **_live(client),
        )

    def changed(self, values: Mapping[str, Any]) -> ClientRow:
        """The same client with some new values."""
        client = self.client.changed(values)
        if "Name" in values or "Host" in values:
            return ClientRow.of(client)
        return replace(self, **_live(client))

    def state(self, now: datetime) -> State:
        """The client's state."""
        if self.basis is State.ENABLED and now >= self.late:
            return State.LATE
        return self.basis

    def time_left(self, now: datetime) -> str:
        """How long until it is disabled; empty when it is, or when nothing is scheduled."""
        if not self.client.enabled or self.expires == NEVER:
            return ""
        return countdown(self.expires - now)

    def last_alive(self, now: datetime) -> str:
        """How long ago it was found alive."""
        return "never" if self.alive == LONG_AGO else f"{one_unit(now - self.alive)} ago"

    def decision(self, now: datetime) -> str:
        """The decision on its waiting request without an answer, and its time."""
        soon = "soon" if self.answered == NEVER else f"in {countdown(self.answered - now)}"
        return f"{'sent' if self.client.approved_by_default else 'denied'} {soon}"

    def request(self, now: datetime) -> str:
        """The decision on its waiting request."""
        other = "denied" if self.client.approved_by_default else "approved"
        return f"{self.decision(now)} unless {other}"

    def note(self, now: datetime) -> str:
        """A remark on the client's state."""
        match self.state(now):
            case State.ASKS:
                return self.decision(now)
            case State.FAILING:
                return checker_result(self.client.last_checker_status)
            case State.LATE:
                return "no check in time"
            case State.DISABLED:
                return self._disabled(now)
            case _ if self.client.checker_running:
                return "checking"
            case _:
                never = self.client.last_checker_status == NEVER_CHECKED
                return "not checked yet" if never else ""

    def _disabled(self, now: datetime) -> str:
        """Why it is disabled and since when, as far as the server reports it."""
        at = self.client.disabled_at
        words = (printable(self.client.disabled_reason), f"{one_unit(now - at)} ago" if at else "")
        return " ".join(filter(None, words))


def checker_result(status: int) -> str:
    """How the last checker ended: DBUS-API, "LastCheckerStatus"."""
    if status == NEVER_CHECKED:
        return "not checked yet"
    if status == KILLED:
        return "checker was killed"
    return f"checker exit code {status}" if status else "succeeded"


class _Live(TypedDict):
    client: Client
    basis: State
    expires: datetime
    late: datetime
    answered: datetime
    alive: datetime


def _live(client: Client) -> _Live:
    """The values that change all the time."""
    return {
        "client": client,
        "basis": _basis(client),
        "expires": client.expires or NEVER,
        "late": _late(client),
        "answered": _answered(client),
        "alive": client.last_checked_ok or LONG_AGO,
    }


def _basis(client: Client) -> State:
    if client.approval_pending:
        return State.ASKS
    if not client.enabled:
        return State.DISABLED
    failed = client.last_checker_status not in {0, NEVER_CHECKED}
    return State.FAILING if failed else State.ENABLED


def _late(client: Client) -> datetime:
    if client.expires is None:
        return NEVER
    try:
        return client.expires - client.timeout + 2 * client.interval
    except OverflowError:
        return NEVER


def _answered(client: Client) -> datetime:
    if not client.approval_pending or client.last_approval_request is None:
        return NEVER
    try:
        return client.last_approval_request + client.approval_delay
    except OverflowError:
        return NEVER
