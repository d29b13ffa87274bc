# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail: fetched in pages, shown as columns for people or as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mandos.admin.client import shortened
from mandos.admin.ctl.columns import Cell, Medium, cut, layout
from mandos.admin.ctl.explain import Grade
from mandos.admin.formatting import full_date, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mandos.admin.proxy import AuditRecord, ServerProxy

#: How many records a server hands out at once: ``bus_names``, GetRecords.
_PAGE = 1000
#: Each kind's words, and how bad it is.
_KINDS = {
    "enabled": ("enabled", Grade.WELL),
    "disabled": ("disabled", Grade.BAD),
    "overdue": ("not checked in time", Grade.DOUBTFUL),
    "forgiven": ("stays enabled", Grade.WELL),
    "secret-sent": ("got its secret", Grade.WELL),
    "rehearsed": ("got its secret for a rehearsal of its boot", Grade.WELL),
    "status-sent": ("asked for its status", None),
    "undelivered": ("its secret did not arrive", Grade.DOUBTFUL),
    "rejected": ("refused", Grade.BAD),
    "unknown-key": ("refused: no client has this key", Grade.DOUBTFUL),
    "check-failed": ("a check failed", Grade.DOUBTFUL),
    "approval-needed": ("waits for approval", Grade.ASKS),
    "approved": ("approved", Grade.WELL),
    "denied": ("denied", Grade.BAD),
    "changed": ("settings changed", None),
    "added": ("added", None),
    "removed": ("removed", None),
    "state-lost": ("saved state lost", Grade.BAD),
}


async def fetch(server: ServerProxy, names: Sequence[str], lines: int) -> list[AuditRecord]:
    """The newest records of these clients, or of all; oldest first; 0 lines: without a limit."""
    found: list[AuditRecord] = []
    for name in names or ("",):
        found += await _fetch(server, name, lines)
    found.sort(key=lambda record: record.number)
    return found[-lines:] if lines else found


async def _fetch(server: ServerProxy, name: str, lines: int) -> list[AuditRecord]:
    found: list[AuditRecord] = []
    while not lines or len(found) < lines:
        wanted = min(_PAGE, lines - len(found)) if lines else _PAGE
        page = await server.records(name, wanted, found[-1].number if found else 0)
        found += page
        if len(page) < wanted:
            break
    return found


def show(records: Sequence[AuditRecord], medium: Medium) -> Iterator[str]:
    """A line for each record: time, client, event."""
    rows = [[Cell(text, "heading") for text in ("When", "Client", "What")]]
    rows += [_row(record, medium) for record in records]
    yield from layout(rows, medium)


def _row(record: AuditRecord, medium: Medium) -> list[Cell]:
    grade = _KINDS.get(record.kind, ("", None))[1]
    when = full_date(record.last) if record.last else ""
    client = cut(printable(shortened(record.client)), medium) or "-"
    return [Cell(when), Cell(client), Cell(describe(record), grade.value if grade else "")]


def describe(record: AuditRecord) -> str:
    """The event's description, without its time and client."""
    text = _KINDS.get(record.kind, (printable(record.kind), None))[0]
    if record.detail:
        detail = record.detail.lower() if record.kind == "rejected" else record.detail
        text += f": {printable(detail)}"
    if record.kind == "unknown-key":
        text += f" (key ID {printable(record.key_id)})"
    if record.address:
        on = f" on {record.interface}" if record.interface else ""
        text += f", at {printable(record.address + on)}"
    if record.by:
        text += f", by {printable(record.by)}"
    if record.server:
        text += f", on server {printable(record.server)}"
    if record.times > 1 and record.first:
        text += f", {record.times} times since {full_date(record.first)}"
    return text


def dump(records: Sequence[AuditRecord]) -> str:
    """All records as a JSON array, without a line break at its end."""
    return json.dumps([as_object(record) for record in records], indent=4)


def as_object(record: AuditRecord) -> dict[str, Any]:
    """A record as a JSON object: the names of the D-Bus interface, dates in its form."""
    return asdict(record) | {"first": _date(record.first), "last": _date(record.last)}


def _date(date: datetime | None) -> str:
    return date.replace(tzinfo=None).isoformat() if date else ""
