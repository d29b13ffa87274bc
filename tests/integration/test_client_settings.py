# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each row of the client settings takes effect in every program, without a bus daemon.

A setting is read from clients.conf, changed by mandos-ctl, reported, saved, restored and shown.
"""

from __future__ import annotations

import io
import json
import re
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from dbus_fast import Message, Variant
from dbus_fast._private.unmarshaller import Unmarshaller

from mandos import bus_names
from mandos.admin.ctl import acts, command_line, screen, table
from mandos.admin.ctl.columns import Medium
from mandos.admin.ctl.watch import SignalWatch
from mandos.admin.monitor.detail_lines import facts
from mandos.admin.monitor.row import ClientRow
from mandos.admin.proxy import Changed, Listed, ServerProxy
from mandos.client_settings import (
    BY_NAME,
    BY_PROPERTY,
    SETTINGS,
    ClientSettings,
    Restart,
    Setting,
    ValueKind,
)
from mandos.server.bus.calls import Calls, Server
from mandos.server.bus.errors import CallError
from mandos.server.bus.objects import Objects
from mandos.server.bus.signals import Signals
from mandos.server.checking.supervision import expanded
from mandos.server.config.clients_conf import parse_client, read_clients
from mandos.server.config.parsers import PARSERS
from mandos.server.life import events
from mandos.server.life.client import Client
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry
from mandos.server.state.database import SQLiteStore
from mandos.server.state.restore import restore
from mandos.server.state.store import Changes, Kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dbus_fast.aio import MessageBus

    from mandos.server.life.clock import Clock

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PLAIN = ClientSettings(name="alpha", secret=b"sealed", key_id="ab" * 32)
#: A text of each kind, and the value that it stands for; a boolean gets the other value.
EXAMPLES: dict[ValueKind, tuple[str, object]] = {
    ValueKind.TEXT: ("rack 3", "rack 3"),
    ValueKind.COMMAND: ("ping -c 1 there", "ping -c 1 there"),
    ValueKind.KEY_ID: ("CD" * 32, "cd" * 32),
    ValueKind.FINGERPRINT: ("77 88", "7788"),
    ValueKind.SECRET: ("aGVsbG8=", b"hello"),
    ValueKind.DURATION: ("PT7M", timedelta(minutes=7)),
    ValueKind.PERIOD: ("PT7M", timedelta(minutes=7)),
}
#: The properties of the original's interface, to which no other is added.
ORIGINAL = {
    "ApprovalDelay", "ApprovalDuration", "ApprovalPending", "ApprovedByDefault", "Checker",
    "CheckerRunning", "Created", "Enabled", "Expires", "ExtendedTimeout", "Fingerprint", "Host",
    "Interval", "KeyID", "LastApprovalRequest", "LastCheckedOK", "LastCheckerStatus",
    "LastEnabled", "Name", "ObjectPath", "Secret", "Timeout",
}  # fmt: skip
each = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
each_property = pytest.mark.parametrize("setting", BY_PROPERTY.values(), ids=lambda one: one.name)
each_option = pytest.mark.parametrize(
    ("setting", "option"),
    [(setting, option) for setting in SETTINGS for option in setting.options],
    ids=lambda one: one.name if isinstance(one, Setting) else one.strings[-1],
)


def _example(setting: Setting) -> tuple[str, Any]:
    """A text and its value, which is not the one of ``PLAIN``."""
    if setting.kind is ValueKind.BOOLEAN:
        value = not getattr(PLAIN, setting.name)
        return ("yes" if value else "no"), value
    return EXAMPLES[setting.kind]


def _changed(setting: Setting) -> ClientSettings:
    changed: dict[str, Any] = {setting.name: _example(setting)[1]}
    return replace(PLAIN, **changed)


class Desk:
    """A server with the client alpha and mandos-ctl, which talk in D-Bus messages."""

    def __init__(self, settings: ClientSettings) -> None:
        self.registry = Registry([Client(settings, NOW, chance=lambda: 0.5)])
        objects = Objects(self.registry)
        self.told: list[tuple[str, str, list[Any]]] = []
        clock = cast("Clock", self)
        Signals(self.registry, objects, clock, self._send)
        self._calls = Calls(
            Server(
                registry=self.registry, objects=objects, clock=clock, durable=_nothing,
                reload=_nothing, records=_no_records, parse=parse_client, facts=dict,
            )
        )  # fmt: skip
        self._serial = 0
        self.server = ServerProxy(cast("MessageBus", self))

    def now(self) -> datetime:
        """The time, for the server."""
        return NOW

    def date(self, moment: datetime) -> datetime:
        """The date of a moment, for the server."""
        return moment

    def _send(
        self, path: str, interface: str, member: str, signature: str,
        body: list[Any] | Callable[[], list[Any] | None], /, *, provoked: bool = False,
    ) -> None:  # fmt: skip
        del path, signature, provoked
        written = body() if callable(body) else body
        assert written is not None
        self.told.append((interface, member, written))

    async def call(self, message: Message) -> Message:
        """Take a call to the server, and the answer back, as bytes."""
        return self._carried(await self._calls.act(self._carried(message), "root"))

    def _carried(self, message: Message) -> Message:
        self._serial += 1
        message.serial = self._serial
        stream: Any = io.BytesIO(message._marshall(False))  # noqa: FBT003
        carried = Unmarshaller(stream).unmarshall()
        assert carried is not None
        return carried

    @property
    def client(self) -> Client:
        """The server's client."""
        client = self.registry.named("alpha")
        assert client is not None
        return client


