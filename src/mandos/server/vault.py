# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides which secret goes where: one request in, one answer out, one log line each."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mandos.server.client import Give, Wait

if TYPE_CHECKING:
    from mandos.server.registry import Registry

log = logging.getLogger(__name__)


class ClientVault:
    """Decides by the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def judge(self, key_id: str, peer: str) -> bytes | None:
        """The secret for the holder of this key, or None to refuse."""
        client = self._registry.find(key_id)
        if client is None:
            log.warning("refused %s: no client has the key ID %s", peer, key_id)
            return None
        decision = client.ask()
        if isinstance(decision, Wait):
            log.info("client %s at %s waits for %s", client.name, peer, decision.delay)
            await asyncio.sleep(decision.delay.total_seconds())
            decision = client.decide()
        if isinstance(decision, Give):
            return decision.secret
        reason = "is disabled" if not client.enabled else f"was refused: {decision.reason}"
        log.warning("refused %s: client %s %s", peer, client.name, reason)
        return None

    def delivered(self, key_id: str, peer: str) -> None:
        """Note that the client has its secret."""
        client = self._registry.find(key_id)
        if client is not None:
            client.secret_sent(datetime.now(UTC))
            log.info("sent the secret of client %s to %s", client.name, peer)
