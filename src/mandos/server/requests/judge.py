# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which peer gets which secret: one request in, one answer out, at least one record.

No secret leaves before the audit trail says so on disk, except to an address that got it within the
last second; but a disk that fails or hangs keeps no machine from booting.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from mandos.errors import MachineError
from mandos.server.audit.records import Kind, Record
from mandos.server.life.approval import Request
from mandos.server.life.client import Give, Refuse
from mandos.server.life.events import Rejection
from mandos.server.life.sealed_secret import SealedSecret
from mandos.server.logs.tally import Tally
from mandos.server.requests.client_status import described
from mandos.server.requests.recently_sent import RecentlySent
from mandos.wire import grammar

if TYPE_CHECKING:
    from mandos.client_settings import ClientSettings
    from mandos.server.life.client import Client
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry
    from mandos.server.requests.peer_identity import PeerIdentity
    from mandos.server.requests.sockets import Peer

log = logging.getLogger(__name__)

#: Seconds that the disk may take to record that a secret leaves.
_DISK_TIME = 3.0
#: For the person who approves it.  The purpose is only the peer's word: the secret opens the disk.
_CLAIM = "it says that it rehearses its boot"


class Trail(Protocol):
    """The audit trail."""

    def note(self, record: Record) -> None:
        """Add a record."""

    async def durable(self, *, hurry: bool = True) -> None:
        """Return when all records are on disk; raises MachineError when that fails."""


class OtherServers(Protocol):
    """The servers that share the state: no secret leaves without a decision of all of them."""

    async def current(self, name: str) -> bool:
        """Bring a client up to date, before it is judged; returns whether that succeeded."""

    async def granted(self, record: Record, settings: ClientSettings) -> Rejection | None:
        """Decide whether a client gets its secret now; None: it does, and the record is kept."""


