# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides which secret goes where: one request in, one answer out, one log line each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mandos.server.approval import Request
from mandos.server.client import Give

if TYPE_CHECKING:
    from mandos.server.client import Client, Refuse
    from mandos.server.registry import Registry
    from mandos.server.sockets import Peer

log = logging.getLogger(__name__)


class ClientVault:
    """Decides by the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def judge(self, key_id: str, peer: Peer) -> bytes | None:
        """The secret for the holder of this key, or None to refuse."""
        client = self._registry.find(key_id)
        if client is None:
            log.warning("refused %s: no client has the key ID %s", peer, key_id)
            return None
        decision = client.ask(datetime.now(UTC))
        if isinstance(decision, Request):
            log.info("client %s at %s waits for approval", client.name, peer)
            decision = await _answered(client, decision)
        if isinstance(decision, Give):
            return decision.secret
        log.warning("refused %s: client %s: %s", peer, client.name, decision.reason.lower())
        return None

    def delivered(self, key_id: str, peer: Peer) -> None:
        """Note that the client has its secret."""
        client = self._registry.find(key_id)
        if client is not None:
            client.secret_sent(datetime.now(UTC))
            log.info("sent the secret of client %s to %s", client.name, peer)


async def _answered(client: Client, request: Request) -> Give | Refuse:
    """Wait for the answer; forget the request when nobody waits for it any more."""
    woken = asyncio.Event()
    request.wake = woken.set
    try:
        while isinstance(decision := client.answer(request, datetime.now(UTC)), Request):
            left = request.until - datetime.now(UTC)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), max(left.total_seconds(), 0))
    finally:
        client.withdraw(request)
    return decision
