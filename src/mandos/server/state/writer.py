# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves changes of the clients to disk, and lets callers wait until they are saved.

What changes is collected and written by a thread, many changes in one go.  What checkers find may
wait for a second; what strangers and holders of keys provoke is written at most once a second, so
that they cannot keep the disk busy; everything else is written at once, and whoever must not speak
before it is safe waits in ``durable``.  A record is logged once it is on disk: what the log says
will last.
"""

from __future__ import annotations

import asyncio
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from mandos.errors import MachineError
from mandos.server.audit.records import ASKED, SENT, record_of
from mandos.server.life import events
from mandos.server.state.store import Changes, Kept, Outcome, Verdict, Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence, Set
    from datetime import datetime

    from mandos.client_settings import ClientSettings
    from mandos.server.audit.records import Kind, Record
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry
    from mandos.server.state.store import Entry, Known, StateStore

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

#: Seconds that the result of a checker may wait.
_LAZY = 1.0
#: Least seconds between two writes that strangers cause.
_PROVOKED_REST = 1.0
#: Seconds of rest after a write for which more than one had waited, so that even more share the
#: next.  Changes that come alone, or one after the other, never wait for that.
_REST = 0.004
#: Seconds until the next try when the disk fails.
_RETRY = 5.0
#: Clients, and records, of one write to a state that several servers share.
_MOST_SHARED = 5000
#: Frequent kinds of events; losing a second of them does no harm.
_ROUTINE = (events.CheckerCompleted, events.CheckedOK, events.CheckerBegan)
#: What changes nothing that is kept.
_PASSING = (
    events.CheckerWanted, events.CheckerStopped, events.Rejected, events.Withdrawn, events.Moved,
)  # fmt: skip

#: Events that change whether a request waits for approval.
_ABOUT_REQUESTS = (
    events.ApprovalNeeded, events.Withdrawn, events.Rejected, events.VerdictGiven,
    events.SecretSent, events.Disabled, events.Followed,
)  # fmt: skip

#: Records that wait for a disk to recover.
_PATIENCE = 10_000


class Replica(Protocol):
    """This server's copy of a state that several servers share (``sharing/replica.py``)."""

    @property
    def following(self) -> bool:
        """Whether the events of this moment come from changes that other servers made."""

    def bases(self, names: Collection[str]) -> dict[str, Known]:
        """Return these clients as the servers know them in common."""

    def written(self, changes: Changes, outcome: Outcome) -> None:
        """Take over what became of this server's changes."""

    def left_alone(self) -> set[str]:
        """Return the names of clients that this server changed without the others."""

    def alone(self, changes: Changes) -> None:
        """Note that these changes are only this server's for now."""


