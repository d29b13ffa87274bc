# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the plan of a history on real servers, and writes down everything that happens."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

from dbus_fast import MessageType
from dbus_fast.unpack import unpack_variants

from harness.bus import PROPERTIES, BusPeer
from harness.history import (
    ACKNOWLEDGED,
    APPROVE,
    DENY,
    DISABLE,
    ENABLE,
    FAILED,
    LOST,
    NOTHING,
    VOID,
    Act,
    Answer,
    Ask,
    History,
    Record,
    Sight,
    broken_rules,
    has_right,
)  # fmt: skip
from harness.history_plan import (
    APPROVED_ONLY,
    ASK,
    CLIENTS,
    DIE,
    JUMP,
    KILL,
    LIVE,
    LOSE_PRIMARY,
    PARTITION,
    PAUSE,
    PAUSE_PRIMARY,
    SLOW,
    SLOW_DISK,
    Step,
    plan,
)  # fmt: skip
from harness.patience import Patience
from harness.shared_fleet import APPROVAL_DURATION, SharedServer, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.postgresql import Cluster

CLIENT, CLIENT1 = "se.recompile.Mandos.Client", "org.mandos_python.Client1"
SERVER1 = "org.mandos_python.Server1"
_METHODS: dict[str, tuple[Any, ...]] = {
    ENABLE: ("Enable",), DISABLE: ("Disable",),
    APPROVE: ("Approve", "b", True), DENY: ("Approve", "b", False),
}  # fmt: skip
#: The server's name has no owner, or the server has just begun and does not know its clients yet.
_VOID = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.UnknownObject",
)
_FAILED = "org.freedesktop.DBus.Error.Failed"
#: Seconds between two looks into the database, and until servers that were healed agree.
_LOOKS, _AGREEMENT = 0.2, 5.0
#: Seconds in which checks of clients that were late may come to a wrong end.
_QUIET = 2.0
_RECORDS = "SELECT kind, client, server, detail, times FROM mandos.audit"
_LIVES = "SELECT name, enabled FROM mandos.life"
#: Lines of a server's log that none may have.
_DEFECTS = ("internal error", "Traceback")


async def play(
    seed: int,
    servers: tuple[str, ...],
    record: Callable[[str, object], None],
    *,
    shared: bool,
    alone: int = 0,
) -> list[str]:
    """Play the history of a seed; return its broken rules, with all that explains them.

    ``record`` takes figures of the history by their names.  ``alone`` is how many seconds servers
    go on without the database that they share.
    """
    steps = plan(seed, servers, shared=shared)
    with ExitStack() as stack:
        world = World(stack, servers, shared=shared, alone=alone)
        player = Player(world, shared=shared)
        await player.play(steps)
        for name, number in player.figures.items():
            record(name, number)
        broken = [*broken_rules(player.history), *player.defects]
        return [*broken, *player.report(steps)] if broken else []


