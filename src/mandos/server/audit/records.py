# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit record: one for each event that an administrator may have to look up later.

Records are kept in the state's database and written to the log; both know only this type.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mandos.server.life import events

if TYPE_CHECKING:
    from datetime import datetime


class Kind(StrEnum):
    """The kind of event that a record reports."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    OVERDUE = "overdue"
    FORGIVEN = "forgiven"
    SECRET_SENT = "secret-sent"  # noqa: S105 - not a password
    REHEARSED = "rehearsed"
    STATUS_SENT = "status-sent"
    UNDELIVERED = "undelivered"
    REJECTED = "rejected"
    UNKNOWN_KEY = "unknown-key"
    CHECK_FAILED = "check-failed"
    APPROVAL_NEEDED = "approval-needed"
    APPROVED = "approved"
    DENIED = "denied"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    STATE_LOST = "state-lost"


#: Kinds of records that a peer can cause with each connection, without getting a secret.
ASKED = frozenset(
    (Kind.UNKNOWN_KEY, Kind.REJECTED, Kind.APPROVAL_NEEDED, Kind.UNDELIVERED, Kind.STATUS_SENT)
)
#: Kinds of records that a client's secret was sent.  Strangers can neither cause nor displace them.
SENT = frozenset((Kind.SECRET_SENT, Kind.REHEARSED))
#: Kinds of records about an answer to the holder of a client's key; each is counted by address, so
#: that a thief's request is no repetition of the machine's own.
ANSWERED = SENT | {Kind.STATUS_SENT}
#: How the detail of a failed check begins when none of the client's checks has succeeded.
NEVER_CHECKED_OK = "none has succeeded yet"
#: The detail of a record that a client has a whole timeout after a restart of the machine.
STARTED_ANEW = "the machine was started anew after the client's time was over"
#: Why a client is removed that no administrator has removed.
LEFT = "its section is missing; its state is remembered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the audit trail; fields that do not apply are empty.

    ``detail`` is the reason or the names of changed settings, ``by`` the user that caused it,
    ``server`` the server that wrote it, where several share the trail.
    """

    kind: Kind
    at: datetime
    client: str = ""
    key_id: str = ""
    address: str = ""
    interface: str = ""
    detail: str = ""
    by: str = ""
    server: str = ""


def _late(event: events.Overdue | events.Forgiven) -> tuple[Kind, str, str]:
    """The kind, the detail and the user of a record that a check was late."""
    if isinstance(event, events.Overdue):
        seconds = event.late.total_seconds()
        return Kind.OVERDUE, f"the server is {seconds:.1f} s late with its check", ""
    seconds = event.time.total_seconds()
    detail = f"the client was found alive {seconds:.1f} s after its time was over"
    return Kind.FORGIVEN, detail, event.by


def record_of(event: events.Event, key_id: str = "") -> Record | None:
    """The record of an event in a client's life, None when it is not worth keeping.

    The decisions about a request are recorded where the peer is known (``requests/judge.py``).
    """
    match event:
        case events.Added():
            kind, detail, by = Kind.ADDED, event.how, event.by
        case events.Left():
            kind, detail, by = Kind.REMOVED, LEFT, event.by
        case events.Removed():
            kind, detail, by = Kind.REMOVED, "", event.by
        case events.Enabled():
            kind, detail, by = Kind.ENABLED, event.why, event.by
        case events.Disabled():
            kind, detail, by = Kind.DISABLED, event.why, event.by
        case events.CheckFailed():
            kind, detail, by = Kind.CHECK_FAILED, event.failure, ""
        case events.Overdue() | events.Forgiven():
            kind, detail, by = _late(event)
        case events.VerdictGiven():
            kind, detail, by = Kind.APPROVED if event.approved else Kind.DENIED, "", event.by
        case events.SettingsChanged():
            kind, detail, by = Kind.CHANGED, " ".join(event.names), event.by
        case _:
            return None
    return Record(kind=kind, at=event.at, client=event.client, key_id=key_id, detail=detail, by=by)
