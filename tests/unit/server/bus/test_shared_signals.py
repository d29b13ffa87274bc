# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signals about changes that other servers have made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

pytest.importorskip("dbus_fast")

from mandos.client_settings import ClientSettings
from mandos.server.audit.records import Kind, Record
from mandos.server.bus.objects import Objects
from mandos.server.bus.signals import Signals
from mandos.server.life.client import Client
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry

if TYPE_CHECKING:
    from mandos.server.life.clock import Clock
    from mandos.server.life.life import Life

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
SETTINGS = ClientSettings(name="alpha", secret=b"x", approval_delay=timedelta(hours=1))


class Bus:
    """A client, and the signals that are sent about it."""

    def __init__(self) -> None:
        self.client = Client(SETTINGS, NOW, watched=False)
        registry = Registry([self.client])
        self._sent: list[tuple[str, list[Any]]] = []
        clock = cast("Clock", self)
        self.signals = Signals(registry, Objects(registry), clock, self._send, "own")

    def date(self, moment: datetime) -> datetime:
        """The date of a moment, for the signals."""
        return moment

    def _send(self, *place: object, provoked: bool = False) -> None:
        del provoked
        _path, _interface, member, _signature, body = place
        self._sent.append((str(member), cast("list[Any]", body)))

    def sent(self) -> list[tuple[str, list[Any]]]:
        """The signals since the last call."""
        sent, self._sent = self._sent, []
        return sent

    def changed(self) -> dict[str, Any]:
        """The properties that were told as changed since the last call."""
        changes = [body[1] for member, body in self.sent() if member == "PropertiesChanged"]
        return {name: one.value for values in changes for name, one in values.items()}

    def follow(self, life: Life, *, waits: bool | None = None) -> None:
        """Another server has given the client this life."""
        self.client.follow(life, LATER, waits=waits)


def test_all_changes_are_told() -> None:
    """Each property that differs, and no other; nothing when nothing differs."""
    bus = Bus()
    life = bus.client.life.found_alive(LATER, SETTINGS.timeout).given_secret(LATER)
    bus.follow(life)
    names = {"LastCheckedOK", "LastCheckerStatus", "Expires", "LastSecretSent"}
    assert bus.changed().keys() == names
    bus.follow(life)
    assert not bus.sent()


def test_a_disabling_has_its_reason() -> None:
    """Also when only the reason is another one."""
    bus = Bus()
    off = bus.client.life.turned_off(LATER, Why.TIMEOUT)
    bus.follow(off)
    changed = bus.changed()
    assert changed["Enabled"] is False
    assert changed["DisabledReason"] == "timeout"
    bus.follow(replace(off, disabled_why=Why.ADMINISTRATOR))
    assert bus.changed() == {
        "DisabledAt": LATER.replace(tzinfo=None).isoformat(),
        "DisabledReason": "administrator",
    }


def test_a_request_elsewhere_needs_approval_once() -> None:
    """The signal comes with the request, in any order of the news, and not again for the same."""
    bus = Bus()
    asked = bus.client.life.asked(LATER)
    bus.follow(asked)
    assert "NeedApproval" not in [member for member, _ in bus.sent()]
    bus.follow(asked, waits=True)
    assert ("NeedApproval", [3_600_000, SETTINGS.approved_by_default]) in bus.sent()
    bus.follow(asked.found_alive(LATER, SETTINGS.timeout))
    assert "NeedApproval" not in [member for member, _ in bus.sent()]
    bus.follow(bus.client.life.asked(LATER + timedelta(seconds=1)))
    assert "NeedApproval" in [member for member, _ in bus.sent()]
    bus.follow(bus.client.life, waits=False)
    assert bus.changed() == {"ApprovalPending": False}


def test_the_server_that_checks_is_told() -> None:
    """Also when the client moves between two others; not again for the same."""
    bus = Bus()
    for server in ("second", "third"):
        bus.client.leave(LATER, server)
        assert bus.changed() == {"WatchedBy": server}
        bus.client.leave(LATER, server)
        assert not bus.sent()
    bus.client.watch(LATER, "own")
    assert bus.changed() == {"WatchedBy": "own"}


def test_records_name_their_server() -> None:
    """Our own get our name; an unknown key at another server is no ClientNotFound of this one."""
    bus = Bus()
    bus.signals.record(Record(kind=Kind.UNKNOWN_KEY, at=NOW))
    (first, second) = bus.sent()
    assert first[0] == "ClientNotFound"
    assert second[1][0]["server"].value == "own"
    bus.signals.record(Record(kind=Kind.UNKNOWN_KEY, at=NOW, server="other"))
    ((member, (record,)),) = bus.sent()
    assert member == "RecordAdded"
    assert record["server"].value == "other"
