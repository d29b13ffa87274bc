# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps this server in step with the others that share its state.

A thread gives signs of life and hears of changes over a connection of its own (``Pulse``); the
event loop takes them over.  Both connections may fail at any time, and are renewed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol

from mandos.errors import MachineError, MandosError
from mandos.server.life.client import Refuse
from mandos.server.life.events import Rejection
from mandos.server.sharing.alone import may_decide
from mandos.server.sharing.members import LOST, Members, Sign
from mandos.server.sharing.trail import OthersRecords
from mandos.server.state import boot_id
from mandos.server.state.apart import Contact

if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.client_settings import ClientSettings
    from mandos.server.audit.records import Record
    from mandos.server.life.client import Client
    from mandos.server.life.clock import CommonClock
    from mandos.server.life.registry import Registry
    from mandos.server.sharing.alone import Limits
    from mandos.server.sharing.members import Presence
    from mandos.server.sharing.replica import Replica
    from mandos.server.state.apart import Notes
    from mandos.server.state.postgresql.pulse import Beat, News
    from mandos.server.state.store import SharedStore
    from mandos.server.state.writer import Keeper

log = logging.getLogger(__name__)

#: Seconds between two signs of life, and until the next try to connect.
_PACE = 1.0
#: Seconds after which a database that does not answer counts as unreachable.
_SILENCE = 4.0
#: Seconds that the database may take to decide about a secret.
_DECISION_TIME = 6.0
#: Seconds that this server's disk may take to keep the record of a secret.
_DISK_TIME = 3.0
#: A decision that took longer is made again: the server may have stood still since.
_FRESH = 2.0
#: Seconds in which new records of other servers are collected: reading them holds up decisions.
_RECORDS_PACE = 0.2
#: Seconds between two notes on the disk that the database was seen.
_NOTING = 10.0