class RegistryJudge:
    """Decides requests by the registry, and records the decisions.

    ``others`` are the servers that share the state, if there are any.
    """

    def __init__(
        self, registry: Registry, clock: Clock, trail: Trail, others: OtherServers | None = None
    ) -> None:
        self._others = others
        self._registry = registry
        self._clock = clock
        self._trail = trail
        self._recent = RecentlySent()
        self._slow = Tally(_report_slow)
        self._unrecorded = Tally(_report_unrecorded)

    def close(self) -> None:
        """Report the secrets sent without a record that have no line yet."""
        self._slow.close()
        self._unrecorded.close()

    async def judge(
        self, identity: PeerIdentity, peer: Peer, purpose: str = grammar.SECRET
    ) -> SealedSecret | None:
        """The secret for the peer of this identity, or None to refuse.

        A rehearsal passes every refusal and approval of a real request.
        """
        client = self._registry.find(identity.key_id)
        if client is None:
            self._note(Kind.UNKNOWN_KEY, identity, peer)
            return None
        if self._others is not None and client.refuses(self._clock.now()):
            await self._others.current(client.name)
        decision = client.ask(self._clock.now())
        approved = isinstance(decision, Request)
        if isinstance(decision, Request):
            why = _CLAIM if purpose == grammar.REHEARSAL else ""
            self._note(Kind.APPROVAL_NEEDED, identity, peer, client.name, why)
            decision = await self._answered(client, decision)
            if isinstance(decision, Give):
                decision = self._reconsidered(identity, client, approved=True)
        if not isinstance(decision, Give):
            self._note(Kind.REJECTED, identity, peer, client.name, decision.reason)
            return None
        kind = Kind.REHEARSED if purpose == grammar.REHEARSAL else Kind.SECRET_SENT
        try:
            refused = await self._decided(identity, client, peer, kind)
        except asyncio.CancelledError:
            self._note(Kind.UNDELIVERED, identity, peer, client.name, "the peer hung up")
            raise
        if refused is not None:
            self._note(Kind.REJECTED, identity, peer, client.name, refused)
            return None
        decision = self._reconsidered(identity, client, approved=approved)
        if not isinstance(decision, Give):
            why = f"meanwhile: {decision.reason.lower()}"
            self._note(Kind.UNDELIVERED, identity, peer, client.name, why)
            return None
        return SealedSecret(client.settings.secret)

    async def _decided(
        self, identity: PeerIdentity, client: Client, peer: Peer, kind: Kind
    ) -> Rejection | None:
        """Record that the secret leaves; the reason if other servers do not let it."""
        record = self._record(kind, identity, peer, client.name)
        if self._others is not None:
            return await self._others.granted(record, client.settings)
        self._trail.note(record)
        await self._recorded(identity, client, peer, kind)
        return None

    def _reconsidered(
        self, identity: PeerIdentity, client: Client, *, approved: bool
    ) -> Give | Refuse:
        """The decision once more, after a wait: by the key, the state and the settings of now."""
        if self._registry.find(identity.key_id) is not client:
            return Refuse(Rejection.NEW_KEY)
        return client.reconsider(self._clock.now(), approved=approved)

    def describe(self, identity: PeerIdentity, peer: Peer) -> bytes | None:
        """The server's view of the client with this key, as JSON; None if there is no client.

        It is recorded, but the answer does not wait for the disk.
        """
        client = self._registry.find(identity.key_id)
        if client is None:
            self._note(Kind.UNKNOWN_KEY, identity, peer)
            return None
        self._note(Kind.STATUS_SENT, identity, peer, client.name)
        return described(client, self._clock.now())

    def delivered(self, identity: PeerIdentity, _peer: Peer, purpose: str = grammar.SECRET) -> None:
        """Note that the client has its secret; a rehearsal extends no timeout."""
        client = self._registry.find(identity.key_id)
        if client is None:
            return
        if purpose == grammar.REHEARSAL:
            client.rehearsed(self._clock.now())
        else:
            client.secret_sent(self._clock.now())

    def undelivered(self, identity: PeerIdentity, peer: Peer) -> None:
        """Note that the client may not have its secret, though it left."""
        client = self._registry.find(identity.key_id)
        name = "" if client is None else client.name
        self._note(Kind.UNDELIVERED, identity, peer, name, "the connection broke")

    def _note(
        self, kind: Kind, identity: PeerIdentity, peer: Peer, name: str = "", detail: str = ""
    ) -> None:
        self._trail.note(self._record(kind, identity, peer, name, detail))

    def _record(
        self, kind: Kind, identity: PeerIdentity, peer: Peer, name: str = "", detail: str = ""
    ) -> Record:
        return Record(
            kind=kind,
            at=self._clock.now(),
            client=name,
            key_id=identity.key_id,
            address=peer.address,
            interface=peer.interface,
            detail=detail,
        )

    async def _recorded(
        self, identity: PeerIdentity, client: Client, peer: Peer, kind: Kind
    ) -> None:
        # That the client was enabled has to be on disk, too.
        where = (kind, peer.address, peer.interface, str(client.life.last_enabled))
        key_id = identity.key_id
        if self._recent.has(key_id, where, self._clock.now()):
            return
        try:
            async with asyncio.timeout(_DISK_TIME):
                await self._trail.durable(hurry=not self._recent.is_full(key_id))
        except TimeoutError:
            if self._slow.passes(""):
                log.error("the disk takes more than %g s to record a secret sent", _DISK_TIME)  # noqa: TRY400
        except MachineError as error:
            if self._unrecorded.passes(str(error)):
                log.error("a secret is sent without a record: %s", error)  # noqa: TRY400
        else:
            self._recent.add(key_id, where, self._clock.now())

    async def _answered(self, client: Client, request: Request) -> Give | Refuse:
        """Wait until it is settled, at the latest by the timer; forget it when no peer waits."""
        woken = asyncio.Event()
        request.wake = woken.set
        try:
            while isinstance(decision := client.answer(request, self._clock.now()), Request):
                await woken.wait()
                woken.clear()
        finally:
            client.withdraw(request, self._clock.now())
        return decision


def _report_slow(times: int, _cause: str) -> None:
    log.error("the disk took more than %g s to record %d more secrets sent", _DISK_TIME, times)


def _report_unrecorded(times: int, cause: str) -> None:
    log.error("%d more secrets were sent without a record, most: %s", times, cause)
