# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry finds clients and drives them all by one timer."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mandos.client_settings import ClientSettings
from mandos.server.life import events
from mandos.server.life.client import Client
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry
from mandos.wire import key_id

START = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def _client(name: str, key: str = "", timeout: timedelta = 5 * MINUTE) -> Client:
    settings = ClientSettings(
        name=name, key_id=key, secret=b"x", timeout=timeout, interval=timedelta(days=1)
    )
    return Client(settings, START, chance=lambda: 0.5)


def test_found_by_key_id_and_by_name() -> None:
    """A key ID finds its client, a name too, and anything else nobody."""
    key = hashlib.sha256(b"foo").hexdigest()
    foo, bar = _client("foo", key), _client("bar")
    registry = Registry([foo, bar])
    assert list(registry) == [foo, bar]
    assert registry.find(key) is foo
    assert registry.named("bar") is bar
    assert registry.find("0" * 64) is None
    assert registry.named("nobody") is None


def test_key_of_nothing_finds_nobody() -> None:
    """Neither a client without a key ID nor the SHA-256 of nothing can ever be asked for."""
    registry = Registry([_client("foo"), _client("bar", key_id.OF_NOTHING)])
    assert registry.find("") is None
    assert registry.find(key_id.OF_NOTHING) is None


def test_only_what_is_due_is_done() -> None:
    """Clients expire in the order of their deadlines, whatever order they came in."""
    clients = [_client(str(minutes), timeout=minutes * MINUTE) for minutes in (3, 1, 2)]
    registry = Registry(clients)
    told: list[events.Event] = []
    registry.listen(told.append)
    assert registry.next_deadline() == START + MINUTE
    registry.advance(START + 2 * MINUTE)
    assert [event.client for event in told] == ["1", "2"]
    assert registry.next_deadline() == START + 3 * MINUTE
    registry.advance(START + 3 * MINUTE)
    assert registry.next_deadline() is None


def test_earlier_deadlines_are_noticed() -> None:
    """A deadline that moves nearer, or that appears, is kept."""
    client = _client("foo")
    registry = Registry([client])
    client.change(START, timeout=MINUTE)
    assert registry.next_deadline() == START + MINUTE
    client.disable(START, Why.ADMINISTRATOR)
    client.enable(START + MINUTE)
    registry.advance(START + MINUTE)
    assert client.life.enabled
    assert registry.next_deadline() == START + 2 * MINUTE


def test_updates_cost_no_memory() -> None:
    """Deadlines that move further away leave nothing behind, however often they move."""
    client = _client("foo")
    registry = Registry([client])
    for second in range(1000):
        client.checked_ok(START + timedelta(seconds=second))
        registry.advance(START + timedelta(seconds=second))
    assert len(registry._deadlines) == 1
    assert client.life.enabled


def test_every_listener_hears_everything() -> None:
    """All listeners hear all events of all clients, in order."""
    foo, bar = _client("foo"), _client("bar")
    registry = Registry([foo, bar])
    first: list[events.Event] = []
    second: list[events.Event] = []
    registry.listen(first.append)
    registry.listen(second.append)
    foo.checked_ok(START)
    bar.secret_sent(START)
    assert first == second == [events.CheckedOK("foo", START), events.SecretSent("bar", START)]


def test_a_key_that_another_server_has_changed() -> None:
    """The new key finds the client, the old one nobody; two clients may exchange their keys."""
    one, two, three = (hashlib.sha256(bytes([number])).hexdigest() for number in range(3))
    foo, bar = _client("foo", one), _client("bar", two)
    registry = Registry([foo, bar])
    registry.follow_settings(foo, replace(foo.settings, key_id=three), START)
    assert registry.find(three) is foo
    assert registry.find(one) is None
    registry.follow_settings(foo, replace(foo.settings, key_id=two), START)
    registry.follow_settings(bar, replace(bar.settings, key_id=three), START)
    assert registry.find(two) is foo
    assert registry.find(three) is bar
