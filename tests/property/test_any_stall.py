# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories with an adversary who may stall, starve or crash the server at any moment.

A healthy client is never disabled by that, and a stolen one gets no secret by it.  Client,
registry, clock, supervision and restoration are the real ones.  The event loop, the processes and
the disk around them are played, in the loop's order: what has ended is heard before the timer acts.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mandos.client_settings import ClientSettings
from mandos.server.audit.records import Kind, Record, record_of
from mandos.server.checking.processes import Run, Supervisor
from mandos.server.checking.supervision import Supervision
from mandos.server.life import events
from mandos.server.life.client import Client, Give
from mandos.server.life.clock import BLIND, Clock
from mandos.server.life.life import Life
from mandos.server.life.registry import Registry
from mandos.server.life.saved import Saved
from mandos.server.state.restore import restore
from mandos.server.state.store import State

if TYPE_CHECKING:
    from collections.abc import Coroutine

EPOCH = datetime(2026, 11, 24, tzinfo=UTC)
TURN = 0.5
#: Seconds between two tries to start a process, on a machine that can start none.
RETRY = 1.0
#: Seconds that a check takes: of a client that answers, and of one that does not.
ANSWER, SILENCE, HANG = 1.0, 3.0, 10_000.0
TIMEOUT, EXTENDED, INTERVAL = 60.0, 90.0, 25.0
#: Seconds for which an overdue client's check may wait for its turn, and then run.
PATIENCE, GRACE = 60.0, 25.0
ALPHA = ClientSettings(
    name="alpha", key_id="ab" * 32, secret=b"sealed",
    timeout=timedelta(seconds=TIMEOUT), extended_timeout=timedelta(seconds=EXTENDED),
    interval=timedelta(seconds=INTERVAL),
)  # fmt: skip
#: What the adversary does, and for how many seconds; then what happens on any machine.
ADVERSARY = ["stall", "starve", "crash", "blink", "slow disk"]
HINDERING = [*ADVERSARY, "busy"]
ACCIDENTS = ["run", "run", "boot", "suspend", "unplug", "plug", "date", "reboot"]
LENGTHS = st.one_of(st.floats(0.1, 5), st.floats(0.1, 300))
ACTS = st.lists(st.tuples(st.sampled_from(ADVERSARY + ACCIDENTS), LENGTHS), max_size=12)
CHANCES = st.floats(0, 1, exclude_max=True)


class Processes:
    """The machine's processes: checkers begin if there is room, and end when it is their time."""

    def __init__(self, site: Site, supervisor: Supervisor) -> None:
        self._site = site
        self._supervisor = supervisor
        self._wanted: Run | None = None
        self._running: tuple[Run, float, bool] | None = None
        self._retry = 0.0

    def want(self, run: Run, urgency: float = 0.0) -> None:
        """Start this run as soon as possible."""
        assert self._running is None, "two checkers of one client at once"
        assert urgency > 0
        self._wanted = run

    def stop(self, run: Run) -> None:
        """End a run."""
        if self._wanted == run:
            self._wanted = None
        if self._running and self._running[0] == run:
            self._running = None

    async def close(self) -> None:
        """End them all."""
        self._wanted = self._running = None

    def hear(self) -> None:
        """Hear of the one that has ended."""
        site = self._site
        if self._running is None or self._running[1] > site.time:
            return
        (run, end, alive), self._running = self._running, None
        if alive:
            site.alive_at = max(site.alive_at, min(site.counted, site.counted - site.time + end))
        self._supervisor.completed(run, "true", 0 if alive else 1 << 8, "")

    def start(self) -> None:
        """Begin the one that is wanted."""
        site = self._site
        if self._wanted is None or site.busy:
            return
        if site.full:
            if self._retry <= site.time:
                self._retry = site.time + RETRY
                self._supervisor.refused()
            return
        run, self._wanted = self._wanted, None
        alive = site.time < site.stolen and site.link
        self._running = run, site.time + (ANSWER if alive else site.silence), alive
        self._supervisor.began(run, "true")

    def lose_link(self) -> None:
        """A check that runs will not have its answer."""
        if self._running is not None and self._running[1] > self._site.time:
            self._running = self._running[0], self._site.time + self._site.silence, False


