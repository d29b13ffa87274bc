# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends events of clients as D-Bus signals, in the order of the reference.

Two signals report the change of a property: the deprecated PropertyChanged and PropertiesChanged,
each property by itself.  The event's own signal has the place that it has in the reference.

``docs/original.md`` has the differences; ``tests/service/test_bus_differential.py`` holds them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from mandos import bus_names
from mandos.client_settings import SETTINGS, Restart
from mandos.server.audit.records import ASKED, Kind
from mandos.server.bus import properties
from mandos.server.bus.listings import interfaces_of
from mandos.server.bus.records import fields
from mandos.server.life import events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from dbus_fast import Variant

    from mandos.server.audit.records import Record
    from mandos.server.bus.objects import Objects
    from mandos.server.life.client import Client
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry

    Body = list[Any] | Callable[[], list[Any] | None]

    class Send(Protocol):
        """Sends a signal: see ``BusService.send``."""

        def __call__(  # noqa: D102 - said above
            self, path: str, interface: str, member: str, signature: str, body: Body,
            /, *, provoked: bool = False,
        ) -> None: ...  # fmt: skip


#: Properties that may have changed with an event, in the order in which they are reported.
_CHANGES: Mapping[type[events.Event], tuple[str, ...]] = {
    events.Enabled: ("Enabled", "LastEnabled", "Expires"),
    events.Disabled: ("Expires", "CheckerRunning", "Enabled"),
    events.CheckerBegan: ("CheckerRunning",),
    events.CheckerStopped: ("CheckerRunning",),
    events.CheckerCompleted: ("CheckerRunning", "LastCheckerStatus"),
    events.CheckedOK: ("LastCheckedOK", "LastCheckerStatus", "Expires"),
    events.SecretSent: ("Expires", "LastSecretSent"),
    events.Rehearsed: ("LastRehearsed",),
    events.ApprovalNeeded: ("ApprovalPending", "LastApprovalRequest"),
    events.SettingsChanged: ("Expires",),
    events.Moved: ("WatchedBy",),
}
#: Events after which requests may have stopped waiting.
_SETTLING = (events.Rejected, events.VerdictGiven, events.SecretSent, events.Withdrawn)
#: Settings whose properties D-Bus clients take to be constant.
_CONSTANT = frozenset(setting.name for setting in SETTINGS if setting.restart is Restart.FILES)
#: The properties that say why a client is disabled, and since when.
_REASON = ("DisabledAt", "DisabledReason")
#: All properties whose changes are reported one by one.
_SINGLE = tuple(dict.fromkeys((*chain(*_CHANGES.values()), "ApprovalPending")))
#: All properties whose changes are reported.
_REMEMBERED = (*_SINGLE, *_REASON)


def _state(client: Client) -> list[object]:
    """The values behind a client's changing properties, in the order of ``_REMEMBERED``."""
    return [properties.LIFE[name](client) for name in _REMEMBERED]


