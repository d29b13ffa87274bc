# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of clients whose names lead to the same one: each keeps its own over a restart."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from mandos.client_settings import ClientSettings
from mandos.server.bus.objects import Objects
from mandos.server.life import events
from mandos.server.life.client import Client
from mandos.server.life.registry import Registry

START = datetime(2026, 11, 24, tzinfo=UTC)
NAMES = ("a.b", "a-b", "a_b", "other", "a.b__2")


def _client(name: str, age: int) -> Client:
    key_id = f"{NAMES.index(name):064x}"
    settings = ClientSettings(name=name, key_id=key_id, secret=b"x")
    return Client(settings, START - timedelta(seconds=age))


def _paths(objects: Objects) -> dict[str, str]:
    return {objects.name(path): path for path in objects}


def test_oldest_client_has_the_plain_path(caplog: pytest.LogCaptureFixture) -> None:
    """The others have their own, and the log says so."""
    registry = Registry([_client("a-b", 1), _client("a.b", 2), _client("other", 0)])
    objects = Objects(registry)
    assert objects.path("a.b") == "/clients/a_b"
    assert objects.path("a-b").startswith("/clients/a_b__")
    assert list(objects) == [objects.path(client.name) for client in registry]
    assert "the name of client a-b leads to the D-Bus path of client a.b" in caplog.text
    assert objects.client("/clients/a_b") is registry.named("a.b")


def test_paths_stay_over_a_restart_in_any_order() -> None:
    """One after the other as they were added, and afterwards all at once."""
    registry = Registry([])
    objects = Objects(registry)
    for age, name in zip(range(len(NAMES), 0, -1), NAMES, strict=True):
        registry.add(_client(name, age), START)
        objects.heard(events.Added(name, START))
    paths = _paths(objects)
    assert len(set(paths.values())) == len(NAMES)
    for order in itertools.permutations(list(registry)):
        assert _paths(Objects(Registry(order))) == paths


def test_paths_of_clients_of_one_age_do_not_depend_on_the_order() -> None:
    """As at a first start, when all are new."""
    clients = [_client(name, 0) for name in NAMES]
    paths = _paths(Objects(Registry(clients)))
    assert _paths(Objects(Registry(reversed(clients)))) == paths