class Site:
    """A server with one client, which is stolen at ``stolen``; then its thief asks all the time.

    ``counted`` are the seconds that count: in which the machine is awake and the clock is not held.
    ``hindered`` are those of them in which the adversary hinders the server.
    """

    def __init__(
        self, chance: float = 0.0, stolen: float = float("inf"), silence: float = SILENCE
    ) -> None:
        self.chance, self.stolen, self.silence = chance, stolen, silence
        self.time = self.counted = self.hindered = self.held = 0.0
        self.ahead = 0.0
        self.link, self.full, self.busy, self.slow = True, False, False, False
        self.served: list[float] = []
        #: The latest moment that a secret may leave, but for BLIND.
        self.alive_at = self.excused_until = 0.0
        self.disabled_at: list[float] = []
        self.records: list[Record] = []
        self.owing = False
        #: ``hindered`` when the client was alive, each time; and as the disk has it.
        self.hindered_at = [0.0]
        self.hindered_saved = 0.0
        self.clock = Clock(lambda: self.time, self.date)
        self.serve(Client(ALPHA, self.clock.now(), chance=lambda: chance))

    def date(self) -> datetime:
        """The machine's date."""
        return EPOCH + timedelta(seconds=self.time + self.ahead)

    def serve(self, client: Client) -> None:
        """Begin to serve, as the daemon does."""
        self.client = client
        self.registry = Registry([client])
        self.registry.listen(self.hear)
        self.supervision = Supervision(self.registry, self.clock, 1, self.processes_of)
        self.life = client.life
        self.registry.advance(self.clock.beat())
        self.heed_link()
        self.processes.start()

    def processes_of(self, supervisor: Supervisor, _limit: int) -> Processes:
        """The processes under this supervisor."""
        self.processes = Processes(self, supervisor)
        return self.processes

    def hear(self, event: events.Event) -> None:
        """Keep what is said of the client's time."""
        if record := record_of(event):
            self.note(record)
        if isinstance(event, events.Disabled):
            self.disabled_at.append(self.counted)
        elif isinstance(event, events.Forgiven):
            seconds = event.time.total_seconds()
            assert seconds <= self.hindered - self.hindered_at[-2] + 0.001
            assert f" {seconds:.1f} s " in self.records[-1].detail
        elif isinstance(event, events.CheckedOK):
            ago = event.at - (self.client.life.last_checked_ok or event.at)
            self.hindered_at.append(self.hindered - ago.total_seconds())

    def note(self, record: Record) -> None:
        """Whether a record is still owed that says what became of an overdue client."""
        self.records.append(record)
        if record.kind is Kind.OVERDUE:
            self.owing = True
        elif record.kind in (Kind.FORGIVEN, Kind.DISABLED):
            self.owing = False

    def heed_link(self) -> None:
        """With link_loss = hold the clock stands still without a link."""
        if self.clock.held and self.link:
            self.clock.release()
        elif not self.clock.held and not self.link:
            self.clock.hold()

    def pass_time(self, seconds: float, *, hindered: bool = False) -> None:
        """Let time pass on a machine that is awake."""
        self.time += seconds
        if self.clock.held:
            self.held += seconds
        else:
            self.counted += seconds
            self.hindered += seconds if hindered else 0.0

    def turn(self) -> None:
        """One turn of the event loop."""
        self.heed_link()
        self.processes.hear()
        self.ask()
        self.registry.advance(self.clock.beat())
        self.processes.start()
        if not self.slow:
            self.life = self.client.life.dated(self.clock.date)
            self.hindered_saved = self.hindered_at[-1]

    def ask(self, *, sent: bool = False) -> None:
        """The thief asks whenever the server can be asked, a healthy client when it boots."""
        if self.time < self.stolen and not sent:
            return
        if not isinstance(self.client.ask(self.clock.now()), Give):
            return
        assert not self.owing, "a client got its secret that nobody has found alive"
        self.served.append(self.counted)
        assert self.counted <= max(self.alive_at + TIMEOUT, self.excused_until) + BLIND
        if sent:
            self.excused_until = max(self.excused_until, self.counted + EXTENDED)
            self.client.secret_sent(self.clock.now())

    async def act(self, act: str, seconds: float) -> None:
        """Let this happen for so long."""
        match act:
            case "stall":
                self.pass_time(seconds, hindered=True)
                self.turn()
            case "crash" | "reboot":
                await self.restart(seconds, rebooted=act == "reboot")
            case "suspend":
                self.ahead += seconds
                self.turn()
            case "date":
                self.ahead += seconds * 1000 if seconds > BLIND else -seconds * 1000
                self.turn()
            case "boot":
                self.ask(sent=True)
                self.turn()
            case _:
                self.go_on(act, seconds)

    def go_on(self, act: str, seconds: float) -> None:
        """Let the loop turn, while something is amiss."""
        self.full, self.busy, self.slow = act == "starve", act == "busy", act == "slow disk"
        if act == "unplug":
            self.processes.lose_link()
        self.link = act != "unplug" and (self.link or act == "plug")
        end = self.time + seconds
        while self.time < end:
            self.pass_time(BLIND - 0.01 if act == "blink" else TURN, hindered=act in HINDERING)
            self.turn()
        self.full = self.busy = self.slow = False

    async def restart(self, seconds: float, *, rebooted: bool = False) -> None:
        """Start the server again after so long, in the same boot of the machine or in another."""
        await self.supervision.close()
        self.clock = Clock(lambda: self.time, self.date)
        self.pass_time(seconds, hindered=True)
        self.hindered += self.held  # dates on disk do not know how long the clock was held
        self.held = 0.0
        self.clock = Clock(lambda: self.time, self.date)
        state = State({"alpha": Saved(ALPHA, ALPHA, self.life)}, rebooted=rebooted)
        (client,), records, *_rest = restore([ALPHA], state, self.clock.now())
        self.owing = False
        self.hindered_at.append(self.hindered_saved)
        for record in records:
            self.note(record)
        if not client.life.enabled and self.life.enabled:
            self.disabled_at.append(self.counted)
        if rebooted:
            self.excused_until = max(self.excused_until, self.counted + TIMEOUT)
        self.serve(client)

    async def end(self) -> None:
        """End the server."""
        await self.supervision.close()

    @property
    def left(self) -> float:
        """The seconds until the client's time is over."""
        expires = self.client.life.expires
        return (expires - self.clock.now()).total_seconds() if expires else 0.0


