# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server remembers over a restart, and how clients begin with it.

Pure.  The rules (manual page mandos(8), "PERSISTENT STATE"): what has changed in the configuration
files since the last run wins; otherwise what was last in force does.  A client whose last state
cannot be known begins disabled, unless the list of disabled clients survived and does not have it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from mandos.server.audit import Kind, Record
from mandos.server.client import Client, Memory, merged
from mandos.server.events import Why

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from mandos.server.clients_conf import ClientSettings


class Saved(NamedTuple):
    """A client as it was last saved: the settings in force, those of the files, and its memory."""

    settings: ClientSettings
    configured: ClientSettings
    memory: Memory
    added: bool = False


@dataclass(frozen=True)
class State:
    """What is known of the last run.

    ``removed`` are clients that an administrator has removed, with what the files said of them.
    ``disabled`` are the names in the list of disabled clients, None when it is lost; ``lost`` says
    what has happened to the rest, and is empty when nothing has.
    """

    saved: Mapping[str, Saved] = field(default_factory=dict)
    removed: Mapping[str, ClientSettings] = field(default_factory=dict)
    disabled: Collection[str] | None = frozenset()
    lost: str = ""
    rebooted: bool = False


class Restored(NamedTuple):
    """With what the server begins, and what there is to tell about it.

    ``unsaved`` are the clients that are not as they were saved, ``gone`` what was saved of others.
    """

    clients: list[Client]
    records: list[Record]
    removed: dict[str, ClientSettings]
    unsaved: set[str]
    gone: set[str]


def restore(configured: Sequence[ClientSettings], state: State, now: datetime) -> Restored:
    """The clients of the configuration with their past."""
    clients: list[Client] = []
    records: list[Record] = []
    removed: dict[str, ClientSettings] = {}
    if state.lost:
        records.append(Record(kind=Kind.STATE_LOST, at=now, detail=state.lost))
    for settings in configured:
        saved = state.saved.get(settings.name)
        if settings.name in state.removed:
            if state.removed[settings.name] == settings:
                removed[settings.name] = settings
                continue
            client = Client(settings, now)
            records.append(_record(Kind.ADDED, client, now))
        elif saved is not None:
            client = _remembered(settings, saved, state, now)
            records += _turned(client, saved, now)
        elif state.lost or settings.name in (state.disabled or ()):
            client = _unknown(settings, state.disabled, now)
            records.append(_record(Kind.ADDED, client, now))
            records += _found_disabled(client, now)
        else:
            client = Client(settings, now)
            records.append(_record(Kind.ADDED, client, now))
        clients.append(client)
    clients += _added(state, {settings.name for settings in configured}, now)
    names = {client.name for client in clients}
    dropped = sorted(state.saved.keys() - names)
    records += (Record(kind=Kind.REMOVED, at=now, client=name) for name in dropped)
    unsaved = {client.name for client in clients if not _as_saved(client, state)}
    gone = state.saved.keys() | state.removed.keys()
    return Restored(clients, records, removed, unsaved, set(gone - names - removed.keys()))


def _as_saved(client: Client, state: State) -> bool:
    saved = state.saved.get(client.name)
    return (
        saved is not None
        and saved.settings == client.settings
        and saved.configured == client.configured
        and saved.memory == client.memory
        and saved.added == client.added
        and client.enabled == (client.name not in (state.disabled or ()))
    )


def _added(state: State, taken: Collection[str], now: datetime) -> Iterable[Client]:
    """The clients that are in no file, with their past."""
    for name, saved in state.saved.items():
        if saved.added and name not in taken:
            client = _remembered(saved.configured, saved, state, now)
            client.added = True
            yield client


def _remembered(configured: ClientSettings, saved: Saved, state: State, now: datetime) -> Client:
    settings = merged(configured, saved.configured, saved.settings)
    memory = saved.memory
    if memory.expires is not None:
        memory = replace(memory, expires=memory.expires + settings.timeout - saved.settings.timeout)
    if memory.enabled and configured.name in (state.disabled or ()):
        memory = _disabled(memory, now, Why.STATE_LOST)
    switched = configured.enabled != saved.configured.enabled
    if switched and configured.enabled != memory.enabled:
        memory = _switched(memory, configured, now)
    return Client(settings, now, configured=configured, memory=memory, rebooted=state.rebooted)


def _switched(memory: Memory, configured: ClientSettings, now: datetime) -> Memory:
    if not configured.enabled:
        return _disabled(memory, now, Why.CONFIGURATION)
    return replace(
        memory,
        enabled=True,
        last_enabled=now,
        expires=now + configured.timeout,
        disabled_at=None,
        disabled_why=None,
    )


def _disabled(memory: Memory, now: datetime, why: Why) -> Memory:
    return replace(memory, enabled=False, expires=None, disabled_at=now, disabled_why=why)


def _unknown(settings: ClientSettings, disabled: Collection[str] | None, now: datetime) -> Client:
    """A client whose last state is lost: enabled only if the surviving list says so."""
    if disabled is not None and settings.name not in disabled:
        return Client(settings, now)
    memory = _disabled(Memory(created=now, enabled=False), now, Why.STATE_LOST)
    return Client(settings, now, memory=memory)


def _turned(client: Client, saved: Saved, now: datetime) -> Iterable[Record]:
    """What the restart itself has done to a client."""
    if client.enabled and not saved.memory.enabled:
        yield _record(Kind.ENABLED, client, now, detail=Why.CONFIGURATION)
    elif client.overdue:
        yield _record(Kind.OVERDUE, client, now, detail="the server was not running")
    elif saved.memory.enabled:
        yield from _found_disabled(client, now)


def _found_disabled(client: Client, now: datetime) -> Iterable[Record]:
    if not client.enabled and client.disabled_why is not None:
        yield _record(Kind.DISABLED, client, now, detail=client.disabled_why)


def _record(kind: Kind, client: Client, now: datetime, detail: str = "") -> Record:
    return Record(
        kind=kind, at=now, client=client.name, key_id=client.settings.key_id, detail=detail
    )
