# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the files again: clients come, change and go; a mistake changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mandos.errors import AdministratorError, MachineError
from mandos.server.audit.records import Record
from mandos.server.config.clients_conf import load_clients
from mandos.server.life import events
from mandos.server.life.client import Client
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry
from mandos.server.life.saved import MEMORY, STILL_DISABLED
from mandos.server.reload import Reloader
from mandos.server.system.machine_clock import machine_clock

KEYS = {name: f"{name}" * 64 for name in "abcdef"}


def _section(name: str, key: str, more: str = "") -> str:
    return f"[{name}]\nkey_id = {KEYS[key]}\nsecret = aGVsbG8=\n{more}\n"


class Disk:
    """A trail whose disk may fail."""

    error: MachineError | None = None

    def note(self, record: Record) -> None:
        """Not used here."""

    async def durable(self, *, hurry: bool = True) -> None:  # noqa: ARG002
        """Succeed or fail."""
        if self.error:
            raise self.error


class World:
    """A registry as the files had it, and the files."""

    def __init__(self, folder: Path, *sections: str) -> None:
        self.path = folder / "clients.conf"
        self.write(*sections)
        self.clock = machine_clock()
        now = self.clock.now()
        self.registry = Registry(Client(one, now) for one in load_clients(folder))
        self.told: list[events.Event] = []
        self.registry.listen(self.told.append)
        self.disk = Disk()
        self.reloader = Reloader(folder, self.registry, self.clock, self.disk)

    def write(self, *sections: str) -> None:
        """Change the file."""
        self.path.touch(mode=0o600)
        self.path.write_text("".join(sections))

    def named(self, name: str) -> Client:
        """A client that is there."""
        client = self.registry.named(name)
        assert client is not None
        return client


async def test_clients_come_change_and_go(tmp_path: Path) -> None:
    """Each with its event; who is not mentioned in a change stays as it is."""
    world = World(tmp_path, _section("foo", "a"), _section("bar", "b"), _section("baz", "c"))
    foo = world.named("foo")
    foo.disable(world.clock.now(), Why.ADMINISTRATOR)
    world.told.clear()
    world.write(_section("foo", "a"), _section("bar", "b", "host = x"), _section("new", "d"))
    await world.reloader.reload()
    assert [client.name for client in world.registry] == ["foo", "bar", "new"]
    assert world.named("foo") is foo
    assert not foo.life.enabled
    assert world.named("bar").settings.host == "x"
    assert world.named("new").life.enabled
    kinds = [(type(event), event.client) for event in world.told]
    assert sorted(kinds, key=str) == sorted(
        [
            (events.Left, "baz"), (events.Reconfigured, "bar"),
            (events.SettingsChanged, "bar"), (events.Added, "new"),
        ], key=str,
    )  # fmt: skip
    assert world.registry.find(KEYS["c"]) is None
    assert world.registry.find(KEYS["d"]) is world.named("new")


async def test_clients_can_change_keys(tmp_path: Path) -> None:
    """Each key leads to its new owner, whatever the order; the old keys lead nowhere."""
    world = World(tmp_path, _section("foo", "a"), _section("bar", "b"), _section("baz", "c"))
    world.write(_section("foo", "b"), _section("bar", "a"), _section("new", "c"))
    await world.reloader.reload()
    owners = {key: client.name for key in KEYS if (client := world.registry.find(KEYS[key]))}
    assert owners == {"a": "bar", "b": "foo", "c": "new"}


async def test_removed_client_stays_away_until_its_section_changes(tmp_path: Path) -> None:
    """Reading the same section again does not bring it back."""
    world = World(tmp_path, _section("foo", "a"), _section("bar", "b"))
    world.registry.remove("foo", world.clock.now())
    await world.reloader.reload()
    assert world.registry.named("foo") is None
    assert world.registry.find(KEYS["a"]) is None
    world.write(_section("foo", "a", "host = x"), _section("bar", "b"))
    await world.reloader.reload()
    assert world.named("foo").life.enabled
    assert not world.registry.removed