def play(story: Coroutine[None, None, None]) -> None:
    """Play a story; supervision needs an event loop for its log lines."""
    asyncio.run(story)


@settings(max_examples=120, deadline=None)
@given(acts=ACTS, chance=CHANCES)
def test_no_healthy_client_is_disabled_because_the_server_was_slow(
    acts: list[tuple[str, float]], chance: float
) -> None:
    """It answers each check that is made, however late that is, and is served in the end.

    On the way no more time is forgiven than the adversary took, each time is on record, and a
    secret leaves only if the client was alive within its time.
    """

    async def story() -> None:
        site = Site(chance)
        for act, seconds in acts:
            await site.act(act, seconds)
            assert site.disabled_at == []
        await site.act("plug", INTERVAL + ANSWER + RETRY + TURN)
        assert isinstance(site.client.ask(site.clock.now()), Give)
        assert not site.owing
        await site.end()

    play(story())


STOLEN = st.floats(1, 400)
SILENCES = st.sampled_from([SILENCE, HANG])


@settings(max_examples=120, deadline=None)
@given(acts=ACTS, chance=CHANCES, stolen=STOLEN, silence=SILENCES)
def test_no_stolen_client_is_served_because_the_server_was_slow(
    acts: list[tuple[str, float]], chance: float, stolen: float, silence: float
) -> None:
    """Its secret is gone a timeout after it was last alive; ``Site.ask`` looks at each request.

    Once the server runs again the client is disabled an interval after its time is over, or, when
    that is over already, after its check began.
    """

    async def story() -> None:
        site = Site(chance, stolen, silence)
        for act, seconds in acts:
            await site.act(act, seconds)
        site.stolen = min(site.stolen, site.time)
        await site.act("plug", ANSWER + 2 * TURN)
        await site.act("run", max(site.left, 0) + GRACE + RETRY + 2 * TURN)
        assert not site.client.life.enabled
        assert not site.owing
        await site.end()

    play(story())


