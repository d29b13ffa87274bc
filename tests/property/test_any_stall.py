# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories with an adversary who may stall, starve or crash the server at any moment.

A healthy client is never disabled by that, and a stolen one gets no secret by it.  The client, the
registry and the clock are the real ones; the event loop around them is played, in its order: what
has ended is heard before the timer acts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from mandos.client_settings import ClientSettings
from mandos.server.life import events
from mandos.server.life.client import Client, Give
from mandos.server.life.clock import BEAT, BLIND, Clock
from mandos.server.life.life import Life
from mandos.server.life.registry import Registry
from mandos.server.life.saved import Saved
from mandos.server.state.restore import restore
from mandos.server.state.store import State

EPOCH = datetime(2026, 11, 24, tzinfo=UTC)
TURN = 0.5
#: Seconds that a check takes: of a client that answers, and of one that does not.
ANSWER, SILENCE = 1.0, 3.0
TIMEOUT, INTERVAL = 60.0, 25.0
ALPHA = ClientSettings(
    name="alpha", key_id="ab" * 32, secret=b"sealed",
    timeout=timedelta(seconds=TIMEOUT), interval=timedelta(seconds=INTERVAL),
)  # fmt: skip

#: What the adversary does, and for how many seconds.
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["run", "run", "stall", "starve", "crash", "blink"]),
        st.floats(0.1, 300.0),
    ),
    max_size=12,
)


class Site:
    """A server with one client; the client is stolen at ``stolen``, and never asks but then."""

    def __init__(self, chance: float, stolen: float = float("inf")) -> None:
        self.time = 0.0
        self.stolen = stolen
        self.chance = chance
        self.served: list[float] = []
        self.alive_at = 0.0
        self.starved = False
        self.disabled = 0
        self.clock = Clock(lambda: self.time, self.date)
        self.serve(Client(ALPHA, self.clock.now(), chance=lambda: chance))

    def date(self) -> datetime:
        """The machine's date."""
        return EPOCH + timedelta(seconds=self.time)

    def serve(self, client: Client) -> None:
        """Begin to serve, with no checker running."""
        self.client = client
        self.registry = Registry([client])
        self.registry.listen(self.hear)
        self.clock.on_stall = self.stalled
        self.wanted: tuple[int, float] | None = None
        self.running: tuple[int, float, int] | None = None
        self.life = client.life

    def hear(self, event: events.Event) -> None:
        """Do what the supervision of the server does."""
        match event:
            case events.CheckerWanted():
                self.wanted = (event.run, self.time)
            case events.CheckerStopped():
                self.wanted = self.running = None
            case events.Disabled():
                self.disabled += 1

    def stalled(self, seconds: float) -> None:
        """Tell the client."""
        self.client.server_stalled(timedelta(seconds=seconds))

    def turn(self) -> None:
        """One turn of the event loop."""
        if self.running is not None and self.running[1] <= self.time:
            run, end, status = self.running
            now = self.clock.now()
            self.running = None
            if status == 0:
                self.alive_at = end
            self.client.checker_completed(run, status, now)
        self.begin()
        self.ask()
        self.registry.advance(self.clock.beat())
        self.begin()
        self.life = self.client.life.dated(self.clock.date)

    def begin(self) -> None:
        """Start the checker that is wanted; one that was starved for an interval gets its turn."""
        if self.wanted is None or (self.starved and self.time - self.wanted[1] < INTERVAL):
            return
        run, _since = self.wanted
        self.wanted = None
        alive = self.time < self.stolen
        end = self.time + (ANSWER if alive else SILENCE)
        self.client.checker_began(run, self.clock.now())
        self.running = (run, end, 0 if alive else 1 << 8)

    def ask(self) -> None:
        """The thief asks whenever the server can be asked."""
        if self.time >= self.stolen and isinstance(self.client.ask(self.clock.now()), Give):
            self.served.append(self.time)

    def act(self, act: str, seconds: float) -> None:
        """Let the adversary act for so long."""
        end = self.time + seconds
        self.starved = act == "starve"
        if act == "crash":
            self.time = end
            self.restart()
        elif act == "stall":
            self.time = end
            self.turn()
        else:
            while self.time < end:
                self.time += BLIND - 0.01 if act == "blink" else TURN
                self.turn()

    def restart(self, *, rebooted: bool = False) -> None:
        """Start the server again, in the same boot of the machine or in another."""
        self.clock = Clock(lambda: self.time, self.date)
        state = State({"alpha": Saved(ALPHA, ALPHA, self.life)}, rebooted=rebooted)
        (client,), *_rest = restore([ALPHA], state, self.clock.now())
        self.disabled += not client.life.enabled and self.life.enabled
        self.serve(client)


@settings(max_examples=300, deadline=None)
@given(acts=ACTS, chance=st.floats(0, 1, exclude_max=True))
def test_no_healthy_client_is_disabled_because_the_server_was_slow(
    acts: list[tuple[str, float]], chance: float
) -> None:
    """It answers each check that is made; none is kept from beginning for more than an interval."""
    site = Site(chance)
    for act, seconds in acts:
        site.act(act, seconds)
    assert site.disabled == 0
    site.act("run", TIMEOUT)
    assert isinstance(site.client.ask(site.clock.now()), Give)


@settings(max_examples=300, deadline=None)
@given(acts=ACTS, chance=st.floats(0, 1, exclude_max=True), stolen=st.floats(1, 400))
def test_no_stolen_client_is_served_because_the_server_was_slow(
    acts: list[tuple[str, float]], chance: float, stolen: float
) -> None:
    """Its secret is gone a timeout after it was last alive, and it is disabled in the end."""
    site = Site(chance, stolen)
    for act, seconds in acts:
        site.act(act, seconds)
    last = max(site.alive_at, stolen)
    assert all(time <= last + TIMEOUT + ANSWER + BLIND + BEAT for time in site.served)
    site.act("run", 2 * TIMEOUT + INTERVAL)
    assert not site.client.life.enabled or site.time < stolen + 2 * TIMEOUT + INTERVAL


def test_life_of_a_client_is_what_a_restart_knows() -> None:
    """The play saves what the server saves."""
    assert isinstance(Site(0.0).life, Life)