class Signals:
    """Reports the events of a registry's clients as signals.

    ``server`` is this server's name among those that share their state; empty when none do.
    """

    def __init__(
        self, registry: Registry, objects: Objects, clock: Clock, send: Send, server: str = ""
    ) -> None:
        self._server = server
        self._registry = registry
        self._objects = objects
        self._clock = clock
        self._send = send
        self._told = {client.name: _state(client) for client in registry}
        #: When the request began of which the last NeedApproval of a client told.
        self._asked = {client.name: client.life.last_approval_request for client in registry}
        self._completed: dict[str, events.CheckerCompleted] = {}
        registry.listen(self._heard)

    def record(self, record: Record) -> None:
        """Send a record of the audit trail as a signal; a record without a server is our own."""
        if record.kind is Kind.UNKNOWN_KEY and not record.server:
            body = [record.key_id.upper(), record.address]
            names = bus_names.ROOT_PATH, bus_names.MANDOS, "ClientNotFound", "ss"
            self._send(*names, body, provoked=True)
        told: list[Any] = [fields(replace(record, server=record.server or self._server))]
        place = bus_names.ROOT_PATH, bus_names.SERVER1, "RecordAdded", bus_names.RECORD
        self._send(*place, told, provoked=record.kind in ASKED)

    def server_changed(self, values: Mapping[str, Variant]) -> None:
        """Report new values of the server's own properties."""
        self._properties_changed(bus_names.ROOT_PATH, bus_names.SERVER1, values, [])

    def _heard(self, event: events.Event) -> None:
        self._objects.heard(event)
        if isinstance(event, events.Forgotten):
            return
        path = self._objects.path(event.client)
        client = self._registry.named(event.client)
        if client is None:
            self._removed(event, path)
            return
        if isinstance(event, events.Added):
            self._added(client, path)
            return
        if isinstance(event, events.SettingsChanged):
            self._settings_changed(client, path, event.names)
        if isinstance(event, events.Followed):
            self._followed(client, path)
            return
        if isinstance(event, events.CheckerStopped) and not client.life.enabled:
            self._tell_changes(client, path, ("Expires",))
        self._tell_changes(client, path, _CHANGES.get(type(event), ()))
        self._tell_event(event, path)
        if isinstance(event, _SETTLING):
            self._tell_changes(client, path, ("ApprovalPending",))
        if isinstance(event, events.Enabled | events.Disabled):
            self._tell_reason(client, path)

    def _followed(self, client: Client, path: str) -> None:
        """Report the changes of a client that others have caused, and a request that waits."""
        self._tell_changes(client, path, _SINGLE)
        if self._told[client.name] != _state(client):
            self._tell_reason(client, path)
        asked = client.life.last_approval_request
        if client.approval_pending and asked != self._asked.get(client.name):
            self._asked[client.name] = asked
            delay, default = client.settings.approval_delay, client.settings.approved_by_default
            self._client(path, "NeedApproval", "tb", properties.milliseconds(delay), default)

    def _tell_event(self, event: events.Event, path: str) -> None:
        match event:
            case events.CheckerBegan():
                self._client(path, "CheckerStarted", "s", event.command)
            case events.CheckerCompleted() if event.wait_status == 0:
                self._completed[event.client] = event  # reported when it has had its effect
            case events.CheckerCompleted():
                self._tell_completed(event, path)
            case events.CheckedOK() if event.client in self._completed:
                self._tell_completed(self._completed.pop(event.client), path)
            case events.SecretSent():
                self._client(path, "GotSecret", "")
            case events.ApprovalNeeded():
                self._asked[event.client] = event.at
                delay = properties.milliseconds(event.delay)
                self._client(path, "NeedApproval", "tb", delay, event.default)
            case events.Rejected():
                body = [str(event.why)]
                self._send(path, bus_names.CLIENT, "Rejected", "s", body, provoked=True)

    def _tell_completed(self, event: events.CheckerCompleted, path: str) -> None:
        status, code = event.wait_status, _exit_code(event.wait_status)
        self._client(path, "CheckerCompleted", "nxs", code, status, event.command)

    def _client(self, path: str, member: str, signature: str, *body: object) -> None:
        self._send(path, bus_names.CLIENT, member, signature, list(body))

    def _tell_changes(self, client: Client, path: str, names: tuple[str, ...]) -> None:
        """Report the properties that differ from their last reported values."""
        told, state = self._told[client.name], _state(client)
        for name in names:
            place = _REMEMBERED.index(name)
            if told[place] != state[place]:
                told[place] = state[place]
                self._changed(client, path, name)

    def _settings_changed(self, client: Client, path: str, names: tuple[str, ...]) -> None:
        if not _CONSTANT.isdisjoint(names):
            self._tell_removed(path, client.name)
            self._tell_added(client, path)
        for setting in names:
            if setting in properties.NAMES_OF_SETTINGS:
                self._changed(client, path, properties.NAMES_OF_SETTINGS[setting])

    def _changed(self, client: Client, path: str, name: str) -> None:
        """Report a property; the deprecated signal is for those of the original's interface."""
        interface, declared = bus_names.CLIENT_PROPERTIES[name]
        if declared.emits == bus_names.INVALIDATES:
            self._properties_changed(path, interface, {}, [name])
            return
        value = properties.read(name, client, path, self._clock.date)
        if interface == bus_names.CLIENT:
            self._client(path, "PropertyChanged", "sv", name, value)
        self._properties_changed(path, interface, {name: value}, [])

    def _tell_reason(self, client: Client, path: str) -> None:
        date = self._clock.date
        self._told[client.name][-len(_REASON) :] = _state(client)[-len(_REASON) :]
        values = {name: properties.read(name, client, path, date) for name in _REASON}
        self._properties_changed(path, bus_names.CLIENT1, values, [])

    def _properties_changed(
        self, path: str, interface: str, values: Mapping[str, Variant], invalidated: list[str]
    ) -> None:
        body: list[Any] = [interface, values, invalidated]
        self._send(path, bus_names.PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    def _added(self, client: Client, path: str) -> None:
        self._told[client.name] = _state(client)
        self._asked[client.name] = client.life.last_approval_request
        self._tell_added(client, path)

    def _tell_added(self, client: Client, path: str) -> None:
        """Written when its turn comes: a reload may bring thousands."""
        root, manager = bus_names.ROOT_PATH, bus_names.OBJECT_MANAGER

        def body() -> list[Any] | None:
            if self._objects.client(path) is not client:
                return None
            return [path, interfaces_of(client, path, self._clock.date)]

        self._send(root, manager, "InterfacesAdded", "oa{sa{sv}}", body)
        self._send(root, bus_names.MANDOS, "ClientAdded", "o", [path])

    def _removed(self, event: events.Event, path: str) -> None:
        """Forget the client: its last changes come before its removal, and are not reported."""
        if not isinstance(event, events.Removed):
            return
        self._told.pop(event.client, None)
        self._asked.pop(event.client, None)
        self._completed.pop(event.client, None)
        self._objects.forget(event.client)
        self._tell_removed(path, event.client)

    def _tell_removed(self, path: str, name: str) -> None:
        root, manager = bus_names.ROOT_PATH, bus_names.OBJECT_MANAGER
        names = [interface.name for interface in bus_names.CLIENT_INTERFACES]
        names = [*names, bus_names.PROPERTIES, bus_names.INTROSPECTABLE]
        self._send(root, manager, "InterfacesRemoved", "oas", [path, names])
        self._send(root, bus_names.MANDOS, "ClientRemoved", "os", [path, name])


def _exit_code(wait_status: int) -> int:
    """The exit status, or -1 after a signal."""
    return -1 if wait_status & 0x7F else wait_status >> 8
