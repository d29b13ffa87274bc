# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vault: what a request gets, and how it waits for a person."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

from mandos.server.client import Client
from mandos.server.clients_conf import ClientSettings
from mandos.server.events import Why
from mandos.server.registry import Registry
from mandos.server.sockets import Peer
from mandos.server.vault import ClientVault

KEY = "ab" * 32
PEER = Peer("fe80::1", 4711, "eth0")


def _client(delay: timedelta = timedelta(0)) -> Client:
    settings = ClientSettings(name="foo", key_id=KEY, secret=b"sealed", approval_delay=delay)
    return Client(settings, datetime.now(UTC))


async def _waiting(client: Client) -> asyncio.Task[bytes | None]:
    registry = Registry([client])
    waits = asyncio.Event()
    registry.listen(lambda _event: waits.set())
    task = asyncio.create_task(ClientVault(registry).judge(KEY, PEER))
    await waits.wait()
    return task


async def test_known_enabled_client_gets_its_secret() -> None:
    """Its own secret for a known key, nothing for any other."""
    vault = ClientVault(Registry([_client()]))
    assert await vault.judge(KEY, PEER) == b"sealed"
    assert await vault.judge("0" * 64, PEER) is None


async def test_disabled_client_gets_nothing() -> None:
    """A disabled client is refused."""
    client = _client()
    client.disable(datetime.now(UTC), Why.ADMINISTRATOR)
    assert await ClientVault(Registry([client])).judge(KEY, PEER) is None


async def test_delivery_extends_the_timeout() -> None:
    """After the secret was sent the client has its extended timeout."""
    client = _client()
    before = datetime.now(UTC)
    ClientVault(Registry([client])).delivered(KEY, PEER)
    assert client.expires is not None
    assert client.expires >= before + client.settings.extended_timeout


async def test_verdict_ends_the_wait_at_once() -> None:
    """An approval lets the waiting request through; a denial does not."""
    for approved, secret in ((True, b"sealed"), (False, None)):
        client = _client(timedelta(hours=1))
        task = await _waiting(client)
        client.judge(datetime.now(UTC), approved=approved)
        assert await task == secret


async def test_wait_ends_by_itself() -> None:
    """At the end of the delay the default decides."""
    task = await _waiting(_client(timedelta(milliseconds=20)))
    assert await task == b"sealed"


async def test_wait_that_is_given_up_leaves_nothing_pending() -> None:
    """When the peer hangs up its request is forgotten."""
    client = _client(timedelta(hours=1))
    task = await _waiting(client)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not client.approval_pending