async def _nothing() -> None:
    """Save nothing, reload nothing."""


async def _no_records(_client: str | None, _limit: int, _before: int | None) -> list[Any]:
    return []


def test_every_field_has_a_row() -> None:
    """The name of the section is the only field that is no setting."""
    assert [field.name for field in fields(ClientSettings)] == ["name", *BY_NAME]


def test_every_kind_can_be_parsed() -> None:
    """A new kind needs a parser, and an example above."""
    assert set(PARSERS) == set(ValueKind) == {*EXAMPLES, ValueKind.BOOLEAN}


def test_interface_of_the_original_is_closed() -> None:
    """A new setting belongs to our own interface; both interfaces have different names."""
    assert set(bus_names.CLIENT_INTERFACE.properties) == ORIGINAL
    assert ORIGINAL.isdisjoint(bus_names.CLIENT1_INTERFACE.properties)


@each
def test_is_read(setting: Setting) -> None:
    """A section of clients.conf sets it."""
    text, value = _example(setting)
    lines = {"key_id": "ab" * 32, "secret": "c2VhbGVk", setting.name: text}
    section = "\n".join(["[alpha]", *(f"{name} = {text}" for name, text in lines.items())])
    assert parse_client(section) == _changed(setting)
    assert getattr(parse_client(section), setting.name) == value


@each
def test_stands_before_the_first_section(setting: Setting, tmp_path: Path) -> None:
    """There it is taken for one of [DEFAULT], unless each client has a value of its own."""
    section = f"[alpha]\nkey_id = {'ab' * 32}\nsecret = c2VhbGVk\n"
    path = tmp_path / "clients.conf"
    path.write_text(f"{setting.name} = {_example(setting)[0]}\n{section}", encoding="utf-8")
    (client,) = read_clients(tmp_path).clients
    assert client == (PLAIN if setting.own else _changed(setting))


@each
def test_is_saved_and_restored(setting: Setting, tmp_path: Path) -> None:
    """The value in force is there again after a restart that finds the same files."""
    with closing(SQLiteStore(tmp_path)) as store:
        client = Client(PLAIN, NOW)
        kept = Kept(_changed(setting), PLAIN)
        store.write(Changes(lives={"alpha": client.life}, settings={"alpha": kept}))
    with closing(SQLiteStore(tmp_path)) as store:
        (client,) = restore([PLAIN], store.load([PLAIN]), NOW).clients
    assert client.settings == _changed(setting)
    assert client.configured == PLAIN


