# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns records of the audit trail into log lines for a person: the event and its remedy."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING

from mandos.server.audit.records import NEVER_CHECKED_OK, Kind
from mandos.server.life.events import Why

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mandos.server.audit.records import Record


#: The condition to check before enabling a client that no administrator has disabled.
_ENABLE_WHEN = {
    Why.TIMEOUT.value: "when it is back",
    Why.STATE_LOST.value: "if it is where it should be",
}


def describe_record(record: Record) -> tuple[int, str]:
    """The level and the text of the log line about a record."""
    level, describe = _LINES[record.kind]
    if record.kind is Kind.CHECK_FAILED and record.detail.startswith(NEVER_CHECKED_OK):
        level = logging.WARNING
    return level, describe(record)


def unknown_keys(times: int, last: Record) -> str:
    """The text of the log line about requests with unknown keys that had no line of their own."""
    requests = "1 more request" if times == 1 else f"{times} more requests"
    return (
        f"refused {requests} in a minute: no client has these keys; the last came from"
        f" {last.address}{_on(last)} with the key ID {last.key_id}"
    )


def other_addresses(times: int, last: Record) -> str:
    """The text of the log line about answers to addresses without a line of their own."""
    more = "1 more time" if times == 1 else f"{times} more times"
    purpose = ", for rehearsals of its boot" if last.kind is Kind.REHEARSED else ""
    answer = "status" if last.kind is Kind.STATUS_SENT else "secret"
    return (
        f"sent the {answer} of client {last.client} {more} in a minute,"
        f" to other addresses{purpose}; the last was {last.address}{_on(last)}"
    )


def late_checks(kind: Kind, times: int) -> str:
    """The text of the log line about late checks that had no line of their own."""
    clients = "1 more client" if times == 1 else f"{times} more clients"
    if kind is Kind.OVERDUE:
        return f"the time of {clients} is over without a check; no secret before one succeeds"
    return f"{clients} found alive late: still enabled"


def _enabled(record: Record) -> str:
    return f"client {record.client} is enabled{_why(record)}{_by(record)}"


def _disabled(record: Record) -> str:
    text = f"client {record.client} is disabled{_why(record)}{_by(record)}"
    when = _ENABLE_WHEN.get(record.detail)
    return f"{text}; enable it with mandos-ctl --enable {_quoted(record)} {when}" if when else text


def _overdue(record: Record) -> str:
    why = f"{_why(record)}{_at(record)}"
    text = f"the time of client {record.client} is over, but it was not checked{why}"
    return f"{text}; it gets nothing until a check succeeds; without one it will be disabled"


def _forgiven(record: Record) -> str:
    text = f"client {record.client} stays enabled though it was not checked in time{_why(record)}"
    return f"{text}{_by(record)}"


def _secret_sent(record: Record) -> str:
    others = f" and {record.detail}" if record.detail else ""
    where = f"{record.address}{_on(record)}{others}{_at(record)}"
    return f"sent the secret of client {record.client} to {where}"


def _rehearsed(record: Record) -> str:
    return f"{_secret_sent(record)} for a rehearsal of its boot"


def _status_sent(record: Record) -> str:
    others = f" and {record.detail}" if record.detail else ""
    where = f"{record.address}{_on(record)}{others}{_at(record)}"
    return f"sent the status of client {record.client} to {where}"


def _undelivered(record: Record) -> str:
    where = f"{record.address}{_on(record)}"
    return f"the secret of client {record.client} did not reach {where}{_why(record)}{_at(record)}"


def _rejected(record: Record) -> str:
    why = record.detail.lower() or "not allowed"
    return f"refused {record.address}{_on(record)}: client {record.client}: {why}{_at(record)}"


def _unknown_key(record: Record) -> str:
    text = f"refused {record.address}{_on(record)}: no client has the key ID {record.key_id}"
    return f"{text}{_at(record)}"


def _check_failed(record: Record) -> str:
    return f"a check of client {record.client} failed{_why(record)}{_at(record)}"


def _approval_needed(record: Record) -> str:
    where = f" at {record.address}{_on(record)}" if record.address else ""
    text = f"client {record.client}{where} waits for approval{_why(record)}{_at(record)}"
    return f"{text}; let it through with mandos-ctl --approve {_quoted(record)}"


def _approved(record: Record) -> str:
    return f"client {record.client} is approved{_by(record)}"


def _denied(record: Record) -> str:
    return f"client {record.client} is denied{_by(record)}"


def _changed(record: Record) -> str:
    return f"client {record.client} has new settings{_why(record)}{_by(record)}"


def _added(record: Record) -> str:
    return f"client {record.client} is {record.detail or 'new'}{_by(record)}"


def _removed(record: Record) -> str:
    return f"client {record.client} is removed{_why(record)}{_by(record)}"


def _state_lost(record: Record) -> str:
    whose = f" of client {record.client}" if record.client else ""
    return f"the saved state{whose} is lost{_why(record)}{_at(record)}"


_LINES: Mapping[Kind, tuple[int, Callable[[Record], str]]] = {
    Kind.ENABLED: (logging.INFO, _enabled),
    Kind.DISABLED: (logging.WARNING, _disabled),
    Kind.OVERDUE: (logging.WARNING, _overdue),
    Kind.FORGIVEN: (logging.INFO, _forgiven),
    Kind.SECRET_SENT: (logging.INFO, _secret_sent),
    Kind.REHEARSED: (logging.INFO, _rehearsed),
    Kind.STATUS_SENT: (logging.INFO, _status_sent),
    Kind.UNDELIVERED: (logging.WARNING, _undelivered),
    Kind.REJECTED: (logging.WARNING, _rejected),
    Kind.UNKNOWN_KEY: (logging.WARNING, _unknown_key),
    Kind.CHECK_FAILED: (logging.INFO, _check_failed),
    Kind.APPROVAL_NEEDED: (logging.INFO, _approval_needed),
    Kind.APPROVED: (logging.INFO, _approved),
    Kind.DENIED: (logging.INFO, _denied),
    Kind.CHANGED: (logging.INFO, _changed),
    Kind.ADDED: (logging.INFO, _added),
    Kind.REMOVED: (logging.INFO, _removed),
    Kind.STATE_LOST: (logging.ERROR, _state_lost),
}


def _why(record: Record) -> str:
    return f": {record.detail}" if record.detail else ""


def _by(record: Record) -> str:
    """The user that caused it, and the server, if it is another one."""
    if not record.server:
        return f" (by {record.by})" if record.by else ""
    return f" (by {record.by} on server {record.server})" if record.by else _at(record)


def _at(record: Record) -> str:
    return f" (on server {record.server})" if record.server else ""


def _on(record: Record) -> str:
    return f" on {record.interface}" if record.interface else ""


def _quoted(record: Record) -> str:
    """The client's name, quoted for a shell."""
    return shlex.quote(record.client)
