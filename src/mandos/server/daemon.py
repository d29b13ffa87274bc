# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: builds and connects the server's parts, and runs them until a signal.

``start.py`` makes the parts that need root before; the parts do not build each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

from mandos.discovery.announce import load as load_announcer
from mandos.errors import MachineError
from mandos.server.audit.records import Kind
from mandos.server.audit.repeats import Repeats
from mandos.server.audit.text import describe_record
from mandos.server.checking.supervision import Supervision
from mandos.server.config.server_conf import LinkLoss
from mandos.server.control import Control
from mandos.server.life import events
from mandos.server.life.clock import CommonClock
from mandos.server.life.sections import differing, doubled
from mandos.server.life.timer import Timer
from mandos.server.reload import Reloader
from mandos.server.requests.attack import AttackWatch, Useless
from mandos.server.requests.connection import TLS
from mandos.server.requests.interface_changes import Network, announce, keep_listening
from mandos.server.requests.judge import RegistryJudge
from mandos.server.requests.listener import Listener
from mandos.server.requests.sockets import Peer
from mandos.server.sharing.alone import Limits
from mandos.server.sharing.replica import Replica
from mandos.server.sharing.session import Sharing
from mandos.server.state.writer import Keeper
from mandos.server.system.machine_clock import elapsed
from mandos.tls import limits
from mandos.tls.credentials import Credentials, Priority

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from typing import Any

    from mandos.server.audit.records import Record
    from mandos.server.audit.repeats import Line
    from mandos.server.bus.signals import Signals
    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry
    from mandos.server.sharing.beginning import Beginning
    from mandos.server.state.boot_id import LastBoot
    from mandos.server.state.opening import Shared
    from mandos.server.state.restore import Restored
    from mandos.server.state.store import StateStore
    from mandos.server.system.service_manager import ServiceManager

log = logging.getLogger(__name__)

#: Seconds that changes of the status line are collected.
_STATUS_TIME = 1.0
#: Seconds between two log lines that sum up the requests of strangers.
_MINUTE = 60.0
#: More new clients than this are not logged one by one, which would flood the log.
_MANY = 100


class SharedParts(NamedTuple):
    """The parts of a server that shares its state with others; ``copy`` is its local copy."""

    shared: Shared
    copy: StateStore
    beginning: Beginning


class Parts(NamedTuple):
    """The parts that were made before the event loop, some of them with root's rights.

    ``begin`` has the clients to begin with.  ``boot`` knows in which boot of the machine the server
    last served.  ``mistakes`` is the number of mistakes in the clients' files.  ``members`` are
    for a state that several servers share.
    """

    registry: Registry
    clock: Clock
    store: StateStore
    begin: Restored
    listening: socket.socket
    manager: ServiceManager
    boot: LastBoot
    mistakes: int = 0
    members: SharedParts | None = None


def load(settings: ServerSettings) -> None:
    """Import the optional modules, before giving up root makes them unreadable."""
    if settings.zeroconf:
        load_announcer()
    if settings.use_dbus:
        import mandos.server.bus.wiring  # noqa: F401, PLC0415 - optional


