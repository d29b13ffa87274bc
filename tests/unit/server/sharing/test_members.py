# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is alive among servers that share their state, and which of them checks a client."""

from __future__ import annotations

from collections import Counter

from mandos.server.sharing.members import LOST, Members, Sign, watcher

SERVERS = ["one", "three", "two"]
CLIENTS = [f"client{number}" for number in range(3000)]


def signs(beat: int, *names: str, checks: bool = True) -> list[Sign]:
    """Rows of these servers, with this sign of life."""
    return [Sign(name, beat, checks) for name in names]


def test_a_server_without_a_new_sign_of_life_is_lost() -> None:
    """By this machine's own clock; the dates in the rows do not matter."""
    members = Members("one")
    members.heard(signs(1, *SERVERS), 100.0)
    assert members.alive(100.0 + LOST - 0.1) == SERVERS
    members.heard([*signs(2, "one", "two"), *signs(1, "three")], 100.0 + LOST)
    assert members.alive(100.0 + LOST) == ["one", "two"]
    assert members.lost(100.0 + LOST) == ["three"]
    members.heard(signs(3, *SERVERS), 101.0 + LOST)
    assert members.lost(101.0 + LOST) == []


def test_a_server_that_left_is_not_lost() -> None:
    """It took its row out of the table."""
    members = Members("one")
    members.heard(signs(1, *SERVERS), 100.0)
    members.heard(signs(2, "one", "two"), 101.0)
    assert members.alive(101.0) == ["one", "two"]
    assert members.lost(101.0) == []


def test_this_server_is_alive_without_any_row() -> None:
    """It checks all clients while it is alone."""
    assert Members("one").watching(5.0) == ["one"]


def test_servers_without_a_link_do_not_check() -> None:
    """Unless none has one: then all do, and with link_loss = hold none does."""
    members = Members("one")
    members.heard([*signs(1, "one", checks=False), *signs(1, "two")], 1.0)
    assert members.watching(1.0) == ["two"]
    members.heard(signs(2, "one", "two", checks=False), 2.0)
    assert members.watching(2.0) == ["one", "two"]
    assert members.watching(2.0, hold=True) == []


def test_clients_are_shared_out_evenly() -> None:
    """Each of three servers has a third, within a few percent."""
    counts = Counter(watcher(client, SERVERS) for client in CLIENTS)
    assert counts.keys() == set(SERVERS)
    assert all(900 < count < 1100 for count in counts.values())


def test_only_the_clients_of_a_lost_server_move() -> None:
    """And they go to both of the others."""
    before = {client: watcher(client, SERVERS) for client in CLIENTS}
    after = {client: watcher(client, ["one", "two"]) for client in CLIENTS}
    moved = {client for client in CLIENTS if before[client] != after[client]}
    assert moved == {client for client in CLIENTS if before[client] == "three"}
    assert {after[client] for client in moved} == {"one", "two"}


def test_without_servers_no_server_checks() -> None:
    """The empty name is the name of no server."""
    assert watcher("client", []) == ""
