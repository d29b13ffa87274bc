# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories of a client, held against what must be true of every history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mandos.client_settings import ClientSettings
from mandos.server.life import events
from mandos.server.life.approval import Request
from mandos.server.life.client import Client, Decision, Give, Refuse
from mandos.server.life.events import Why
from mandos.server.life.registry import Registry

START = datetime(2026, 11, 24, tzinfo=UTC)
SECRET = b"sealed"
SECONDS = st.integers(0, 400).map(lambda seconds: timedelta(seconds=seconds))
INTERVALS = st.integers(1, 400).map(lambda seconds: timedelta(seconds=seconds))
STATUSES = st.sampled_from([0, 1 << 8, 255 << 8, 9, 15])


class Life(RuleBasedStateMachine):
    """A client in a registry whose timer always fires in time, and everything done to it."""

    client: Client

    @initialize(
        enabled=st.booleans(), timeout=SECONDS, extended=SECONDS, interval=INTERVALS,
        delay=SECONDS, duration=SECONDS, default=st.booleans(),
        chance=st.floats(0, 1, exclude_max=True), prompt=st.booleans(),
    )  # fmt: skip
    def begin(  # noqa: D102
        self, *, enabled: bool, timeout: timedelta, extended: timedelta, interval: timedelta,
        delay: timedelta, duration: timedelta, default: bool, chance: float, prompt: bool,
    ) -> None:  # fmt: skip
        self.now = START
        self.client = Client(
            ClientSettings(
                name="foo", key_id="ab" * 32, secret=SECRET, enabled=enabled, timeout=timeout,
                extended_timeout=extended, interval=interval, approval_delay=delay,
                approval_duration=duration, approved_by_default=default,
            ),
            self.now,
            chance=lambda: chance,
        )  # fmt: skip
        self.registry = Registry([self.client])
        self.registry.listen(self.hear)
        self.enabled = enabled
        self.prompt = prompt
        self.begun = 0
        self.running: int | None = None
        self.runs = 0
        self.verdict: tuple[datetime, bool] | None = None
        self.waiting: list[Request] = []
        self.expiry = START + timeout if enabled else None
        self.told: list[events.Event] = []

    def hear(self, event: events.Event) -> None:
        """Follow the events as a store or a checker would."""
        assert event.at == self.now
        self.told.append(event)
        if isinstance(event, events.CheckerWanted):
            assert self.running is None, "two checkers at once"
            assert event.run > self.runs
            self.running = self.runs = event.run
            if self.prompt:
                self.client.checker_began(event.run, self.now, "true")
        elif isinstance(event, events.CheckerBegan):
            assert event.run == self.running
            self.begun = event.run
        elif isinstance(event, events.CheckerStopped | events.CheckerCompleted):
            assert event.run == self.running
            self.running = None
        elif isinstance(event, events.Disabled):
            assert self.enabled
            assert self.running is None, "a disabled client's checker runs on"
            self.enabled = False
        elif isinstance(event, events.Enabled):
            assert self.enabling, "nothing but an explicit act enables"
            self.enabled = True

    enabling = False

    @rule(time=SECONDS)
    def pass_time(self, time: timedelta) -> None:
        """The timer fires at every deadline on the way."""
        goal = self.now + time
        while (due := self.registry.next_deadline()) is not None and due <= goal:
            self.now = max(self.now, due)
            self.registry.advance(self.now)
        self.now = goal

    @rule()
    def enable(self) -> None:
        """The only act that enables."""
        self.enabling = True
        self.client.enable(self.now)
        self.enabling = False
        self.settle()
        assert self.client.life.enabled or self.client.settings.timeout <= timedelta(0)

    @rule()
    def disable(self) -> None:
        """An administrator disables."""
        self.client.disable(self.now, Why.ADMINISTRATOR)
        self.verdict = None
        assert not self.client.life.enabled

    @rule()
    def start_checker(self) -> None:
        """An administrator wants a checker now."""
        self.client.start_checker(self.now)

    @rule(back=st.integers(0, 1))
    def begin_checker(self, back: int) -> None:
        """It is a checker's turn."""
        self.client.checker_began(self.runs - back, self.now, "true")

    @property
    def served(self) -> bool:
        """Whether the client may have its secret."""
        return self.client.life.enabled and not self.client.overdue

    @rule()
    def stop_checker(self) -> None:
        """An administrator stops the checker."""
        self.client.stop_checker(self.now)

    @rule(back=st.integers(0, 2), status=STATUSES)
    def complete(self, back: int, status: int) -> None:
        """A checker ends: the one that runs, or one that was stopped before."""
        before = self.client.life.last_checked_ok, self.client.life.expires
        stale = self.running is None or back > 0
        self.client.checker_completed(self.runs - back, status, self.now)
        if stale or status != 0:
            assert (self.client.life.last_checked_ok, self.client.life.expires) == before
        else:
            assert self.client.life.last_checked_ok == self.now

    @rule()
    def checked_ok(self) -> None:
        """An administrator says that the client is alive."""
        self.client.checked_ok(self.now)

    @rule(timeout=SECONDS, interval=INTERVALS, default=st.booleans(), delay=SECONDS)
    def change(
        self, *, timeout: timedelta, interval: timedelta, default: bool, delay: timedelta
    ) -> None:
        """Settings change at run time."""
        self.client.change(
            self.now, timeout=timeout, interval=interval, approved_by_default=default,
            approval_delay=delay,
        )  # fmt: skip
        self.settle()

    @rule(approved=st.booleans())
    def give_verdict(self, *, approved: bool) -> None:
        """An administrator approves or denies."""
        self.settle()
        waiting, enabled = self.waiting, self.client.life.enabled
        self.client.give_verdict(self.now, approved=approved)
        if enabled:
            self.verdict = (self.now + self.client.settings.approval_duration, approved)
        for request in waiting:
            expected = approved and enabled and not self.client.overdue
            assert isinstance(self.client.answer(request, self.now), Give) == expected
        self.waiting = []

    @rule()
    def ask(self) -> None:
        """A request comes in: what it gets follows from enabled, verdict, delay and default."""
        self.settle()
        decision = self.client.ask(self.now)
        self.check(decision)
        rules = self.client.settings
        if not self.served:
            assert isinstance(decision, Refuse)
            return
        if self.verdict is not None and self.now < self.verdict[0]:
            assert isinstance(decision, Give) == self.verdict[1]
            assert isinstance(decision, Refuse) != self.verdict[1]
        elif rules.approval_delay:
            assert isinstance(decision, Request)
            assert decision.until == self.now + rules.approval_delay
            self.waiting.append(decision)
        else:
            assert isinstance(decision, Give) == rules.approved_by_default

    @precondition(lambda self: self.waiting)
    @rule(number=st.integers(0, 10))
    def hang_up(self, number: int) -> None:
        """A peer that waits goes away."""
        self.client.withdraw(self.waiting.pop(number % len(self.waiting)), self.now)

    @rule()
    def secret_sent(self) -> None:
        """A secret has been written."""
        self.client.secret_sent(self.now)

    @rule(time=SECONDS, act=st.sampled_from(["ask", "checked_ok", "secret_sent", "complete"]))
    def act_before_the_late_timer(self, time: timedelta, act: str) -> None:
        """Whatever happens after expiry cannot save the client, however late its timer is."""
        expires = self.client.life.expires
        self.now += time
        if act == "ask":
            decision = self.client.ask(self.now)
            assert self.check(decision) or self.client.approval_pending
            if isinstance(decision, Request):
                self.waiting.append(decision)
        elif act == "complete":
            self.client.checker_completed(self.runs, 0, self.now)
        else:
            getattr(self.client, act)(self.now)
        self.settle()
        alive = act == "checked_ok" or (
            act == "complete" and self.client.life.last_checked_ok == self.now
        )
        if not alive:
            assert expires is None or expires > self.now or not self.served

    def settle(self) -> None:
        """Let what is due be done, then look at every request that waited."""
        self.registry.advance(self.now)
        if not self.client.life.enabled:
            self.verdict = None
        for request in list(self.waiting):
            if self.check(self.client.answer(request, self.now)):
                assert self.now >= request.until or not self.client.life.enabled or request.settled
                self.waiting.remove(request)

    def check(self, decision: Decision) -> bool:
        """A disabled client never gets a secret; says whether the decision is final."""
        if isinstance(decision, Give):
            assert self.enabled, "a disabled client got its secret"
            assert not self.client.overdue, "a client got its secret though its time was over"
        return not isinstance(decision, Request)

    @invariant()
    def consistent(self) -> None:
        """What was told agrees with what is, and the timer is set for what comes next."""
        if not hasattr(self, "client"):
            return
        client, timer = self.client, self.registry.next_deadline()
        assert client.life.enabled == self.enabled
        assert client.checker_running == (self.running is not None)
        assert (client.life.expires is not None) == client.life.enabled
        assert client.deadline is None or (timer is not None and timer <= client.deadline)

    @invariant()
    def expiry_is_never_missed(self) -> None:
        """Once the timer has fired, no enabled client has expired."""
        if hasattr(self, "client"):
            self.registry.advance(self.now)
            expires = self.client.life.expires
            assert expires is None or expires > self.now or self.client.overdue
            if not self.client.life.enabled:
                self.verdict = None
                assert not self.client.approval_pending


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=40)
