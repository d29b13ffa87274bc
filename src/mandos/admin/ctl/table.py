# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients as scripts read them: the table, the verbose table and the JSON, as the reference's.

Scripts may rely on every byte here: headings, the order of columns and keys, blanks at
the ends of lines, ``Yes`` and ``No``, durations as ``7T00:00:00``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mandos.client_settings import BY_PROPERTY, DURATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mandos.admin.proxy import Client

SHORT = ("Name", "Enabled", "Timeout", "LastCheckedOK")
#: The reference's columns and JSON keys, in its order.
REFERENCE = (
    "Name", "Enabled", "Timeout", "LastCheckedOK", "Created", "Interval", "Host", "KeyID",
    "Fingerprint", "CheckerRunning", "LastEnabled", "ApprovalPending", "ApprovedByDefault",
    "LastApprovalRequest", "ApprovalDelay", "ApprovalDuration", "Checker", "ExtendedTimeout",
    "Expires", "LastCheckerStatus",
)  # fmt: skip
#: When a client last got its secret for a boot, and for a rehearsal of one.
BOOTS = ("LastSecretSent", "LastRehearsed")
#: The server that checks a client, where several share their state.
_SHARED = "WatchedBy"
#: The properties beyond the reference's; their columns and keys come last.
OURS = (*(name for name, setting in BY_PROPERTY.items() if not setting.original), *BOOTS, _SHARED)
_KEYS = (*REFERENCE, *OURS)
#: The headings of the columns.
HEADINGS = {
    "Name": "Name",
    "Enabled": "Enabled",
    "LastCheckedOK": "Last Successful Check",
    "Created": "Created",
    "CheckerRunning": "Check Is Running",
    "LastEnabled": "Last Enabled",
    "ApprovalPending": "Approval Is Pending",
    "LastApprovalRequest": "Last Approval Request",
    "Expires": "Expires",
    "LastCheckerStatus": "Last Checker Status",
    "LastSecretSent": "Last Secret Sent",
    "LastRehearsed": "Last Rehearsed",
    _SHARED: "Watched By",
    **{name: setting.heading for name, setting in BY_PROPERTY.items()},
}
_DURATIONS = frozenset(name for name, setting in BY_PROPERTY.items() if setting.kind in DURATIONS)
#: Characters to which a column is filled up at most: one endless name does not fill every line.
_WIDEST = 1000


def verbose(clients: Iterable[Client]) -> tuple[str, ...]:
    """The columns of the verbose table: the reference's, then those of ours that a client has."""
    present = {name for client in clients for name in OURS if _has(client, name)}
    return (*REFERENCE, *(name for name in OURS if name in present))


def _has(client: Client, name: str) -> bool:
    """Whether the server reports this property."""
    return name in client.values and (name != _SHARED or bool(client.watched_by))


def table(clients: Sequence[Client], names: Iterable[str]) -> str:
    """The table of these properties, with a heading; each line ends with a line break."""
    columns = [_column(clients, name) for name in names]
    return "".join(f"{' '.join(row)}\n" for row in zip(*columns, strict=True))


def _column(clients: Sequence[Client], name: str) -> list[str]:
    texts = [HEADINGS[name], *(_text(name, client.values.get(name, "")) for client in clients)]
    width = min(max(map(len, texts)), _WIDEST)
    return [text.ljust(width) for text in texts]


def _text(name: str, value: Any) -> str:  # noqa: ANN401 - any value from D-Bus
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return clock(value) if name in _DURATIONS and isinstance(value, int) else str(value)


def clock(milliseconds: int) -> str:
    """A duration as ``00:05:00``, with days in front if there are any: ``7T00:00:00``."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days}T' if days else ''}{hours:02}:{minutes:02}:{seconds:02}"


def dump(clients: Iterable[Client]) -> str:
    """All clients as one JSON object by name, without a line break at its end."""
    objects = ",\n".join(f"    {json.dumps(client.name)}: {_dump(client)}" for client in clients)
    return f"{{\n{objects}\n}}" if objects else "{}"


def _dump(client: Client) -> str:
    """As ``json.dumps`` with an indentation has it, which is slow for ten thousand clients."""
    values = client.values
    lines = (
        f'        "{name}": {json.dumps(values[name])}' for name in _KEYS if _has(client, name)
    )
    return "{\n" + ",\n".join(lines) + "\n    }"