@each
def test_files_win_when_they_have_changed(setting: Setting, tmp_path: Path) -> None:
    """After a restart, and after a reload; of ``enabled`` the client's life has the value."""
    with closing(SQLiteStore(tmp_path)) as store:
        client = Client(PLAIN, NOW)
        store.write(Changes(lives={"alpha": client.life}, settings={"alpha": Kept(PLAIN, PLAIN)}))
        (restarted,) = restore([_changed(setting)], store.load([PLAIN]), NOW).clients
    client.reconfigure(_changed(setting), NOW)
    for one in (client, restarted):
        if setting.restart is Restart.BEGINNING:
            assert one.life.enabled is _example(setting)[1]
        else:
            assert one.settings == _changed(setting)


@each_property
def test_reload_is_reported(setting: Setting) -> None:
    """A change in the files is sent as a signal of the interface that has the property."""
    desk = Desk(PLAIN)
    desk.registry.configure([_changed(setting)], NOW)
    name = setting.property_name
    interface, declared = bus_names.CLIENT_PROPERTIES[name]
    assert interface == (bus_names.CLIENT if setting.original else bus_names.CLIENT1)
    changed = [body for _, member, body in desk.told if member == "PropertiesChanged"]
    if setting.restart is Restart.FILES:  # the client is reported as a new one
        assert [member for _, member, _ in desk.told][:2] == ["InterfacesRemoved", "ClientRemoved"]
    elif setting.kind is ValueKind.SECRET:
        assert [interface, {}, [name]] in changed
    else:
        value = Variant(declared.signature, _on_the_bus(_example(setting)[1]))
        assert [interface, {name: value}, []] in changed
        deprecated = (bus_names.CLIENT, "PropertyChanged", [name, value])
        assert (deprecated in desk.told) is setting.original


def _on_the_bus(value: object) -> object:
    return value // timedelta(milliseconds=1) if isinstance(value, timedelta) else value


@each_option
async def test_mandos_ctl_changes_it(
    setting: Setting, option: Any, tmp_path: Path  # noqa: ANN401 - of the parametrization
) -> None:  # fmt: skip
    """Each option, long or short, changes its setting and no other."""
    text, value = _example(setting)
    if setting.kind is ValueKind.SECRET:
        (tmp_path / "secret").write_bytes(value)
        text = str(tmp_path / "secret")
    if not option.metavar:
        value = option.value
    changed: dict[str, Any] = {setting.name: value}
    other: dict[str, Any] = {setting.name: not value} if not option.metavar else {}
    for string in option.strings:
        desk = Desk(replace(PLAIN, **other))
        before = desk.client.settings
        words = [string, *([text] if option.metavar else []), "alpha"]
        ready = acts.make_ready(command_line.parse(words).acts, lambda _warning: None)
        await acts.perform(desk.server, await desk.server.clients(), ready)
        assert desk.client.settings == replace(before, **changed) != before
        assert desk.client.configured == before


@each_property
async def test_only_files_set_what_is_theirs(setting: Setting) -> None:
    """D-Bus refuses to set a setting that only the files may set, and sets the others."""
    desk = Desk(PLAIN)
    (client,) = await desk.server.clients()
    value = _example(setting)[1]
    if setting.restart is Restart.FILES:
        with pytest.raises(CallError, match="cannot be written") as refused:
            await desk.server.set(client, setting.property_name, value)
        assert refused.value.name == bus_names.PROPERTY_READ_ONLY
    else:
        await desk.server.set(client, setting.property_name, value)
        assert desk.client.settings == _changed(setting)


