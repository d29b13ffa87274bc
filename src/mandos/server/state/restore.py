# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores the clients after a restart, from the configuration and the saved state.

Pure.  The rules (manual page mandos(8), "PERSISTENT STATE"): a setting that has changed in the
configuration files since the last run wins; otherwise the value that was last in force does.  If a
client's last state is lost, the client begins disabled, unless the list of disabled clients
survived and does not name it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mandos.server.audit.records import LEFT, STARTED_ANEW, Kind, Record
from mandos.server.life.client import Client
from mandos.server.life.events import Why
from mandos.server.life.saved import (
    BACK,
    STILL_DISABLED,
    outdated,
    refused,
    remembered,
    renamed,
    unknown_life,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from mandos.client_settings import ClientSettings
    from mandos.server.life.saved import Saved
    from mandos.server.state.store import State


class Restored(NamedTuple):
    """The restored clients, and the log records about them.

    ``unsaved`` are the clients that differ from their saved state, ``gone`` the saved others.
    ``absent`` are known clients that are in no file, ``listed`` are disabled ones of which only the
    name is known.
    """

    clients: list[Client]
    records: list[Record]
    removed: dict[str, ClientSettings]
    unsaved: set[str]
    gone: set[str]
    absent: dict[str, Saved]
    listed: set[str]


def restore(configured: Sequence[ClientSettings], state: State, now: datetime) -> Restored:
    """The clients of the configuration with their past."""
    clients: list[Client] = []
    records: list[Record] = []
    removed: dict[str, ClientSettings] = {}
    if state.lost:
        records.append(Record(kind=Kind.STATE_LOST, at=now, detail=state.lost))
    names = {settings.name for settings in configured}
    names |= {name for name, saved in state.saved.items() if saved.added}
    absent = dict(_absent(state, names, now))
    former = {saved.settings.key_id: saved for saved in absent.values() if refused(saved)}
    for settings in configured:
        if state.removed.get(settings.name) == settings:
            removed[settings.name] = settings
            continue
        client, told = _begun(settings, state, former.get(settings.key_id), now)
        clients.append(client)
        records += told
    clients += _added(state, {client.name for client in clients}, now)
    missed = sorted(name for name in absent if state.saved[name].absent is None)
    records += (Record(kind=Kind.REMOVED, at=now, client=name, detail=LEFT) for name in missed)
    unsaved = {client.name for client in clients if not _as_saved(client, state)} | set(missed)
    known = state.saved.keys() | state.removed.keys()
    listed = set(state.disabled or ()) - names - known
    gone = known - {client.name for client in clients} - removed.keys() - absent.keys()
    return Restored(clients, records, removed, unsaved, gone, absent, listed)


def _begun(
    settings: ClientSettings, state: State, former: Saved | None, now: datetime
) -> tuple[Client, list[Record]]:
    """A client of the configuration, and the records about it."""
    name, how = settings.name, ""
    saved, listed = state.saved.get(name), state.disabled or ()
    if saved is not None:
        client = remembered(
            settings, saved, listed, now, rebooted=state.rebooted, watched=not state.shared
        )
        told = [*_turned(client, saved, now)]
        if saved.absent is not None:
            how = BACK if client.life.enabled else STILL_DISABLED
            told.insert(0, _record(Kind.ADDED, client, now, how))
        return client, told
    if name not in state.removed and (state.lost or name in listed):
        client = _unknown(settings, state.disabled, now)
        return client, [_record(Kind.ADDED, client, now), *_found_disabled(client, now)]
    if former is not None:
        client, how = Client(settings, now, life=former.life), renamed(former.settings.name)
    else:
        client = Client(settings, now)
    return client, [_record(Kind.ADDED, client, now, how)]


def _absent(state: State, present: Collection[str], now: datetime) -> Iterable[tuple[str, Saved]]:
    """The clients whose sections are missing, except those that are forgotten by now."""
    disabled = state.disabled or ()
    for name, saved in state.saved.items():
        if name in present or outdated(saved, now):
            continue
        life = saved.life
        if life.enabled and name in disabled:
            life = life.turned_off(now, Why.STATE_LOST)
        yield name, saved._replace(life=life, absent=saved.absent or now)


def _as_saved(client: Client, state: State) -> bool:
    saved = state.saved.get(client.name)
    return (
        saved is not None
        and saved.settings == client.settings
        and saved.configured == client.configured
        and saved.life == client.life
        and saved.added == client.added
        and saved.absent is None
        and client.life.enabled == (client.name not in (state.disabled or ()))
    )


def _added(state: State, taken: Collection[str], now: datetime) -> Iterable[Client]:
    """The clients that are in no file, with their past."""
    for name, saved in state.saved.items():
        if saved.added and name not in taken:
            client = remembered(
                saved.configured,
                saved,
                state.disabled or (),
                now,
                rebooted=state.rebooted,
                watched=not state.shared,
            )
            client.added = True
            yield client


def _unknown(settings: ClientSettings, disabled: Collection[str] | None, now: datetime) -> Client:
    """A client whose last state is lost: enabled only if the surviving list says so."""
    if disabled is not None and settings.name not in disabled:
        return Client(settings, now)
    return Client(settings, now, life=unknown_life(now))


def _turned(client: Client, saved: Saved, now: datetime) -> Iterable[Record]:
    """The records of changes that the restart itself made to a client."""
    if client.life.enabled and not saved.life.enabled:
        yield _record(Kind.ENABLED, client, now, detail=Why.CONFIGURATION)
    elif client.overdue:
        yield _record(Kind.OVERDUE, client, now, detail="the server was not running")
    elif _given_anew(client, saved, now):
        yield _record(Kind.FORGIVEN, client, now, detail=STARTED_ANEW)
    elif saved.life.enabled:
        yield from _found_disabled(client, now)


def _given_anew(client: Client, saved: Saved, now: datetime) -> bool:
    """Whether the client's time was over, and it has a whole timeout: the machine was off."""
    over = saved.life.expires is not None and saved.life.expires <= now
    return over and client.life.expires == now + client.settings.timeout


def _found_disabled(client: Client, now: datetime) -> Iterable[Record]:
    if not client.life.enabled and client.life.disabled_why is not None:
        yield _record(Kind.DISABLED, client, now, detail=client.life.disabled_why)


def _record(kind: Kind, client: Client, now: datetime, detail: str = "") -> Record:
    return Record(
        kind=kind, at=now, client=client.name, key_id=client.settings.key_id, detail=detail
    )
