# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The details of one client, in lines of words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mandos.admin.formatting import all_units, countdown, one_unit, printable, short_date
from mandos.admin.monitor.columns import LABELS
from mandos.admin.monitor.row import State, checker_result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, tzinfo

    from mandos.admin.client import SettingValue
    from mandos.admin.monitor.row import ClientRow


def facts(row: ClientRow, now: datetime, zone: tzinfo | None = None) -> list[tuple[str, str]]:
    """Titles and their values; values that are empty or do not apply are omitted."""
    return [(title, printable(text)) for title, text in _facts(row, now, zone) if text]


def _facts(row: ClientRow, now: datetime, zone: tzinfo | None) -> Iterator[tuple[str, str]]:
    client = row.client
    ago = _Ago(now, zone)
    yield "State", f"{LABELS[row.state(now)]}: {_meaning(row, now)}"
    if client.enabled and client.expires is not None:
        yield "Time left", f"{countdown(client.expires - now)}, then disabled unless found alive"
    if not client.enabled:
        yield "Disabled", ", ".join(filter(None, (client.disabled_reason, ago(client.disabled_at))))
    yield "Host", client.host
    running = "; it runs now" if client.checker_running else ""
    yield "Last alive", ago(client.last_checked_ok) or "never since the server knows it"
    yield "Last check", checker_result(client.last_checker_status) + running
    yield "Checked by", client.watched_by and f"server {client.watched_by}"
    yield "Checker", client.checker
    yield (
        "Times",
        (
            f"checked every {all_units(client.interval)}, "
            f"disabled after {all_units(client.timeout)}, "
            f"or {all_units(client.extended_timeout)} after it got its secret"
        ),
    )
    yield "Approval", _approval(row)
    for setting in client.settings_beyond():
        yield setting.label[:1].upper() + setting.label[1:], _value(client.setting(setting))
    yield "Last secret", ago(client.last_secret_sent)
    yield "Last rehearsal", ago(client.last_rehearsed)
    yield "Last request", ago(client.last_approval_request)
    yield "Enabled", ago(client.last_enabled)
    yield "Created", ago(client.created)
    yield "Key ID", client.key_id
    yield "Fingerprint", client.fingerprint


def _value(value: SettingValue) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case timedelta():
            return all_units(value)
    return value


def _meaning(row: ClientRow, now: datetime) -> str:
    """Whether it would get its secret now, and why."""
    match row.state(now):
        case State.ASKS:
            return f"its secret is {row.request(now)}"
        case State.DISABLED:
            return "it does not get its secret until somebody enables it"
        case State.FAILING | State.LATE:
            return "not found alive of late, and will be disabled if that goes on"
        case _ if row.client.approval_delay:
            return "it may ask for its secret"
        case _:
            return "it gets its secret when it asks"


def _approval(row: ClientRow) -> str:
    client = row.client
    end = "the secret is sent" if client.approved_by_default else "it is denied"
    if not client.approval_delay:
        return "no waiting; " + end
    return (
        f"waits {all_units(client.approval_delay)}, then {end}; "
        f"a decision holds for {all_units(client.approval_duration)}"
    )


class _Ago:
    """Writes dates as how long ago, and when."""

    def __init__(self, now: datetime, zone: tzinfo | None) -> None:
        self._now = now
        self._zone = zone

    def __call__(self, date: datetime | None) -> str:
        if date is None:
            return ""
        return f"{one_unit(self._now - date)} ago, at {short_date(date, self._now, self._zone)}"