class Sharing:
    """Needs a running event loop; ``linked`` is whether this server has a network link.

    ``limits`` say how long after the last contact this server decides by itself, ``elapsed`` reads
    the machine's CLOCK_BOOTTIME in seconds.
    """

    def __init__(  # noqa: PLR0913 - each by its name
        self,
        *,
        own: str,
        pulse: Heart,
        store: SharedStore,
        notes: Notes,
        keeper: Keeper,
        replica: Replica,
        registry: Registry,
        clock: CommonClock,
        linked: Callable[[], bool],
        elapsed: Callable[[], float],
        limits: Limits,
        hold: bool = False,
    ) -> None:
        self._pulse = pulse
        self._store = store
        self._keeper = keeper
        self._replica = replica
        self._registry = registry
        self._clock = clock
        self._linked = linked
        self._elapsed = elapsed
        self._limits = limits
        self._notes = notes
        self._boot = boot_id.present()
        self._hold = hold
        self._members = Members(own)
        self._own = own
        self._loop = asyncio.get_running_loop()
        self._ended = Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = Thread(target=self._run, name="pulse", daemon=True)
        self._names: set[str] | None = set()
        self._ask_waiting = False
        self._alive: list[str] = []
        self._ask_records = False
        self._records_due: asyncio.TimerHandle | None = None
        self.records = OthersRecords(own, store, keeper.in_thread, elapsed)
        self._fetching: asyncio.Task[None] | None = None
        self._checks = True
        self._contact = notes.contact()
        self._noted = -_NOTING
        self._noting: asyncio.Task[None] | None = None
        replica.on_lost = self._write_again
        self._looking: asyncio.TimerHandle | None = None
        self.trouble = ""
        self.on_trouble: Callable[[], None] = _nothing
        self._replication = ""
        self._alone_since = ""
        self._told: object = None
        self.on_change: Callable[[], None] = _nothing

    @property
    def servers(self) -> list[Presence]:
        """All servers that share the state, this one among them."""
        return self._members.presences(self._elapsed())

    @property
    def database_state(self) -> str:
        """The state of the database for people: see ``bus_names``, DatabaseState."""
        if not self._alone_since:
            return "; ".join(filter(None, ("connected", self._replication)))
        use = "local copy in use" if self._may_decide_alone else "no secret is given"
        return f"unreachable since {self._alone_since}, {use}"

    def _tell_changes(self) -> None:
        """Report new facts about the servers; signs of life of living ones are none."""
        servers = [one._replace(seen=None) if one.alive else one for one in self.servers]
        if (now := (self.database_state, servers)) != self._told:
            self._told = now
            self.on_change()

    def start(self) -> None:
        """Begin; this server already knows the clients as they are now."""
        self._checks = self._linked()
        self._thread.start()
        self._look()

    async def stop(self) -> None:
        """Leave the other servers, which check this one's clients at once."""
        if self._looking is not None:
            self._looking.cancel()
        self._ended.set()
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            await self._loop.run_in_executor(None, self._thread.join)
        if self._records_due is not None:
            self._records_due.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        os.close(self._wake)

    # The thread

    def _run(self) -> None:
        connected = False
        while not self._ended.is_set():
            try:
                if not connected:
                    self._pulse.connect()
                    connected = True
                    self._post(self._found)
                self._post(self._beaten, self._pulse.beat(checks=self._checks))
                self._listen(self._elapsed() + _PACE)
            except MandosError as error:
                connected = False
                self._post(self._lost, error)
                self._ended.wait(_PACE)
        self._pulse.leave()

    def _listen(self, until: float) -> None:
        while not self._ended.is_set() and (left := until - self._elapsed()) > 0:
            if news := self._pulse.wait(left, self._wake):
                self._post(self._heard, news)

    def _post(self, call: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    # The event loop

    def _found(self) -> None:
        """All clients are compared after a time without news."""
        self._names = None
        self._fetch()

    def _beaten(self, beat: Beat) -> None:
        now = self._elapsed()
        self._contact = Contact(self._boot, now, datetime.now(UTC))
        if now - self._noted > _NOTING:
            self._noted = now
            self._noting = self._loop.create_task(
                self._keeper.in_thread(self._notes.seen, self._contact), name="contact"
            )
        if back := self._clock.agree(beat.moment, beat.at):
            ahead = back.total_seconds()
            log.warning("this server was %.1f s ahead of the others; it follows them now", ahead)
            self._share_out([])  # its checks were due at wrong times
        self._members.heard([Sign(*sign) for sign in beat.signs], now)
        if (alive := self._members.alive(now)) != self._alive:
            self._alive, self._ask_waiting = alive, True  # requests at a lost server wait no more
            self._fetch()
        self._checks = self._linked()
        self._share_out(self._members.watching(now, hold=self._hold))
        lost = self._members.lost(now)
        missing = f"servers are missing: {', '.join(lost)}" if lost else ""
        self._replication, self._alone_since = beat.replication, ""
        self._in_trouble("; ".join(filter(None, (missing, beat.replication))))
        self._tell_changes()

    def _look(self) -> None:
        """Notice a database that keeps the thread waiting: its processes or its disk hang."""
        self._looking = self._loop.call_later(_PACE, self._look)
        silent = self._silent
        if not self._alone_since and silent is not None and silent > _SILENCE:
            self._lost(MachineError("it does not answer"))

    @property
    def _silent(self) -> float | None:
        """Seconds since the last contact with the database; None: none in this boot."""
        contact = self._contact
        if contact is None or contact.boot != self._boot:
            return None
        return self._elapsed() - contact.elapsed

    def _lost(self, error: MandosError) -> None:
        """Go on alone: this server checks all clients, since it cannot know about the others."""
        silent = self._silent
        if silent is None or silent > LOST:
            self._share_out([self._own])
        if not self._alone_since:
            since = self._clock.now() - timedelta(seconds=silent or 0.0)
            self._alone_since = f"{since:%Y-%m-%d %H:%M:%S} UTC"
        self._in_trouble(f"the database is unreachable: {error}")
        self._tell_changes()

    def _in_trouble(self, trouble: str) -> None:
        if trouble == self.trouble:
            return
        if trouble:
            log.warning("%s", trouble)
        else:
            log.info("the database and all servers are there")
        self.trouble = trouble
        self.on_trouble()

    def _share_out(self, watching: list[str]) -> None:
        if watching != self._replica.watching:
            log.info("the clients are checked by: %s", ", ".join(watching) or "no server")
            self._replica.share_out(watching)

    def _heard(self, news: News) -> None:
        if news.clients is None or self._names is None:
            self._names = None
        else:
            self._names |= news.clients
        self._ask_waiting |= news.waiting
        if news.audit and self._records_due is None:
            self._records_due = self._loop.call_later(_RECORDS_PACE, self._read_records)
        self._fetch()

    def _read_records(self) -> None:
        self._records_due, self._ask_records = None, True
        self._fetch()

    def _write_again(self, name: str) -> None:
        """Write a client that the database has lost the latest changes of."""
        log.warning("the database has an older state of client %s: writing it again", name)
        self._keeper.begin([name], [])

    def _fetch(self) -> None:
        if self._fetching is None or self._fetching.done():
            self._fetching = self._loop.create_task(self._fetched(), name="changes")

    async def _fetched(self) -> None:
        """Take over all changes that were heard of."""
        while self._names != set() or self._ask_waiting or self._ask_records:
            names, self._names = self._names, set()
            waiting, self._ask_waiting = self._ask_waiting or names is None, False
            records, self._ask_records = self._ask_records or names is None, False
            anew = False
            try:
                if self._store.trouble is not None:
                    await self._keeper.in_thread(self._store.reopen)
                if names is None:
                    versions = self._replica.versions()
                    names = await self._keeper.in_thread(self._store.outdated, versions)
                    anew = True
                if names:
                    clients = await self._keeper.in_thread(self._store.changed, names)
                    self._replica.changed(clients, anew=anew)
                if waiting:
                    others = [name for name in self._alive if name != self._own]
                    found = await self._keeper.in_thread(self._store.waiting, others)
                    self._replica.wait_elsewhere(found)
                if records:
                    await self.records.read()
            except MandosError as error:
                self._names, self._ask_waiting = None, True
                log.debug("changes of other servers cannot be read: %s", error)
                await asyncio.sleep(_PACE)

    # Decisions

    async def current(self, name: str) -> bool:
        """Bring a client up to date, before it is judged or changed.

        Returns false when the database does not answer.
        """
        try:
            async with asyncio.timeout(_DECISION_TIME):
                clients = await self._keeper.in_thread(self._store.changed, {name})
        except (MandosError, TimeoutError) as error:
            log.debug("client %s cannot be brought up to date: %s", name, error)
            return False
        self._replica.changed(clients)
        return True

    async def granted(self, record: Record, settings: ClientSettings) -> Rejection | None:
        """Decide, with all servers, whether a client gets its secret now; None: it does.

        The record is on disk then.  Without the database this server decides alone for a while.
        """
        try:
            async with asyncio.timeout(_DECISION_TIME):
                began, granted = 0.0, True
                while granted and self._elapsed() - began > _FRESH:
                    began = self._elapsed()
                    granted = await self._keeper.granted(record, settings)
        except (MandosError, TimeoutError):
            return await self._alone(record)
        if granted:
            return None
        await self.current(record.client)
        client = self._registry.named(record.client)
        return self._reason(client) if client is not None else Rejection.NEW_KEY

    def _reason(self, client: Client) -> Rejection:
        decision = client.reconsider(self._clock.now(), approved=True)
        if isinstance(decision, Refuse):
            return decision.reason
        expires = client.life.expires
        late = expires is not None and expires <= self._clock.now()
        return Rejection.OVERDUE if late else Rejection.REFUSED

    async def _alone(self, record: Record) -> Rejection | None:
        """Decide without the database, by what this server knows.

        The record is on this server's disk then, unless the disk hangs: that keeps no machine from
        booting.
        """
        if self._may_decide_alone:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DISK_TIME):
                    await asyncio.to_thread(self._notes.given, record)
            if self._may_decide_alone:  # still, after the disk
                self._keeper.note(record)
                return None
        return Rejection.NO_DATABASE

    @property
    def _may_decide_alone(self) -> bool:
        """Whether the last contact with the database is recent enough."""
        now = self._elapsed(), datetime.now(UTC)
        return may_decide(self._limits, self._contact, self._boot, *now)


class Heart(Protocol):
    """The connection of the thread: ``state/postgresql/pulse.py``."""

    def connect(self) -> None:
        """Connect, and listen; raises MandosError."""

    def beat(self, *, checks: bool) -> Beat:
        """Give a sign of life; raises MandosError, and then the connection is closed."""

    def wait(self, seconds: float, wake: int) -> News:
        """Wait for news, until a byte can be read from ``wake``, or so long."""

    def leave(self) -> None:
        """Take this server out of the list, and close the connection."""


def _nothing() -> None:
    """Default for ``on_trouble``."""
