# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of messages to a bus that is slow: strangers cannot fill the memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from dbus_fast import Message

from mandos.client_settings import ClientSettings
from mandos.server.audit.records import SENT, Kind, Record
from mandos.server.bus import outbox
from mandos.server.bus.objects import Objects
from mandos.server.bus.outbox import Outbox
from mandos.server.bus.signals import Signals
from mandos.server.life import events
from mandos.server.life.client import Client
from mandos.server.life.registry import Registry
from mandos.server.system.machine_clock import machine_clock


def _signal() -> Message:
    return Message.new_signal("/", "a.b", "C")


async def test_signals_of_strangers_are_dropped_when_many_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No others are; the log says how many."""
    box = Outbox()
    for _ in range(outbox._ROOM + 500):
        box.put(_signal(), provoked=True)
    assert box._queue.qsize() == outbox._ROOM
    for _ in range(10):
        box.put(_signal())
    assert box._queue.qsize() == outbox._ROOM + 10
    box.close()
    assert caplog.text.count("\n") == 1
    assert "the bus was too slow for 500 signals about requests" in caplog.text
    await asyncio.sleep(0)


def test_signals_that_a_peer_can_cause_are_marked() -> None:
    """ClientNotFound, Rejected, and records of requests without a secret; no signal of a change."""
    sent: list[tuple[str, bool]] = []

    def send(*message: Any, provoked: bool = False) -> None:  # noqa: ANN401 - of any kind
        sent.append((message[2], provoked))

    clock = machine_clock()
    client = Client(ClientSettings(name="alpha", key_id="ab" * 32, secret=b"x"), clock.now())
    registry = Registry([client])
    signals = Signals(registry, Objects(registry), clock, send)
    at = datetime(2026, 11, 30, tzinfo=UTC)
    for kind in (Kind.UNKNOWN_KEY, Kind.REJECTED, Kind.STATUS_SENT, Kind.DISABLED):
        signals.record(Record(kind=kind, at=at))
    client.disable(clock.now(), events.Why.ADMINISTRATOR)
    client.ask(clock.now())
    assert {name for name, provoked in sent if provoked} == {
        "ClientNotFound", "RecordAdded", "Rejected",
    }  # fmt: skip
    assert ("RecordAdded", False) in sent
    assert ("PropertiesChanged", False) in sent
    assert ("Rejected", False) not in sent


@pytest.mark.parametrize("kind", sorted(SENT))
def test_no_signal_about_a_secret_sent_can_be_dropped(kind: Kind) -> None:
    """A boot is also GotSecret; a rehearsal is not, since programs would take it for a boot."""
    sent: list[str] = []

    def send(*message: Any, provoked: bool = False) -> None:  # noqa: ANN401 - of any kind
        assert not provoked
        sent.append(message[2])

    clock = machine_clock()
    client = Client(ClientSettings(name="alpha", key_id="ab" * 32, secret=b"x"), clock.now())
    registry = Registry([client])
    signals = Signals(registry, Objects(registry), clock, send)
    signals.record(Record(kind=kind, at=clock.now(), client="alpha", address="fe80::1"))
    deliver = client.secret_sent if kind is Kind.SECRET_SENT else client.rehearsed
    deliver(clock.now())
    assert sent[0] == "RecordAdded"
    assert "PropertiesChanged" in sent
    assert ("GotSecret" in sent) is (kind is Kind.SECRET_SENT)
