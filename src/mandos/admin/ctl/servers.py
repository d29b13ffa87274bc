# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that share their state, as columns for people or as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mandos.admin.ctl.columns import Cell, Medium, layout
from mandos.admin.ctl.explain import Grade
from mandos.admin.formatting import ago, full_date, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mandos.admin.servers import Server, Sharing

_HEADINGS = ("Server", "State", "Checks clients", "Runs since", "Version")


def show(sharing: Sharing, now: datetime, medium: Medium) -> Iterator[str]:
    """A line for each server, then the database and the problems."""
    if not sharing.database:
        yield "the server shares its state with no other"
        return
    rows = [[Cell(text, "heading") for text in _HEADINGS]]
    rows += [_row(server, sharing, now) for server in sharing.servers]
    yield from layout(rows, medium)
    problems = sharing.problems()
    for problem in problems:
        yield medium.paint(problem, Grade.BAD.value)
    if not problems:
        yield medium.paint("the database is connected, and all servers are there", "label")


def _row(server: Server, sharing: Sharing, now: datetime) -> list[Cell]:
    return [
        Cell(printable(server.name)),
        _state(server, sharing, now),
        Cell("yes" if server.checks else "no: no network link"),
        Cell(full_date(server.started) if server.started else ""),
        Cell(printable(server.version)),
    ]


def _state(server: Server, sharing: Sharing, now: datetime) -> Cell:
    if server.name == sharing.name:
        return Cell("this server", Grade.WELL.value)
    if not sharing.connected:
        return Cell("unknown", Grade.DOUBTFUL.value)
    if server.alive:
        return Cell("alive", Grade.WELL.value)
    since = f", last sign of life {ago(server.seen, now)}" if server.seen else ""
    return Cell(f"missing{since}", Grade.BAD.value)


def dump(sharing: Sharing) -> str:
    """A JSON object, without a line break at its end; dates as on D-Bus."""
    servers = [
        {
            "name": one.name,
            "alive": one.alive if sharing.connected or one.name == sharing.name else None,
            "checks": one.checks,
            "started": _date(one.started),
            "seen": _date(one.seen),
            "version": one.version,
        }
        for one in sharing.servers
    ]
    whole = {
        "name": sharing.name,
        "database": sharing.database,
        "problems": sharing.problems(),
        "servers": servers,
    }
    return json.dumps(whole, indent=4)


def _date(date: datetime | None) -> str:
    return date.replace(tzinfo=None).isoformat() if date else ""