async def run(settings: ServerSettings, parts: Parts, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    ``ready`` is called once the server serves.
    """
    async with AsyncExitStack() as ending:
        await Daemon(settings, parts, ending).serve(ready)


class Daemon:
    """The running server: ``ending`` ends its parts in reverse order."""

    def __init__(self, settings: ServerSettings, parts: Parts, ending: AsyncExitStack) -> None:
        registry, clock = parts.registry, parts.clock
        self._settings = settings
        self._parts = parts
        self._ending = ending
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[signal.Signals] = self._loop.create_future()
        self._repeats = Repeats()
        self._attack = AttackWatch(self._loop.time())
        ending.callback(self._sum_up)
        self._keeper = Keeper(parts.store, registry, clock, self._tell)
        ending.push_async_callback(self._keeper.close)
        self._keeper.on_trouble = self._tell_soon
        self._mistakes = parts.mistakes
        self._reloader = Reloader(settings.configdir, registry, clock, self._keeper)
        self._reloader.on_end = self._reloaded
        self._last_reload_failed = False
        self._control = Control(self._reloader)
        ending.push_async_callback(self._control.stop)
        self._signals: Signals | None = None
        self._supervision = Supervision(registry, clock, settings.checkers)
        ending.push_async_callback(self._supervision.close)
        self._network = Network()
        self._sharing = self._joined(parts.members) if parts.members is not None else None
        judge = RegistryJudge(registry, clock, self._keeper, self._sharing)
        ending.callback(judge.close)
        tls = TLS(Priority(limits.bounded(settings.priority)), Credentials())
        self._listener = Listener(parts.listening, tls, judge)
        self._listener.on_useless = self._note_useless
        ending.push_async_callback(self._listener.stop)
        ending.callback(self._network.stop)
        ending.push_async_callback(self._end_tasks)

    def _joined(self, members: SharedParts) -> Sharing:
        """Take part in a state that several servers share."""
        registry, clock, settings = self._parts.registry, self._parts.clock, self._settings
        shared, beginning, own = members.shared, members.beginning, settings.server_name
        assert isinstance(clock, CommonClock)  # noqa: S101 - for the type checker
        replica = Replica(registry, clock, beginning.state.known, own, beginning.alone)
        self._keeper.shared = replica
        self._keeper.copy = Keeper(members.copy, registry, clock, _ignored, trail=False)
        limits = Limits(settings.without_database, settings.without_database_at_boot)
        sharing = Sharing(
            own=own,
            pulse=shared.pulse,
            store=shared.store,
            notes=shared.notes,
            keeper=self._keeper,
            replica=replica,
            registry=registry,
            clock=clock,
            linked=lambda: self._network.connected(settings.interface),
            elapsed=elapsed,
            limits=limits,
            hold=settings.link_loss is LinkLoss.HOLD,
        )
        sharing.on_trouble = self._tell_soon
        sharing.records.on_record = self._tell_of_others
        self._ending.push_async_callback(sharing.stop)
        return sharing

    def _begin_copy(self, copy: Keeper, beginning: Beginning) -> None:
        """Make the local copy agree with the clients."""
        saved = beginning.copied.saved
        clients = {client.name: client for client in self._parts.registry}
        changed = {
            name
            for name, one in clients.items()
            if name not in saved
            or (saved[name].settings, saved[name].configured, saved[name].life, saved[name].added)
            != (one.settings, one.configured, one.life, one.added)
        }
        known = {*clients, *self._parts.begin.absent, *self._parts.begin.removed}
        copy.begin(changed | set(self._parts.begin.absent), saved.keys() - known)

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until a signal ends it."""
        manager, registry = self._parts.manager, self._parts.registry
        self._heed_signals()
        await self._persist_restored_state()
        self._report_sections()
        self._ending.callback(Timer(registry, self._parts.clock, asyncio.get_running_loop()).stop)
        self._network.listen(self._heed_link)
        self._network.start()
        self._heed_link()
        if self._sharing is not None:
            self._sharing.start()
        self._listener.start()
        if manager.runtime_directory is not None:
            await self._control.start(manager.runtime_directory)
        if self._settings.use_dbus:
            self._join_bus()
        self._in_background(announce(self._settings, self._listener.port, self._network))
        self._in_background(keep_listening(self._settings, self._listener, self._network))
        self._in_background(self._each_minute())
        if manager.watchdog_interval is not None:
            self._in_background(_watch(manager, manager.watchdog_interval))
        registry.listen(self._count)
        log.info("serving %d clients on port %d", len(registry), self._listener.port)
        manager.ready(self._status())
        ready()
        log.info("ending because of %s", (await self._ended).name)
        manager.stopping()

    async def _persist_restored_state(self) -> None:
        """Save the restored state, so that no client is served before the disk has its state."""
        past = self._parts.begin.records
        new = sum(record.kind is Kind.ADDED for record in past)
        if new > _MANY:
            log.info("%d clients are new", new)
        for record in past:
            self._keeper.note(record, tell=record.kind is not Kind.ADDED or new <= _MANY)
        begin, members = self._parts.begin, self._parts.members
        self._keeper.begin(
            begin.unsaved | (members.beginning.alone if members else set()), begin.gone
        )
        if members is not None and self._keeper.copy is not None:
            for record in members.beginning.unsent:
                self._keeper.note(record, tell=False)
            self._begin_copy(self._keeper.copy, members.beginning)
            with contextlib.suppress(MachineError):
                await self._keeper.copy.durable()
        with contextlib.suppress(MachineError):  # the keeper logs it and goes on trying
            await self._keeper.durable()
        self._parts.boot.note()
        self._parts.clock.on_shift = self._shifted

    def _join_bus(self) -> None:
        from mandos.server.bus.wiring import join  # noqa: PLC0415 - see load

        seat = join(
            self._settings,
            self._listener.port,
            registry=self._parts.registry,
            clock=self._parts.clock,
            keeper=self._keeper,
            reloader=self._reloader,
            others=self._sharing,
        )
        self._signals = seat.signals
        self._ending.push_async_callback(seat.service.stop)

    def _tell(self, record: Record) -> None:
        """Log a record, unless it repeats another one, and send it as a D-Bus signal."""
        if record.kind is Kind.UNKNOWN_KEY:
            self._note_useless(Useless.UNKNOWN_KEY, Peer(record.address, 0, record.interface))
        _log_lines(self._repeats.lines(record))
        if self._signals is not None:
            self._signals.record(record)

    def _tell_of_others(self, record: Record) -> None:
        """Report a record of another server; the log has one line for acts and disablings."""
        if record.by or record.kind in {Kind.ENABLED, Kind.DISABLED}:
            log.info("%s", describe_record(record)[1])
        if self._signals is not None:
            self._signals.record(record)

    def _note_useless(self, kind: Useless, peer: Peer) -> None:
        """Count a useless connection; warn when there are so many that it is an attack."""
        if warning := self._attack.note(kind, peer, self._loop.time()):
            log.warning("%s", warning)
            self._tell_soon()

    async def _each_minute(self) -> None:
        """Sum up the requests of strangers each minute, as long as the server serves."""
        while True:
            await asyncio.sleep(_MINUTE)
            self._sum_up()
            if end := self._attack.minute_over(self._loop.time()):
                log.info("%s", end)
                self._tell_soon()
            elif self._attack.attack:
                self._tell_soon()

    def _sum_up(self) -> None:
        _log_lines(self._repeats.minute_over())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _heed_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, number)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _end(self, number: signal.Signals) -> None:
        if not self._ended.done():
            self._ended.set_result(number)

    def _reload(self) -> None:
        self._in_background(self._read_again())

    async def _read_again(self) -> None:
        self._parts.manager.reloading()
        await self._reloader.try_to_reload()
        self._parts.manager.ready(self._status())

    def _report_sections(self) -> None:
        """Log how the files of this server differ from the settings that all servers share."""
        if self._sharing is None:
            return
        clients = list(self._parts.registry)
        pairs = ((one.configured, one.settings) for one in clients if not one.added)
        lines = [*differing(pairs), *doubled(one.settings for one in clients)]
        for line in lines[:_MANY]:
            log.warning("%s", line)
        if len(lines) > _MANY:
            log.warning("%d more such lines are left out; see: mandos --check", len(lines) - _MANY)

    def _reloaded(self, *, well: bool) -> None:
        """Note the result of a reload: a failure stays in the status until a reload succeeds."""
        self._last_reload_failed = not well
        if well:
            self._report_sections()
            self._mistakes = 0
        self._tell_soon()

    def _heed_link(self) -> None:
        """With link_loss = hold, stop the clock while there is no link."""
        clock = self._parts.clock
        if self._settings.link_loss is not LinkLoss.HOLD:
            return
        if clock.held and self._network.connected(self._settings.interface):
            log.info("the network is back: the clients' timeouts run on")
            clock.release()
        elif not clock.held and not self._network.connected(self._settings.interface):
            log.warning(
                "no network: the clients' timeouts stand still until it is back (link_loss = hold)"
            )
            clock.hold()

    def _shifted(self, seconds: float) -> None:
        """Save the dates again, which are wrong after a suspend or a change of the date."""
        log.warning(
            "the machine was suspended, or its date was set, by %.1f s: client timeouts adjusted",
            seconds,
        )
        self._keeper.save_dates()

    def _count(self, event: events.Event) -> None:
        counts = isinstance(event, events.Enabled | events.Disabled | events.Added | events.Removed)
        if counts:
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._telling is None and not self._ended.done():
            self._telling = self._loop.call_later(_STATUS_TIME, self._tell_status)

    def _tell_status(self) -> None:
        self._telling = None
        if not self._ended.done():
            self._parts.manager.status(self._status())

    def _status(self) -> str:
        enabled = sum(client.life.enabled for client in self._parts.registry)
        disabled = len(self._parts.registry) - enabled
        text = f"port {self._listener.port}: {enabled} clients enabled, {disabled} disabled"
        return "; ".join([text, *self._troubles()])

    def _troubles(self) -> Iterator[str]:
        if self._mistakes:
            yield "clients are skipped: the configuration has mistakes, see the log"
        if self._last_reload_failed:
            yield "the last reload failed, see the log"
        if self._keeper.trouble:
            yield self._keeper.trouble
        if self._sharing is not None and self._sharing.trouble:
            yield self._sharing.trouble
        if self._attack.attack:
            yield self._attack.attack


async def _watch(manager: ServiceManager, interval: float) -> None:
    """Send the service manager a sign of life, as long as the event loop runs."""
    while True:
        manager.watchdog()
        await asyncio.sleep(interval)


def _ignored(_record: Record) -> None:
    """The local copy of a shared state tells nobody."""


def _log_lines(lines: Iterable[Line]) -> None:
    for line in lines:
        log.log(line.level, "%s", line.text, extra={"record": line.record})


def _report(task: asyncio.Task[None]) -> None:
    """Log a defect in a background task, which must not end the server."""
    if not task.cancelled() and task.exception():
        log.error("internal error", exc_info=task.exception())
