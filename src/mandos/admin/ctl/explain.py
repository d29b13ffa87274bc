# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Explains to a person whether a client would get its secret now, and the reason if not.

Pure: the server's data about the client and the time go in, text comes out.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from mandos.admin.client import KILLED, NEVER_CHECKED
from mandos.admin.formatting import ago, full_date, printable, quoted, two_units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mandos.admin.proxy import AuditRecord, Client


class Grade(Enum):
    """How bad it is."""

    WELL = "well"
    ASKS = "asks"
    DOUBTFUL = "doubtful"
    BAD = "bad"


class Trouble(NamedTuple):
    """The client's problem, in a few words."""

    grade: Grade
    text: str


#: Why a client is disabled, by the server's word for it: a few words, and half a sentence.
_REASONS = {
    "timeout": ("timed out", "since it did not show in time that it was alive"),
    "administrator": ("by an administrator", "by an administrator"),
    "configuration": ("by the configuration", "by the server's configuration"),
    "state lost": (
        "saved state lost",
        "since the server lost its saved state and does not know whether it was",
    ),
}
#: The check that a person must make before enabling the client again.
_BEFORE = {
    "timeout": "If it was not stolen, enable it",
    "state lost": "If it is where it should be, enable it",
}


def trouble(client: Client, now: datetime) -> Trouble:
    """The most important thing that is wrong with a client, if anything is."""
    if not client.enabled:
        return Trouble(Grade.BAD, _short_reason(client))
    if client.approval_pending:
        return Trouble(
            Grade.ASKS, f"waits for approval: mandos-ctl --approve {quoted(client.name)}"
        )
    if failure := _failure(client):
        return Trouble(Grade.DOUBTFUL, f"last check {failure}")
    if client.expires is not None and client.expires <= now:
        return Trouble(Grade.DOUBTFUL, "its time is over; it waits for a check")
    if client.timeout <= client.interval:
        return Trouble(Grade.DOUBTFUL, "its timeout is not longer than its interval")
    return Trouble(Grade.WELL, "")


def _short_reason(client: Client) -> str:
    if client.last_enabled is None:
        return "disabled from the beginning"
    text = _REASONS.get(client.disabled_reason, (printable(client.disabled_reason), ""))[0]
    return f"disabled: {text}" if text else "disabled"


def why(client: Client, now: datetime, *, ours: bool, records: Sequence[AuditRecord] = ()) -> str:
    """One paragraph: will it get its secret now; if not, why not, since when, and the remedy.

    ``ours``: the server is not the reference's, which hands the secret out when there is no
    approval delay, even if the default is to deny.  ``records`` are its newest audit records,
    newest first.
    """
    if client.enabled:
        outlook = (*_outlook(client, now), *_last_boot(client, now))
        sentences = [*_judgement(client, now, ours=ours), *outlook]
    else:
        sentences = list(_disabled(client, now, records))
    return " ".join([*sentences, *_last_failure(client, records), *_last_request(records, now)])


def _judgement(client: Client, now: datetime, *, ours: bool) -> Iterator[str]:
    name, command = printable(client.short_name), f"mandos-ctl --approve {quoted(client.name)}"
    delay = two_units(client.approval_delay)
    if client.approval_pending:
        asked = client.last_approval_request
        since = f" (it asked {ago(asked, now)})" if asked else ""
        outcome = "gets its secret" if client.approved_by_default else "gets nothing"
        yield f"Not yet: {name} waits for approval{since}."
        yield f"Let it through with: {command}. Without a word from you it {outcome} in the end."
    elif ours and client.expires is not None and client.expires <= now:
        yield f"No: the time of {name} is over, and the server has not yet checked it."
        yield "It gets its secret again as soon as a check succeeds."
    elif not client.approval_delay and (client.approved_by_default or not ours):
        yield f"Yes: {name} gets its secret as soon as it asks."
    elif not client.approval_delay:
        yield f"No: {name} is denied by default, and has no approval delay in which to approve it."
        yield (
            f"Give it one (mandos-ctl --approval-delay PT1M {quoted(client.name)}), or approve it"
            f" by default (mandos-ctl --approve-by-default {quoted(client.name)})."
        )
    elif client.approved_by_default:
        yield f"Yes, unless it is denied: {name} waits {delay} for approval,"
        yield f"and then gets its secret. Let it through at once with: {command}."
    else:
        yield f"Only if it is approved: {name} waits {delay} for that, and then gets nothing."
        yield f"Once it has asked, let it through with: {command}."


