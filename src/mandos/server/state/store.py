# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store of the server's state takes and gives.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from mandos.server.audit.records import Record
    from mandos.server.config.clients_conf import ClientSettings
    from mandos.server.life.life import Memory


class Kept(NamedTuple):
    """The settings in force, those of the files, and whether the client is in no file.

    ``absent`` is since when its section is missing.
    """

    settings: ClientSettings
    configured: ClientSettings
    added: bool = False
    absent: datetime | None = None


class Saved(NamedTuple):
    """A client as it was last saved: the settings in force, those of the files, and its memory.

    ``absent`` is since when its section is missing from the files.
    """

    settings: ClientSettings
    configured: ClientSettings
    memory: Memory
    added: bool = False
    absent: datetime | None = None


@dataclass(frozen=True)
class State:
    """What is known of the last run.

    ``removed`` are clients that an administrator has removed, with what the files said of them.
    ``disabled`` are the names in the list of disabled clients, None when it is lost; ``lost`` says
    what has happened to the rest, and is empty when nothing has.  ``rebooted``: the machine was
    started since then, not only the server.
    """

    saved: Mapping[str, Saved] = field(default_factory=dict)
    removed: Mapping[str, ClientSettings] = field(default_factory=dict)
    disabled: Collection[str] | None = frozenset()
    lost: str = ""
    rebooted: bool = False


@dataclass
class Changes:
    """What is to be written together, with dates as people would write them.

    ``tombstones`` are clients that were removed though the files have them.
    """

    lives: dict[str, Memory] = field(default_factory=dict)
    settings: dict[str, Kept] = field(default_factory=dict)
    tombstones: dict[str, ClientSettings] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    records: list[Record] = field(default_factory=list)


class Entry(NamedTuple):
    """A record of the trail, its number, and when and how often it was repeated."""

    number: int
    record: Record
    last: datetime
    times: int