class Keeper:
    """Saves the clients of a registry; needs a running event loop.

    ``tell`` is called with every record after it was written, or could not be.  ``trouble`` says
    why the state cannot be written at present, and ``on_trouble`` is called when that changes.
    Without ``trail`` events make no records.  ``shared`` is this server's part of a state that
    several share; ``copy`` then saves the same clients on this machine.
    """

    def __init__(
        self,
        store: StateStore,
        registry: Registry,
        clock: Clock,
        tell: Callable[[Record], None],
        *,
        trail: bool = True,
    ) -> None:
        self._store = store
        self._keeps_trail = trail
        self.copy: Keeper | None = None
        self._registry = registry
        self._clock = clock
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "store")
        self._lives: set[str] = set()
        self._settings: set[str] = set()
        self._removed: set[str] = set()
        self._records: list[Record] = []
        self._untold: list[Record] = []
        self._forgotten: set[str] = set()
        self._verdicts: dict[str, Verdict] = {}
        self._waiting: dict[str, datetime | None] = {}
        self._wishes: list[tuple[Wish, asyncio.Future[bool]]] = []
        self.shared: Replica | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._urgent = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self.trouble = ""
        self.on_trouble: Callable[[], None] = _nothing
        self._crowded = False
        self._written = -_PROVOKED_REST
        #: When a client's extended timeout was last written at once, in the loop's time.
        self._extended: dict[str, float] = {}
        self._rests_until = 0.0
        self._task = asyncio.create_task(self._run(), name="keeper")
        registry.listen(self._heard)

    def note(self, record: Record, *, tell: bool = True) -> None:
        """Add a record to the audit trail.

        What others provoke is only told when too much of it waits for the disk.
        """
        date = self._clock.date(record.at)
        if date != record.at:
            record = replace(record, at=date)
        if not self._has_room(record.kind):
            if tell:
                self._tell(record)
            return
        self._records.append(record)
        if tell:
            self._untold.append(record)
        if record.kind in ASKED | SENT:
            self._write_within_a_second()
        else:
            self._urgent.set()

    async def granted(self, record: Record, settings: ClientSettings) -> bool:
        """Whether all servers together let this client have its secret now.

        True is on disk, with the record.  Raises MachineError when that cannot be decided.
        """
        decided: asyncio.Future[bool] = self._loop.create_future()
        record = replace(record, at=self._clock.date(record.at))
        self._wishes.append((Wish(record, settings), decided))
        self._urgent.set()
        return await decided

    async def in_thread(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        """Call the store where it is not called for something else."""
        return await self._loop.run_in_executor(self._thread, work, *arguments)

    def begin(self, unsaved: Iterable[str], gone: Iterable[str]) -> None:
        """Write the differences from the saved state: these clients, and others that are gone."""
        self._lives.update(unsaved)
        self._settings.update(unsaved)
        gone = set(gone)
        self._removed |= gone
        self._forgotten |= gone  # no administrator has removed them
        self._urgent.set()

    def save_dates(self) -> None:
        """Write the dates of all clients anew, because they have shifted."""
        self._lives.update(client.name for client in self._registry)
        self._urgent.set()

    async def durable(self, *, hurry: bool = True) -> None:
        """Return when all that has happened so far is on disk; raises MachineError if it fails.

        Without hurry this causes no more than one write a second.
        """
        written = self._loop.create_future()
        self._waiters.append(written)
        if hurry:
            self._urgent.set()
        else:
            self._write_within_a_second()
        try:
            await written
        except MachineError:
            if self.copy is not None:
                await self.copy.durable()
            raise

    async def trail(self, client: str | None, limit: int, before: int | None) -> list[Entry]:
        """The newest records of the audit trail, newest first; raises MachineError."""
        return await self.in_thread(self._store.records, client, limit, before)

    async def close(self) -> None:
        """Write the remaining changes, those of the copy last; harmless when repeated."""
        if self._task.done():
            return
        if self._clock.held:
            self.save_dates()  # the next run shall know how long the clock stood still
        try:
            await self.durable()
        except MachineError as error:
            log.critical("the last changes of the clients' state are not saved: %s", error)
            if self.shared is not None:  # what came meanwhile is noted on this machine
                with suppress(MachineError):
                    await self.in_thread(self._store.write, self._taken())
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._later is not None:
            self._later.cancel()
        self._thread.shutdown()
        if self.copy is not None:
            await self.copy.close()

    def _heard(self, event: events.Event) -> None:
        if self.shared is not None:
            self._note_words(event)
            if self.shared.following:
                return
        if isinstance(event, _PASSING):
            return
        self._note_change(event)
        client = self._registry.named(event.client)
        record = record_of(event, client.settings.key_id if client else "")
        if record is not None and self._keeps_trail:
            self.note(record)
        elif isinstance(event, events.Followed) and not event.switched:
            self._write_within_a_second()
        elif isinstance(event, events.SecretSent):
            self._write_extension(event.client)
        elif isinstance(event, events.ApprovalNeeded | events.Rehearsed):
            self._write_within_a_second()
        elif not isinstance(event, _ROUTINE):
            self._urgent.set()
        else:
            self._write_by(self._loop.time() + _LAZY)

    def _note_change(self, event: events.Event) -> None:
        """Note which parts of the client have to be written, or that it is removed."""
        name = event.client
        if isinstance(event, events.Left):
            self._settings.add(name)
            self._removed.discard(name)
            self._lives.add(name)
            self._extended.pop(name, None)
        elif isinstance(event, events.Removed | events.Forgotten):
            self._removed.add(name)
            self._lives.discard(name)
            self._settings.discard(name)
            self._extended.pop(name, None)
        else:
            self._lives.add(name)
        if isinstance(event, events.Forgotten):
            self._forgotten.add(name)
        elif isinstance(event, events.Removed):
            self._forgotten.discard(name)
        if isinstance(event, events.Added | events.SettingsChanged | events.Reconfigured):
            self._settings.add(name)
            self._removed.discard(name)

    def _note_words(self, event: events.Event) -> None:
        """Note what other servers have to know of approvals: the verdict, and whether one waits."""
        client = self._registry.named(event.client)
        if client is None:
            return
        if isinstance(event, events.VerdictGiven):
            end = event.at + client.settings.approval_duration
            self._verdicts[event.client] = Verdict(event.approved, self._clock.date(end))
        if isinstance(event, _ABOUT_REQUESTS):
            until = client.asked_here
            self._waiting[event.client] = None if until is None else self._clock.date(until)
            self._urgent.set()

    def _has_room(self, kind: Kind) -> bool:
        """Whether a record of this kind may wait for the disk."""
        if kind in ASKED:
            return len(self._records) < _PATIENCE // 2
        if kind not in SENT or len(self._records) < _PATIENCE // 4:
            return True
        return sum(record.kind in SENT for record in self._records) < _PATIENCE // 4

    def _write_extension(self, client: str) -> None:
        """Write a client's extended timeout at once, but no more than once a second.

        A client that boots while the server crashes then still has that time after the restart.
        """
        now = self._loop.time()
        if now - self._extended.get(client, -math.inf) < _PROVOKED_REST:
            self._write_within_a_second()
            return
        self._extended[client] = now
        self._urgent.set()

    def _write_within_a_second(self) -> None:
        """Write at once after a pause, so that a single request is seen soon."""
        self._write_by(self._written + _PROVOKED_REST)

    def _write_by(self, moment: float) -> None:
        """Schedule a write for that time, unless one is due earlier."""
        if self._urgent.is_set():
            return
        if moment <= self._loop.time():
            self._urgent.set()
        elif self._later is None or self._later.when() > moment:
            if self._later is not None:
                self._later.cancel()
            self._later = self._loop.call_at(moment, self._urgent.set)

    async def _run(self) -> None:
        while True:
            await self._urgent.wait()
            await self._rest()
            self._urgent.clear()
            if self._later is not None:
                self._later.cancel()
                self._later = None
            await self._write()

    async def _rest(self) -> None:
        await asyncio.sleep(self._rests_until - self._loop.time())

    async def _write(self) -> None:
        if self._store.trouble is not None:
            await self._reopen()
        self._written = self._loop.time()
        changes, untold, waiters = self._taken(), self._untold, self._waiters
        wishes, self._wishes = self._wishes, []
        changes.wishes = [wish for wish, _decided in wishes]
        self._untold, self._waiters = [], []
        if self._lives or self._settings or self._records:  # too many for one write
            self._waiters, waiters = waiters, []
            self._urgent.set()
        outcome, failure = await self._saved(changes)
        if failure is not None:
            self._failed(changes, failure)
        elif self.trouble:
            log.info("the state is saved again")
            self._in_trouble("")
        for record in untold:
            self._tell(record)
        self._settle_wishes(wishes, outcome, failure)
        if failure is not None:
            waiters, self._waiters = [*waiters, *self._waiters], []
        _settle(waiters, failure, None)
        if waiters:
            self._crowded = len(waiters) > 1
        if self._crowded:
            self._rests_until = self._loop.time() + _REST

    def _settle_wishes(
        self,
        wishes: Sequence[tuple[Wish, asyncio.Future[bool]]],
        outcome: Outcome,
        failure: MachineError | None,
    ) -> None:
        for place, (wish, decided) in enumerate(wishes):
            granted = failure is None and place not in outcome.refused
            if granted:
                self._tell(wish.record)
            _settle([decided], failure, granted)

    async def _saved(self, changes: Changes) -> tuple[Outcome, MachineError | None]:
        """Write the changes; returns the outcome, and the error if that failed."""
        try:
            outcome = await self.in_thread(self._store.write, changes)
            if self.shared is not None:
                self.shared.written(changes, outcome)
        except MachineError as error:
            return Outcome(), error
        except Exception as error:  # a defect must not end the saving of state
            log.exception("internal error")
            return Outcome(), MachineError(f"internal error: {error}")
        return outcome, None

    async def _reopen(self) -> None:
        """Once the state can be written again, write all of it: other changes may be lost."""
        if await self.in_thread(self._store.reopen):
            names = [*(client.name for client in self._registry), *self._registry.absence]
            self._lives.update(names)
            self._settings.update(names)
            self._removed.update(self._registry.removed)

    def _in_trouble(self, trouble: str) -> None:
        self.trouble = trouble
        self.on_trouble()

    def _failed(self, changes: Changes, error: MachineError) -> None:
        """Keep the changes for the next try; say why when that is new."""
        if self.trouble != str(error):
            for line in error.lines():
                log.error("%s", line)
            self._in_trouble(str(error))
        self._records = _patient(changes.records + self._records)
        if self.shared is not None:
            self.shared.alone(changes)
        self._lives |= changes.lives.keys() - self._removed
        self._settings |= changes.settings.keys() - self._removed
        self._removed |= changes.removed - self._lives
        self._forgotten |= changes.forgotten
        self._verdicts = changes.verdicts | self._verdicts
        self._waiting = changes.waiting | self._waiting
        self._loop.call_later(_RETRY, self._urgent.set)

    def _taken(self) -> Changes:
        """All changes that wait to be written, as they are now."""
        changes = Changes(removed=self._removed)
        names, self._records, changes.records = self._turn()
        for name in self._lives & names:
            if known := self._registry.named(name) or self._registry.absence.get(name):
                changes.lives[name] = known.life.dated(self._clock.date)
        for name in self._settings & names:
            if client := self._registry.named(name):
                changes.settings[name] = Kept(client.settings, client.configured, client.added)
            elif saved := self._registry.absence.get(name):
                since = saved.absent and self._clock.date(saved.absent)
                changes.settings[name] = Kept(saved.settings, saved.configured, absent=since)
        for name in self._removed & self._registry.removed.keys():
            changes.tombstones[name] = self._registry.removed[name]
        if self.shared is not None:
            changes.forgotten, self._forgotten = self._forgotten, set()
            changes.verdicts, self._verdicts = self._verdicts, {}
            changes.waiting, self._waiting = self._waiting, {}
            wished = {wish.record.client for wish, _decided in self._wishes}
            about = wished.union(changes.lives, changes.settings, changes.verdicts)
            changes.bases = self.shared.bases(about)
            changes.alone = self.shared.left_alone()
        self._lives, self._settings, self._removed = (
            self._lives - names,
            self._settings - names,
            set(),
        )
        return changes

    def _turn(self) -> tuple[set[str], list[Record], list[Record]]:
        """The clients of the next write, the records that stay, and those of this write.

        A state that several servers share is written in parts, so that no transaction takes long.
        """
        names = self._lives | self._settings
        if self.shared is None or len(names) + len(self._records) <= _MOST_SHARED:
            return names, [], self._records
        records = self._records[:_MOST_SHARED]
        return set(islice(names, _MOST_SHARED)), self._records[_MOST_SHARED:], records


def _nothing() -> None:
    """Default for ``on_trouble``."""


def _patient(records: list[Record]) -> list[Record]:
    """The records that may wait for a disk to recover; strangers have half, secrets a quarter."""
    records = _without_surplus(records, ASKED, _PATIENCE // 2)
    return _without_surplus(records, SENT, _PATIENCE // 4)[-_PATIENCE:]


def _without_surplus(records: list[Record], kinds: Set[Kind], room: int) -> list[Record]:
    """The records without the oldest of these kinds for which there is no room."""
    surplus = sum(record.kind in kinds for record in records) - room
    kept = []
    for record in records:
        if record.kind in kinds and surplus > 0:
            surplus -= 1
        else:
            kept.append(record)
    return kept


def _settle(
    waiters: Iterable[asyncio.Future[_Result]],
    error: MachineError | None,
    result: _Result,
) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(result)
        else:
            waiter.set_exception(error)
