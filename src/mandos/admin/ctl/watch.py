# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live events of the server: a line for a person, or a JSON object for a program.

For a person, successful checks and consequences of other events are omitted unless requested.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from mandos.admin import signals
from mandos.admin.client import Client, no_such_client, shortened
from mandos.admin.ctl.explain import Grade
from mandos.admin.ctl.log import as_object, describe
from mandos.admin.formatting import printable, quoted, two_units
from mandos.admin.servers import Sharing
from mandos.client_settings import BY_PROPERTY, DURATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

#: Properties that change with an event that is shown anyway.
_DERIVED = frozenset({
    "ApprovalPending", "CheckerRunning", "DisabledAt", "DisabledReason", "Expires",
    "LastApprovalRequest", "LastCheckedOK", "LastCheckerStatus", "LastEnabled", "LastRehearsed",
    "LastSecretSent",
})  # fmt: skip
_DURATIONS = frozenset(name for name, setting in BY_PROPERTY.items() if setting.kind in DURATIONS)
#: Records that say more than the server's signals do, or that have no signal.
_TOLD_BY_RECORD = {
    "enabled": Grade.WELL,
    "disabled": Grade.BAD,
    "approved": Grade.WELL,
    "denied": Grade.BAD,
    "rehearsed": Grade.WELL,
    "undelivered": Grade.DOUBTFUL,
    "check-failed": Grade.DOUBTFUL,
    "overdue": Grade.DOUBTFUL,
    "forgiven": Grade.WELL,
    "state-lost": Grade.BAD,
}


#: Records of other servers, of which this one sends no signals.
_TOLD_ELSEWHERE = {
    "secret-sent": Grade.WELL,
    "rejected": Grade.BAD,
    "unknown-key": Grade.DOUBTFUL,
}


class Line(NamedTuple):
    """The text to print, and its severity."""

    text: str
    grade: Grade | None = None