def test_reason_is_reported_alone() -> None:
    """When a client is disabled, the signal of our interface does not repeat its settings."""
    desk = Desk(PLAIN)
    desk.client.disable(NOW, Why.ADMINISTRATOR)
    (values,) = (
        body[1]
        for _, member, body in desk.told
        if member == "PropertiesChanged" and body[0] == bus_names.CLIENT1
    )
    assert set(values) == {"DisabledAt", "DisabledReason"}


@each
def test_options_fit_the_kind(setting: Setting) -> None:
    """Only a setting that D-Bus can set has options; those of a truth value take no value."""
    assert not setting.options or setting.restart is Restart.SAVED
    for option in setting.options:
        assert bool(option.metavar) is (setting.kind is not ValueKind.BOOLEAN)


@each_property
async def test_is_shown(setting: Setting) -> None:
    """By mandos-ctl, as a table, as JSON and to a person, and by mandos-monitor if it is ours."""
    desk = Desk(_changed(setting))
    (client,) = await desk.server.clients()
    heading, row = table.table([client], table.verbose([client])).splitlines()
    _name, *lines = screen.details([client], NOW, Medium())
    shown = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in lines)
    name, value = setting.property_name, client.setting(setting)
    if setting.kind is ValueKind.SECRET:
        assert name not in client.values
        assert "hello" not in heading + row + "".join(lines)
        return
    assert setting.heading in heading
    assert table._text(name, client.values[name]) in row
    assert json.loads(table.dump([client]))["alpha"][name] == client.values[name]
    told = dict(facts(ClientRow.of(client), NOW))
    label = setting.label[:1].upper() + setting.label[1:]
    assert setting.label in shown
    assert setting.original or label in told
    if isinstance(value, str):
        example = _example(setting)[1]
        is_key = setting.kind in {ValueKind.KEY_ID, ValueKind.FINGERPRINT}
        assert value == (example.upper() if is_key else example)
        assert shown[setting.label] == value
        assert setting.original or told[label] == value


@pytest.mark.parametrize(
    "setting",
    [
        setting
        for setting in BY_PROPERTY.values()
        if setting.restart is Restart.SAVED and setting.kind is not ValueKind.SECRET
    ],
    ids=lambda one: one.name,
)
async def test_watch_tells_a_change(setting: Setting) -> None:
    """The name of the property, and its new value in words."""
    desk = Desk(PLAIN)
    watch = SignalWatch((), verbose=False)
    before = await desk.server.clients()
    watch.as_line(Listed(tuple(before)))
    desk.registry.configure([_changed(setting)], NOW)
    (after,) = await desk.server.clients()
    name = setting.property_name
    line = watch.as_line(Changed(after.path, {name: after.values[name]}))
    words = {timedelta: "7 min", bool: "yes" if after.values[name] else "no"}
    word = words.get(type(_example(setting)[1]), after.values[name])
    assert line is not None
    assert line.text == f"alpha: {name} is now {word}"


@each
def test_checkers_may_refer_to_it(setting: Setting) -> None:
    """The rows that say so can be expanded in a command; others are refused when it is read."""
    lines = f"[alpha]\nkey_id = {'ab' * 32}\nsecret = c2VhbGVk\nchecker = x %%({setting.name})s\n"
    if not setting.for_checkers:
        with pytest.raises(Exception, match=f"one of .* in %%\\({setting.name}\\)s"):
            parse_client(lines)
        return
    client = Client(parse_client(lines), NOW)
    assert expanded(client, lambda moment: moment).startswith("x ")


def test_change_is_heard_once() -> None:
    """The record of a change names the settings in the order of their rows."""
    desk = Desk(PLAIN)
    heard: list[events.Event] = []
    desk.registry.listen(heard.append)
    desk.registry.configure([replace(PLAIN, timeout=timedelta(minutes=9), host="x")], NOW)
    (names,) = (event.names for event in heard if isinstance(event, events.SettingsChanged))
    assert names == ("host", "timeout")