async def test_disabled_client_stays_so_while_its_section_is_missing(tmp_path: Path) -> None:
    """A file that is being replaced must not enable anybody."""
    world = World(tmp_path, _section("foo", "a"), _section("bar", "b"))
    foo = world.named("foo")
    foo.disable(world.clock.now(), Why.TIMEOUT)
    life = foo.life
    world.write(_section("bar", "b"))
    await world.reloader.reload()
    assert world.registry.named("foo") is None
    assert world.registry.find(KEYS["a"]) is None
    world.write(_section("foo", "a", "host = x"), _section("bar", "b"))
    await world.reloader.reload()
    assert world.named("foo").life == life
    assert world.named("foo").settings.host == "x"
    (back,) = [event for event in world.told if isinstance(event, events.Added)]
    assert back.how == STILL_DISABLED


async def test_disabled_client_stays_so_under_another_name(tmp_path: Path) -> None:
    """Also when an administrator adds it by hand; a reload in between changes nothing."""
    world = World(tmp_path, _section("foo", "a"), _section("bar", "b"))
    world.named("foo").disable(world.clock.now(), Why.TIMEOUT)
    world.write(_section("new", "a"), _section("bar", "b"))
    await world.reloader.reload()
    assert not world.named("new").life.enabled
    world.write(_section("bar", "b"))
    await world.reloader.reload()
    settings = replace(world.named("bar").settings, name="other", key_id=KEYS["a"])
    world.registry.admit(settings, world.clock.now())
    assert not world.named("other").life.enabled
    assert world.named("other").added


async def test_client_that_was_away_for_long_is_new(tmp_path: Path) -> None:
    """After the stated time it is forgotten, and the state is told."""
    world = World(tmp_path, _section("foo", "a"), _section("bar", "b"))
    world.named("foo").disable(world.clock.now(), Why.TIMEOUT)
    world.write(_section("bar", "b"))
    await world.reloader.reload()
    later = world.clock.now() + MEMORY + timedelta(minutes=1)
    world.registry.configure(load_clients(tmp_path), later)
    assert isinstance(world.told[-1], events.Forgotten)
    world.write(_section("foo", "a"), _section("bar", "b"))
    world.registry.configure(load_clients(tmp_path), later)
    assert world.named("foo").life.enabled


async def test_added_client_stays_until_a_file_has_it(tmp_path: Path) -> None:
    """It is in no file, so no file's silence removes it; removed, it leaves nothing behind."""
    world = World(tmp_path, _section("foo", "a"))
    now = world.clock.now()
    settings = replace(world.named("foo").settings, name="new", key_id=KEYS["c"])
    world.registry.add(Client(settings, now, added=True), now)
    await world.reloader.reload()
    assert world.named("new").added
    world.write(_section("foo", "a"), _section("new", "c", "host = x"))
    await world.reloader.reload()
    assert not world.named("new").added
    assert world.named("new").settings.host == "x"
    world.registry.add(
        Client(replace(settings, name="more", key_id=KEYS["d"]), now, added=True), now
    )
    world.registry.remove("more", now)
    assert not world.registry.removed


@pytest.mark.parametrize(
    "mistake", [_section("new", "a"), "[new]\n", _section("new", "d", "timeout = x"), "rubbish"]
)
async def test_mistake_changes_nothing(tmp_path: Path, mistake: str) -> None:
    """One wrong section keeps even the good ones from being taken over."""
    world = World(tmp_path, _section("foo", "a"), _section("bar", "b"))
    world.write(_section("foo", "a", "host = changed"), mistake)
    with pytest.raises(AdministratorError, match=r"clients\.conf"):
        await world.reloader.reload()
    assert [client.name for client in world.registry] == ["foo", "bar"]
    assert world.named("foo").settings.host == ""
    assert world.told == []
    assert isinstance(await world.reloader.try_to_reload(), AdministratorError)


async def test_disk_that_fails_is_told(tmp_path: Path) -> None:
    """What is in force is not acknowledged when it could not be saved."""
    world = World(tmp_path, _section("foo", "a"))
    world.disk.error = MachineError("No space left on device")
    with pytest.raises(MachineError, match="No space left"):
        await world.reloader.reload()


async def test_same_files_change_nothing(tmp_path: Path) -> None:
    """Reading them again is harmless."""
    world = World(tmp_path, _section("foo", "a"), _section("bar", "b"))
    assert await world.reloader.try_to_reload() is None
    assert world.told == []