class SignalWatch:
    """Knows the clients by their paths, and describes each event.

    If clients are named, only their events are reported; NoSuchClientError is raised when the
    server does not have them at first.  ``records``: whether the server reports its audit records.
    """

    def __init__(self, names: Sequence[str], *, verbose: bool) -> None:
        self.records = False
        self._names = frozenset(names)
        self._verbose = verbose
        self._clients: dict[str, Client] = {}
        self._sharing = Sharing()
        self._listed = self._begun = False

    def as_line(self, event: signals.Event) -> Line | None:
        """The event for a person; None when there is nothing to say."""
        line = self._LINES[type(event)](self, event) if self._concerns(event) else None
        self._note(event)
        return line

    def as_object(self, event: signals.Event, now: datetime) -> str | None:
        """The event as a JSON object in one line; None when it concerns other clients."""
        told = self._object(event, now) if self._concerns(event) else None
        self._note(event)
        return None if told is None else json.dumps(told)

    def _concerns(self, event: signals.Event) -> bool:
        if isinstance(event, signals.ServerChanged):  # no news of a server that shares no state
            return bool(self._sharing.changed(event.values).database)
        if not self._names:
            return True
        if isinstance(event, signals.ClientNotFound):
            return False
        name = self._client_of(event)
        return name is None or name in self._names

    def _client_of(self, event: signals.Event) -> str | None:
        """The name of the client that an event is about."""
        match event:
            case signals.RecordAdded():
                return event.record.client
            case signals.ClientAdded():
                return event.client.name
        path = getattr(event, "path", None)
        return None if path is None else self._name(path)

    def _name(self, path: str) -> str:
        client = self._clients.get(path)
        return client.name if client else path.rpartition("/")[2]

    def _note(self, event: signals.Event) -> None:
        match event:
            case signals.ServerVanished() | signals.ServerAppeared():
                self._clients, self._listed = {}, False
                self._sharing = Sharing()
            case signals.ServerChanged():
                self._sharing = self._sharing.changed(event.values)
            case signals.Listed():
                self._clients = {client.path: client for client in event.clients}
                self._check_names()
                self._listed = self._begun = True
            case signals.ClientAdded():
                self._clients[event.client.path] = event.client
            case signals.ClientRemoved():
                self._clients.pop(event.path, None)
            case signals.Changed() if event.path in self._clients:
                self._clients[event.path] = self._clients[event.path].changed(event.values)

    def _check_names(self) -> None:
        known = {client.name for client in self._clients.values()}
        missing = sorted(self._names - known)
        if missing and not self._begun:
            raise no_such_client(missing, known)

    def _vanished(self, _event: signals.ServerVanished) -> Line:
        text = "the server is gone" if self._begun else "no server is running"
        return Line(f"{text}; waiting for it", Grade.BAD)

    def _appeared(self, _event: signals.ServerAppeared) -> Line | None:
        return Line("the server is back", Grade.WELL) if self._begun else None

    def _listing_failed(self, event: signals.ListingFailed) -> Line:
        return Line(f"the server does not list its clients: {event.error}", Grade.BAD)

    def _all(self, event: signals.Listed) -> Line:
        number = len(self._names) or len(event.clients)
        return Line(f"watching {number} client{'' if number == 1 else 's'}")

    def _not_found(self, event: signals.ClientNotFound) -> Line:
        address, key_id = printable(event.address), printable(event.key_id)
        return Line(f"refused {address}: no client has the key ID {key_id}", Grade.DOUBTFUL)

    def _record(self, event: signals.RecordAdded) -> Line | None:
        record = event.record
        grade = _TOLD_BY_RECORD.get(record.kind)
        if record.server not in {"", self._sharing.name}:
            grade = grade or _TOLD_ELSEWHERE.get(record.kind)
        whose = printable(shortened(record.client)) or "all clients"
        return Line(f"{whose}: {describe(record)}", grade) if grade else None

    def _server(self, event: signals.ServerChanged) -> Line | None:
        """New problems with the other servers or the database, or the end of all problems."""
        before, now = self._sharing.problems(), self._sharing.changed(event.values).problems()
        if new := [problem for problem in now if problem not in before]:
            return Line("; ".join(new), Grade.BAD)
        if before and not now:
            return Line("the database is connected, and all servers are there", Grade.WELL)
        return None

    def _added(self, event: signals.ClientAdded) -> Line | None:
        is_new = self._listed and event.client.path not in self._clients
        return Line(f"{printable(event.client.short_name)}: added") if is_new else None

    def _removed(self, event: signals.ClientRemoved) -> Line | None:
        return (
            self._about(event, "removed", Grade.DOUBTFUL) if event.path in self._clients else None
        )

    def _started(self, event: signals.CheckerStarted) -> Line | None:
        return self._about(event, f"check begins: {event.command}") if self._verbose else None

    def _completed(self, event: signals.CheckerCompleted) -> Line | None:
        if event.wait_status == 0:
            return self._about(event, "check succeeded") if self._verbose else None
        how = f"exit status {event.exit_code}" if event.exit_code >= 0 else "killed by a signal"
        return self._about(event, f"check failed ({how}): {event.command}", Grade.DOUBTFUL)

    def _got_secret(self, event: signals.GotSecret) -> Line:
        return self._about(event, "got its secret", Grade.WELL)

    def _rejected(self, event: signals.Rejected) -> Line:
        return self._about(event, f"refused: {event.reason.lower()}", Grade.BAD)

    def _need_approval(self, event: signals.NeedApproval) -> Line:
        delay = two_units(timedelta(milliseconds=event.milliseconds))
        outcome = "gets its secret" if event.default else "gets nothing"
        how = f"mandos-ctl --approve {quoted(self._name(event.path))}"
        text = f"waits for approval, {delay}, and then {outcome}: {how}"
        return self._about(event, text, Grade.ASKS)

    def _changed(self, event: signals.Changed) -> Line | None:
        client = self._clients.get(event.path)
        before: Mapping[str, Any] = client.values if client else {}
        told = {
            name: value
            for name, value in event.values.items()
            if before.get(name) != value and (self._verbose or name not in _DERIVED)
        }
        if told.keys() == {"Enabled"}:
            return self._switched(event, enabled=bool(told["Enabled"]))
        text = ", ".join(f"{name} is now {_value(name, value)}" for name, value in told.items())
        return self._about(event, text) if text else None

    def _switched(self, event: signals.Changed, *, enabled: bool) -> Line | None:
        if self.records:  # then a record says it, and why
            return None
        text, grade = ("enabled", Grade.WELL) if enabled else ("disabled", Grade.BAD)
        return self._about(event, text, grade)

    def _about(self, event: signals.ClientEvent, text: str, grade: Grade | None = None) -> Line:
        return Line(f"{printable(shortened(self._name(event.path)))}: {printable(text)}", grade)

    def _object(self, event: signals.Event, now: datetime) -> dict[str, Any]:
        time = now.astimezone(UTC).replace(tzinfo=None).isoformat()
        told: dict[str, Any] = {"time": time, "event": _event_name(event)}
        match event:
            case signals.Listed():
                return told | {"clients": [client.name for client in event.clients]}
            case signals.ListingFailed():
                return told | {"error": str(event.error)}
            case signals.ClientAdded():
                return told | {"client": event.client.name, "values": dict(event.client.values)}
            case signals.RecordAdded():
                return told | as_object(event.record)
        name = self._client_of(event)
        whose = {} if name is None else {"client": name}
        names = (field.name for field in fields(event) if field.name != "path")
        return told | whose | {name: getattr(event, name) for name in names}

    #: How each event becomes a line.
    _LINES: ClassVar[Mapping[type[signals.Event], Callable[[SignalWatch, Any], Line | None]]] = {
        signals.ServerVanished: _vanished,
        signals.ServerAppeared: _appeared,
        signals.ListingFailed: _listing_failed,
        signals.Listed: _all,
        signals.ClientNotFound: _not_found,
        signals.RecordAdded: _record,
        signals.ServerChanged: _server,
        signals.ClientAdded: _added,
        signals.ClientRemoved: _removed,
        signals.Changed: _changed,
        signals.CheckerStarted: _started,
        signals.CheckerCompleted: _completed,
        signals.GotSecret: _got_secret,
        signals.Rejected: _rejected,
        signals.NeedApproval: _need_approval,
    }


def _event_name(event: signals.Event) -> str:
    """The event's class in the audit trail's way of writing: ``checker-started``."""
    name = type(event).__name__
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in name).lstrip("-")


def _value(name: str, value: Any) -> str:  # noqa: ANN401 - any value from D-Bus
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _DURATIONS:
        return two_units(timedelta(milliseconds=value))
    return str(value) or "empty"
