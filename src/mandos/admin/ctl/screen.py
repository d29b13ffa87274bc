# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients as people read them on a terminal; the ``rich`` library knows the terminal.

Rich's own tables need three seconds for ten thousand rows, so only its knowledge of terminals is
used: which colours there are (none with NO_COLOR), and how wide a character is.  It is imported
when there is a terminal, and not otherwise.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from mandos.admin.client import KILLED, NEVER_CHECKED
from mandos.admin.ctl.columns import Cell, Medium, cut, layout
from mandos.admin.ctl.explain import Grade, trouble
from mandos.admin.formatting import ago, full_date, printable, two_units
from mandos.client_settings import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mandos.admin.client import SettingValue
    from mandos.admin.proxy import Client

#: For a terminal that does not know its width.
_USUAL_WIDTH = 80
#: A terminal of at least this width has these columns, too.
_WIDE = 120
_BOOTS = ("Last boot", "Last rehearsal")

#: Readable on light and on dark ground, and without colours by their words alone.
_STYLES = {
    "heading": "bold",
    "label": "dim",
    Grade.WELL.value: "green",
    Grade.ASKS.value: "bold magenta",
    Grade.DOUBTFUL.value: "yellow",
    Grade.BAD.value: "bold red",
}


def medium() -> Medium:
    """The standard output: a terminal with its width and colours, or plain text."""
    if not sys.stdout.isatty():
        return Medium()
    from rich.cells import cell_len  # noqa: PLC0415 - costs a tenth of a second
    from rich.console import Console  # noqa: PLC0415
    from rich.style import Style  # noqa: PLC0415

    # Rich would ask standard input first, which may be another terminal.
    console = Console(width=os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_WIDTH)
    colours = None if console.no_color else console.color_system
    if colours is None:
        return Medium(console.width, cell_len)
    system = console._color_system  # noqa: SLF001 - Style.render takes it, only this has it
    styles = {name: Style.parse(style) for name, style in _STYLES.items()}

    def paint(text: str, style: str) -> str:
        return styles[style].render(text, color_system=system) if style else text

    return Medium(console.width, cell_len, paint)


def summary(clients: Sequence[Client], now: datetime, medium: Medium) -> Iterator[str]:
    """A line for each client: enabled, time left, last check, problem; then a count.

    A wide terminal has the last boot and the last rehearsal too, if the server reports them.
    """
    wide = not medium.columns or medium.columns >= _WIDE
    boots = _BOOTS if wide and any(client.reports_boots for client in clients) else ()
    headings = ("Name", "Enabled", "Time left", "Last check", *boots, "What is wrong")
    rows = [[Cell(text, "heading") for text in headings]]
    for client in clients:
        *cells, wrong = _row(client, now, cut(printable(client.short_name), medium))
        rows.append([*cells, *(_dates(client, now) if boots else ()), wrong])
    yield from layout(rows, medium)
    faults = sum(bool(row[-1].text) for row in rows[1:])
    number = f"{len(clients)} client{'' if len(clients) == 1 else 's'}"
    verdict = f"something is wrong with {faults}" if faults else "all is well"
    yield medium.paint(f"{number}; {verdict}" if clients else "no clients", "label")


def _dates(client: Client, now: datetime) -> list[Cell]:
    """The last boot and the last rehearsal; empty where the server reports none."""
    never = "never" if client.reports_boots else ""
    dates = (client.last_secret_sent, client.last_rehearsed)
    return [Cell(ago(date, now) if date else never) for date in dates]


def _row(client: Client, now: datetime, name: str) -> list[Cell]:
    grade, wrong = trouble(client, now)
    return [
        Cell(name),
        Cell("yes", Grade.WELL.value) if client.enabled else Cell("no", Grade.BAD.value),
        Cell(_time_left(client, now)),
        Cell(ago(client.last_checked_ok, now) if client.last_checked_ok else "never"),
        Cell(wrong, grade.value),
    ]


def _time_left(client: Client, now: datetime) -> str:
    if not client.enabled or client.expires is None:
        return "-"
    return two_units(client.expires - now) if client.expires > now else "0 s"


def details(clients: Sequence[Client], now: datetime, medium: Medium) -> Iterator[str]:
    """Return all properties of each client, a line for each."""
    for number, client in enumerate(clients):
        if number:
            yield ""
        yield medium.paint(printable(client.short_name), "heading")
        grade, wrong = trouble(client, now)
        rows = [[Cell("  what is wrong", "label"), Cell(wrong, grade.value)]] if wrong else []
        rows += [
            [Cell(f"  {label}", "label"), Cell(text)]
            for label, text in _details(client, now)
            if text
        ]
        yield from layout(rows, medium)


def _details(client: Client, now: datetime) -> Iterator[tuple[str, str]]:
    yield "enabled", _yes(client.enabled)
    yield "time left", _time_left(client, now) if client.enabled else ""
    yield "disabled", _when(client.disabled_at, now)
    yield from _settings(client, "host", "checker")
    yield "checker runs", _yes(client.checker_running)
    yield "checked by server", printable(client.watched_by)
    yield "last found alive", _when(client.last_checked_ok, now) or "never"
    yield "last checker", _status(client.last_checker_status)
    yield from _settings(client, "interval", "timeout", "extended_timeout")
    yield "waits for approval", _yes(client.approval_pending)
    yield from _settings(client, "approval_delay", "approval_duration", "approved_by_default")
    yield from _settings(client, *(setting.name for setting in client.settings_beyond()))
    yield "last got its secret", _when(client.last_secret_sent, now)
    yield "last rehearsed a boot", _when(client.last_rehearsed, now)
    yield "last approval request", _when(client.last_approval_request, now)
    yield "last enabled", _when(client.last_enabled, now)
    yield "created", _when(client.created, now)
    yield "expires", full_date(client.expires) if client.expires else ""
    yield from _settings(client, "key_id", "fingerprint")


def _settings(client: Client, *names: str) -> Iterator[tuple[str, str]]:
    """The settings of these names: label and value."""
    for name in names:
        setting = BY_NAME[name]
        yield setting.label, _value(client.setting(setting))


def _value(value: SettingValue) -> str:
    match value:
        case bool():
            return _yes(value)
        case timedelta():
            return two_units(value)
    return printable(value)


def _yes(flag: bool) -> str:  # noqa: FBT001 - a word for a truth value
    return "yes" if flag else "no"


def _when(date: datetime | None, now: datetime) -> str:
    return f"{full_date(date)} ({ago(date, now)})" if date else ""


def _status(status: int) -> str:
    if status == NEVER_CHECKED:
        return "has not ended yet"
    return "killed by a signal" if status == KILLED else f"exit status {status}"