def _outlook(client: Client, now: datetime) -> Iterator[str]:
    """How long the client stays enabled, and any threat to that."""
    ok, failure = client.last_checked_ok, _failure(client)
    seen = f"It was last found alive {ago(ok, now)}" if ok else "It has not been found alive yet"
    expires = client.expires
    if expires is None:
        yield f"{seen}."
    elif expires <= now:
        yield f"{seen}, and its time is over: it is disabled unless a check succeeds."
    else:
        yield (
            f"{seen}, and is disabled in {two_units(expires - now)} ({full_date(expires)})"
            " unless it is found alive before."
        )
    if failure:
        yield (
            f"Its last check{_by_server(client)} {failure}: see whether"
            f" {printable(client.host) or 'its host'} is up,"
            f" and whether its checker works ({printable(client.checker)})."
        )
    elif client.last_checker_status == NEVER_CHECKED:
        yield "No check of it has ended yet."
    if client.timeout <= client.interval:
        yield (
            f"Its timeout ({two_units(client.timeout)}) is not longer than its checks' interval"
            f" ({two_units(client.interval)}): it will be disabled although it is alive."
        )


def _where(records: Sequence[AuditRecord]) -> str:
    """The server at which the client was disabled, where several share their state."""
    for record in records:
        if record.kind == "disabled" and record.server:
            return f" on server {printable(record.server)}"
    return ""


def _disabled(client: Client, now: datetime, records: Sequence[AuditRecord]) -> Iterator[str]:
    reason, since = client.disabled_reason, client.disabled_at
    because = _REASONS.get(reason, ("", f"({printable(reason)})" if reason else ""))[1]
    when = f" {ago(since, now)} ({full_date(since)})" if since else ""
    when += _where(records)
    was = "was disabled" if when or because else "is disabled"
    yield f"No: {printable(client.short_name)} {was}{when}{' ' if because else ''}{because}."
    if client.last_enabled is None:
        yield "It was never enabled: its section in clients.conf may say enabled = no."
    else:
        alive = client.last_checked_ok
        found = (
            f"last found alive {ago(alive, now)} ({full_date(alive)})"
            if alive
            else "never found alive"
        )
        yield f"It was {found}."
        if not reason:
            yield "The server does not report why or when; its log may."
    yield from _last_boot(client, now)
    before = _BEFORE.get(reason, "If it may have its secret, enable it")
    yield f"{before}: mandos-ctl --enable {quoted(client.name)}."


def _by_server(client: Client) -> str:
    return f" by server {printable(client.watched_by)}" if client.watched_by else ""


def _failure(client: Client) -> str:
    status = client.last_checker_status
    if status > 0:
        return f"failed with exit status {status}"
    return "was killed by a signal" if status == KILLED else ""


def _last_failure(client: Client, records: Sequence[AuditRecord]) -> Iterator[str]:
    """The checker's own words, unless a check has succeeded since."""
    if client.last_checker_status == 0:
        return
    for record in records:
        if record.kind == "check-failed":
            yield f"Its checker ended with: {printable(record.detail)}."
            return


#: The events of the audit trail that concern requests for the secret.
_REQUESTS = {
    "secret-sent": "it got its secret",
    "rehearsed": "it got its secret for a rehearsal of its boot",
    "undelivered": "its secret did not reach it",
    "rejected": "it was refused",
}


def _last_request(records: Sequence[AuditRecord], now: datetime) -> Iterator[str]:
    for record in records:
        what = _REQUESTS.get(record.kind)
        if what and record.last:
            where = f" at {printable(record.address)}" if record.address else ""
            detail = f": {printable(record.detail.lower())}" if record.detail else ""
            when = f"{ago(record.last, now)} ({full_date(record.last)})"
            server = f", from server {printable(record.server)}" if record.server else ""
            yield f"It last asked for its secret {when}{where}{server}: {what}{detail}."
            return


def _last_boot(client: Client, now: datetime) -> Iterator[str]:
    """When the client last booted by the server, and when it last showed that it could."""
    if not client.reports_boots:
        return
    sent, rehearsed = client.last_secret_sent, client.last_rehearsed
    if sent:
        yield f"It last booted with its secret {ago(sent, now)} ({full_date(sent)})."
    else:
        yield "No boot with its secret is on record."
    if rehearsed:
        yield f"It last rehearsed a boot {ago(rehearsed, now)} ({full_date(rehearsed)})."
    else:
        yield "It has rehearsed no boot: mandos-check on the client does."
