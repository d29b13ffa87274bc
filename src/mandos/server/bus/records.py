# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of the audit trail as D-Bus carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbus_fast import Variant

if TYPE_CHECKING:
    from datetime import datetime

    from mandos.server.audit.records import Record
    from mandos.server.state.store import Entry


def fields(record: Record) -> dict[str, Variant]:
    """A record that has just been written."""
    texts = {
        "kind": str(record.kind),
        "client": record.client,
        "key_id": record.key_id,
        "address": record.address,
        "interface": record.interface,
        "detail": record.detail,
        "by": record.by,
        "server": record.server,
        "first": _text(record.at),
        "last": _text(record.at),
    }
    return {name: Variant("s", text) for name, text in texts.items()} | {"times": Variant("u", 1)}


def entry_fields(entry: Entry) -> dict[str, Variant]:
    """A record that is kept, with its number and how often it was repeated."""
    return fields(entry.record) | {
        "number": Variant("t", entry.number),
        "last": Variant("s", _text(entry.last)),
        "times": Variant("u", entry.times),
    }


def _text(date: datetime) -> str:
    return date.replace(tzinfo=None).isoformat()