@settings(max_examples=60, deadline=None)
@given(chance=CHANCES, before=st.floats(0, 100), part=st.floats(0, 1))
@example(chance=0.5, before=40.0, part=1.0)
def test_healthy_client_may_wait_for_its_turn(chance: float, before: float, part: float) -> None:
    """While other checkers have all the room it has a timeout beyond the end of its own."""

    async def story() -> None:
        site = Site(chance)
        await site.act("run", before)
        await site.act("busy", site.left + part * (PATIENCE - 2 * TURN))
        await site.act("run", INTERVAL)
        assert site.disabled_at == []
        assert isinstance(site.client.ask(site.clock.now()), Give)
        await site.end()

    play(story())


@settings(max_examples=60, deadline=None)
@given(acts=ACTS, chance=CHANCES, busy=st.floats(0, 4 * PATIENCE))
def test_stolen_client_does_not_wait_for_its_turn_for_ever(
    acts: list[tuple[str, float]], chance: float, busy: float
) -> None:
    """While other checkers have all the room it is disabled a timeout after its time was over."""

    async def story() -> None:
        site = Site(chance)
        for act, seconds in acts:
            await site.act(act, seconds)
        site.stolen = site.time
        await site.act("plug", ANSWER + 2 * TURN)
        left = max(site.left, 0)
        await site.act("busy", busy)
        if busy > left + PATIENCE + GRACE + 2 * TURN:
            assert not site.client.life.enabled
        await site.act("run", left + GRACE + RETRY + 2 * TURN)
        assert not site.client.life.enabled
        await site.end()

    play(story())


@settings(max_examples=120, deadline=None)
@given(
    chance=CHANCES, silence=SILENCES, stolen=STOLEN,
    after=st.floats(0, 90), seconds=LENGTHS,
)  # fmt: skip
def test_restart_forgives_no_more_than_a_stall(
    chance: float, silence: float, stolen: float, after: float, seconds: float
) -> None:
    """A stolen client is served no longer than after a stall of the same length.

    It may be disabled an interval later, since its first check is awaited: the restarted server
    does not know which checks it has missed.
    """

    async def story() -> None:
        last, disabled = {}, {}
        for act in ("stall", "crash"):
            site = Site(chance, stolen, silence)
            await site.act("run", stolen + after)
            await site.act(act, seconds)
            await site.act("run", EXTENDED + 2 * GRACE)
            last[act] = max(site.served, default=0.0)
            (disabled[act],) = site.disabled_at
            await site.end()
        assert last["crash"] <= last["stall"] + 0.001
        assert disabled["crash"] <= disabled["stall"] + GRACE + RETRY + 2 * TURN

    play(story())


@pytest.mark.parametrize("act", ["stall", "crash", "starve"])
@pytest.mark.parametrize("seconds", [90.0, 7200.0])
def test_time_that_is_forgiven_is_on_record(act: str, seconds: float) -> None:
    """First that the client is overdue, then for how long that was forgiven."""

    async def story() -> None:
        site = Site(0.5)
        await site.act("run", INTERVAL)
        over = site.counted + site.left
        await site.act(act, seconds)
        assert not isinstance(site.client.ask(site.clock.now()), Give)
        await site.act("run", 3.0)
        kinds = [record.kind for record in site.records]
        assert kinds[0] is Kind.OVERDUE
        assert kinds[-1] is Kind.FORGIVEN
        forgiven = float(site.records[-1].detail.split(" s after")[0].rsplit(" ", 1)[1])
        assert forgiven == pytest.approx(site.alive_at - over, abs=BLIND)
        await site.end()

    play(story())


def test_life_of_a_client_is_what_a_restart_knows() -> None:
    """The play saves what the server saves."""

    async def story() -> None:
        site = Site()
        assert isinstance(site.life, Life)
        await site.end()

    play(story())