class Player:
    """Plays steps on a world."""

    def __init__(self, world: World, *, shared: bool) -> None:
        self._world = world
        self._shared = shared
        self.history = History(
            APPROVAL_DURATION, frozenset((APPROVED_ONLY,)), world.alone, forgets=not shared
        )
        self._peers: dict[str, BusPeer] = {}
        self._asking: dict[str, asyncio.Future[tuple[str, float, float]]] = {}
        self._numbers = map(str, itertools.count(1))
        self._echoes: set[asyncio.Task[None]] = set()
        self._notes: list[tuple[float, str]] = []
        self._over = threading.Event()

    async def play(self, steps: Sequence[Step]) -> None:
        """Start the servers, do all steps at their times, heal everything and look at the end."""
        async with AsyncExitStack() as stack:
            for name, server in self._world.servers.items():
                server.launch()
                peer = BusPeer.connect(server.host)
                self._peers[name] = await stack.enter_async_context(peer)
            for server in self._world.servers.values():
                await asyncio.to_thread(server.serve)
            reader = asyncio.create_task(self._read())
            looker = asyncio.create_task(asyncio.to_thread(self._look)) if self._shared else None
            begin = time.monotonic()
            await asyncio.gather(*(self._do(step, begin) for step in steps))
            self._note("healing")
            await self._heal()
            await asyncio.sleep(_QUIET)
            if self._echoes:
                await asyncio.gather(*self._echoes)
            await self._agree()
            await self._end()
            self._over.set()
            if looker is not None:
                await looker
            reader.cancel()
            await asyncio.wait([reader])

    def _note(self, text: str) -> None:
        self._notes.append((time.monotonic(), text))

    async def _do(self, step: Step, begin: float) -> None:
        await asyncio.sleep(begin + step.at - time.monotonic())
        world = self._world
        if step.kind == ASK:
            await self._ask(step.client, step.server)
        elif step.kind in _METHODS:
            await self._act(step.kind, step.client, step.server)
        elif step.kind == DIE:
            self.history.died.setdefault(step.client, time.monotonic())
            world.die(step.client)
        elif step.kind == LIVE:
            world.live(step.client)
        elif step.kind == SLOW:
            world.slow(step.client)
        else:
            self._note(f"{step.kind} {step.server} for {step.seconds:.1f} s")
            if step.server:
                await self._trouble_server(step, world.servers[step.server])
            else:
                await self._trouble_database(step)
            self._note(f"{step.kind} {step.server} is over")

    async def _trouble_server(self, step: Step, server: SharedServer) -> None:
        if step.kind == KILL:
            self.history.kills.append(time.monotonic())
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(step.seconds)
            server.launch()
        elif step.kind == PAUSE:
            server.pause()
            await asyncio.sleep(step.seconds)
            server.resume()
        elif step.kind == PARTITION:
            await asyncio.to_thread(self._world.partition, server)
            await asyncio.sleep(step.seconds)
            await asyncio.to_thread(self._world.join, server)

    async def _trouble_database(self, step: Step) -> None:
        world = self._world
        if step.kind == JUMP:
            world.jump(step.seconds)
        elif step.kind == LOSE_PRIMARY:
            await asyncio.to_thread(world.lose_primary, step.seconds)
        elif step.kind == SLOW_DISK:
            assert world.primary is not None
            primary = world.primary
            await asyncio.to_thread(
                lambda: primary.configure(commit_delay="100000", commit_siblings="0")
            )
            await asyncio.sleep(step.seconds)
            await asyncio.to_thread(lambda: primary.configure(commit_delay="0"))
        else:
            cluster = world.primary if step.kind == PAUSE_PRIMARY else world.standby
            assert cluster is not None
            await self._pause(cluster, step.seconds)

    async def _pause(self, cluster: Cluster, seconds: float) -> None:
        await asyncio.to_thread(cluster.pause)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(cluster.resume)

    # Calls

    async def _ask(self, client: str, server: str) -> Ask:
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._asking[number] = answer
        address = self._world.servers[server].address
        self._world.asker.send(f"{number} {client} {address}\n".encode())
        outcome, begin, end = await answer
        ask = Ask(client, server, begin, end, outcome)
        self.history.asks.append(ask)
        return ask

    async def _read(self) -> None:
        """Read the answers that clients get."""
        seen = 0
        asker = self._world.asker
        while True:
            lines = asker.lines[seen:]
            seen += len(lines)
            for line in lines:
                number, *words = line.split()
                if number.isdigit():
                    outcome, begin, end = words
                    self._asking.pop(number).set_result((outcome, float(begin), float(end)))
            await asyncio.sleep(0.01)

    async def _act(self, kind: str, client: str, server: str) -> None:
        member, *arguments = _METHODS[kind]
        begin = time.monotonic()
        try:
            answer = await self._peers[server].send(
                f"/clients/{client.replace('-', '_')}", CLIENT, member, *arguments
            )
        except TimeoutError:
            outcome = LOST
        else:
            outcome = _outcome(answer.message_type, answer.error_name)
            if outcome in (FAILED, LOST):
                self._note(f"{kind} {client} at {server}: {answer.error_name} {answer.body}")
        self.history.acts.append(Act(kind, client, server, begin, time.monotonic(), outcome))
        if kind in (DISABLE, DENY) and outcome == ACKNOWLEDGED:
            for other in self._world.servers:
                echo = asyncio.create_task(self._echo(client, other))
                self._echoes.add(echo)
                echo.add_done_callback(self._echoes.discard)

    async def _echo(self, client: str, server: str) -> None:
        """Ask at once, and again a little later."""
        await self._ask(client, server)
        await asyncio.sleep(0.3)
        await self._ask(client, server)

    # Looks

    def _look(self) -> None:
        """In a thread: look into the database all the time, as another program would."""
        from psycopg import Error  # noqa: PLC0415 - tests without libpq skip

        connection = None
        while not self._over.wait(_LOOKS):
            cluster = self._world.primary
            assert cluster is not None
            try:
                if connection is None:
                    connection = cluster.connect(database="mandos")
                begin = time.monotonic()
                rows = connection.execute(_LIVES).fetchall()
            except Error:
                connection = None
                continue
            end = time.monotonic()
            self.history.sights += [
                Sight(name, begin, end) for name, enabled in rows if not enabled
            ]
        if connection is not None:
            connection.close()

    # The end

    async def _heal(self) -> None:
        for server in self._world.servers.values():
            server.resume()
            server.launch()
        for server in self._world.servers.values():
            await asyncio.to_thread(server.serve)

    async def _agree(self) -> None:
        """Wait until all servers say the same, and the database too; at most for patience."""
        patience = Patience(_AGREEMENT)
        while True:
            self.history.answers = await self._answers()
            self.history.enabled = await self._enabled()
            if self._agreed() or patience.is_over():
                return
            await asyncio.sleep(0.1)

    def _agreed(self) -> bool:
        found = self.history.answers
        return all(
            len(set(answers.values())) == 1
            and {answer.enabled for answer in answers.values()} == {self.history.enabled[client]}
            for client, answers in found.items()
        )

    async def _answers(self) -> dict[str, dict[str, Answer]]:
        answers: dict[str, dict[str, Answer]] = {client: {} for client in CLIENTS}
        for server, peer in self._peers.items():
            for client in CLIENTS:
                path = f"/clients/{client.replace('-', '_')}"
                one = await peer.call(path, PROPERTIES, "Get", "ss", CLIENT, "Enabled")
                last = await peer.call(path, PROPERTIES, "Get", "ss", CLIENT1, "LastSecretSent")
                answers[client][server] = Answer(one, last)
        return answers

    async def _enabled(self) -> dict[str, bool]:
        if self._shared:
            return dict(await asyncio.to_thread(self._sql, _LIVES))
        return {
            client: next(iter(answers.values())).enabled
            for client, answers in self.history.answers.items()
        }

    def _sql(self, text: str) -> list[tuple[Any, ...]]:
        assert self._world.primary is not None
        return self._world.primary.sql(text, database="mandos")

    async def _end(self) -> None:
        """Every client asks every server; then the audit trail is read."""
        waiting = [(client, server) for client in CLIENTS for server in self._world.servers]
        patience = Patience(_AGREEMENT)
        while waiting and not patience.is_over():
            asks = await asyncio.gather(*(self._ask(*one) for one in waiting))
            self.history.last_asks += asks
            waiting = [
                (ask.client, ask.server)
                for ask in asks
                if ask.outcome == NOTHING and has_right(self.history, ask)
            ]
            await asyncio.sleep(0.2 if waiting else 0)
        if self._shared:
            rows = await asyncio.to_thread(self._sql, _RECORDS)
            self.history.records = [Record(*row) for row in rows]
            return
        ((server, peer),) = self._peers.items()
        for client in CLIENTS:
            found = await peer.call("/", SERVER1, "GetRecords", "sut", client, 1000, 0)
            for fields in unpack_variants(found):
                detail, times = fields.get("detail", ""), fields.get("times", 1)
                self.history.records.append(Record(fields["kind"], client, server, detail, times))

    @property
    def figures(self) -> dict[str, int]:
        """Numbers of calls by their outcome: a history in which nothing succeeds shows nothing."""
        found = Counter(ask.outcome for ask in self.history.asks)
        found.update(act.outcome for act in self.history.acts)
        return dict(sorted(found.items()))

    @property
    def defects(self) -> list[str]:
        """Lines of the servers' logs that none may have."""
        return [
            f"server {server.name}: {line}"
            for server in self._world.servers.values()
            for line in (*server.log, *(server.process.lines if server.process else ()))
            if any(word in line for word in _DEFECTS)
        ]

    def report(self, steps: Sequence[Step]) -> list[str]:
        """All that happened, in its order, and the logs."""
        history = self.history
        events = [
            *((ask.begin, str(ask)) for ask in history.asks),
            *((act.begin, str(act)) for act in history.acts),
            *((at, f"died: {client}") for client, at in history.died.items()),
            *self._notes,
        ]
        lines = [f"{at:.3f} {text}" for at, text in sorted(events)]
        logs = [server.report("log") for server in self._world.servers.values()]
        databases = [cluster.report("log") for cluster in self._world.clusters]
        records = [str(record) for record in history.records]
        return [*map(str, steps), *lines, *records, *logs, *databases]


def _outcome(kind: MessageType, error: str | None) -> str:
    if kind is MessageType.METHOD_RETURN:
        return ACKNOWLEDGED
    if error in _VOID:
        return VOID
    return FAILED if error == _FAILED else LOST
