# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A good server on a link full of rogues is asked in its turn, whatever the rogues do.

The fetcher is the real one; the link is simulated, with time turned by hand.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mandos.client.unprivileged import turns
from mandos.client.unprivileged.decryptor import Opened
from mandos.client.unprivileged.known_server import FIRST_TURN
from mandos.client.unprivileged.search import Target
from mandos.client.unprivileged.servers import Fetcher
from mandos.errors import PeerError

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = Target("fe80::600d", 4711, 2, "Mandos")
STEP = 0.25


def bound(patience: float) -> float:
    """Seconds in which a server that needs ``patience`` seconds gives its password.

    All hosts that are remembered may have a turn before it; the turns of all are twice as long each
    time, until its own is long enough.
    """
    turn, seconds = FIRST_TURN, STEP
    while True:
        at_once = turns.AT_ONCE if turn == FIRST_TURN else turns.LONG_AT_ONCE
        seconds += turn * (turns.HOSTS / at_once + 2)
        if turn > patience:
            return seconds
        turn *= 2


class Link:
    """A link with servers that behave in one way for each, and a clock."""

    def __init__(self, patience: float) -> None:
        self.now = 1000.0
        #: How long the good server is silent before it answers.
        self.patience = patience
        self.ways: dict[tuple[str, int, int], str] = {GOOD.address: "good"}
        self.connections = self.most = 0
        self.asked: list[tuple[str, int, int]] = []
        self.fetcher = Fetcher(
            self,  # type: ignore[arg-type]
            lambda _socket: pytest.fail("no session is needed"),
            self._open,
            (lambda _text: None, lambda _text: None),
            retry=10,
        )

    def watch(self, *_arguments: object) -> None:
        """As a loop; everything is looked at in each step."""

    change = forget = watch

    @staticmethod
    def _open(sealed: bytes, done: Callable[[Opened | PeerError], None], _before: int) -> None:
        done(Opened(b"password", signed=True) if sealed == b"good" else PeerError("rubbish"))

    def step(self) -> None:
        """Let a moment pass."""
        self.now += STEP
        for server in list(self.fetcher._servers.values()):
            if server.attempt and self.fetcher.password is None:
                self.fetcher._advance(server, server.attempt, self.now)
        if self.fetcher.password is None:
            self.fetcher.tick(self.now)
            assert self.fetcher.deadline(self.now) > self.now or self.fetcher.password


@dataclass
class SimulatedAttempt:
    """A conversation on that link."""

    link: Link
    address: tuple[str, int, int]
    begin: float

    def __post_init__(self) -> None:
        self.way = self.link.ways[self.address]
        self.link.asked.append(self.address)
        self.link.connections += 1
        self.link.most = max(self.link.most, self.link.connections)
        self.socket = SimpleNamespace(fileno=lambda: 0)
        self.waits_for = 0
        self.deadline = self.begin + (3600 if self.way in {"hang", "good"} else 10)

    def advance(self, now: float) -> bytes | None:
        """Do as the server does."""
        if self.way == "refuse":
            raise PeerError("the server refused")
        if self.way == "memory":
            raise MemoryError
        if self.way == "rubbish":
            return b"rubbish"
        if self.way == "good" and now >= self.begin + self.link.patience:
            return b"good"
        if now >= self.deadline:
            raise PeerError("it took too long")
        return None

    def close(self) -> None:
        """Leave the link."""
        self.link.connections -= 1


@dataclass(frozen=True)
class Rogues:
    """What rogues announce in each step: so many servers, on so many hosts, and what those do."""

    count: int
    hosts: int
    ways: tuple[str, ...]
    ever_new: bool
    #: The address that all claim, if it is not their own.
    claimed: str = ""

    def announce(self, link: Link, step: int) -> list[Target]:
        """The servers of one step."""
        first = step * self.count if self.ever_new else 0
        targets = []
        for number in range(first, first + self.count):
            port = 1024 + number // self.hosts % 60000
            host = self.claimed or f"fe80::bad:{number % self.hosts:x}"
            target = Target(host, port, 2, f"x{number}")
            link.ways[target.address] = self.ways[number % len(self.ways)]
            targets.append(target)
        return targets


ROGUES = st.builds(
    Rogues,
    count=st.integers(1, 250),
    hosts=st.sampled_from([1, 2, 7, 64, 1000]),
    ways=st.lists(
        st.sampled_from(["hang", "connect", "refuse", "memory", "rubbish"]), min_size=1, max_size=4
    ).map(tuple),
    ever_new=st.booleans(),
)


@settings(deadline=None, max_examples=15)
@given(rogues=ROGUES, late=st.integers(0, 30), patience=st.sampled_from([0.0, 0.2, 0.5, 1.5]))
@example(rogues=Rogues(249, 1000, ("hang",), ever_new=True), late=27, patience=0.0)
def test_good_server_is_asked_in_its_turn(rogues: Rogues, late: int, patience: float) -> None:
    """Within the bound, from 1 000 hosts as from one; connections and memory stay bounded."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        link = _on_simulated_link(monkeypatch, patience)
        for step in range(late):
            link.fetcher.learn(rogues.announce(link, step))
            link.step()
        link.fetcher.learn([GOOD])
        for step in range(round(bound(patience) / STEP)):
            link.fetcher.learn(rogues.announce(link, late + step))
            link.step()
            assert len(link.fetcher._servers) <= turns.PLACES
            if link.fetcher.password:
                break
        assert link.fetcher.password == b"password"
        assert link.most <= turns.AT_ONCE


@pytest.mark.parametrize("hosts", [1, 60, 200])
def test_silent_server_is_waited_for_among_silent_rogues(
    monkeypatch: pytest.MonkeyPatch, hosts: int
) -> None:
    """An approval takes 20 s.  Turns grow, so that the good server gets that long at last."""
    link = _on_simulated_link(monkeypatch, 20.0)
    rogues = Rogues(250, hosts, ("hang",), ever_new=False)
    link.fetcher.learn([*rogues.announce(link, 0), GOOD])
    for _step in range(round(300 / STEP)):
        if link.fetcher.password is None:
            link.step()
    assert link.fetcher.password == b"password"


def test_crowd_on_one_host_does_not_end_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour for an approval, beside a host that announces new servers all the time."""
    link = _on_simulated_link(monkeypatch, 3000.0)
    rogues = Rogues(20, 1, ("hang",), ever_new=True)
    link.fetcher.learn([GOOD])
    begun = link.now
    for step in range(round(3001 / STEP)):
        if step % 20 == 0:
            link.fetcher.learn(rogues.announce(link, step))
        if link.fetcher.password is None:
            link.step()
    assert link.fetcher.password == b"password"
    assert link.fetcher._servers[GOOD.address].asked <= begun + STEP


def test_announcements_in_its_name_do_not_put_a_server_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stranger who announces the good server anew in each step does not keep it at the end."""
    link = _on_simulated_link(monkeypatch, 0.5)
    rogues = Rogues(250, 250, ("hang",), ever_new=False)
    link.fetcher.learn(rogues.announce(link, 0))
    for _step in range(round(bound(0.5) / STEP)):
        link.fetcher.learn([GOOD])
        if link.fetcher.password is None:
            link.step()
    assert link.fetcher.password == b"password"


def test_late_server_does_not_wait_for_long_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that say nothing for half an hour have turns of minutes by then."""
    link = _on_simulated_link(monkeypatch, 0.0)
    rogues = Rogues(250, 250, ("hang",), ever_new=False)
    link.fetcher.learn(rogues.announce(link, 0))
    for _step in range(round(1800 / STEP)):
        link.step()
    long_turns = [one for one in link.fetcher._turns.busy if one.turn > 60]
    assert len(long_turns) == turns.LONG_AT_ONCE
    link.fetcher.learn([GOOD])
    for _step in range(3):
        link.step()
    assert link.fetcher.password == b"password"


@pytest.mark.parametrize(
    "rogues",
    [
        Rogues(250, 10**9, ("hang",), ever_new=True),
        Rogues(250, 10**9, ("refuse",), ever_new=True),
        Rogues(250, 1, ("refuse",), ever_new=True, claimed=GOOD.host),
    ],
    ids=["hosts hang", "hosts refuse", "ports of its own host refuse"],
)
def test_more_than_the_places_leave_a_chance(
    monkeypatch: pytest.MonkeyPatch, rogues: Rogues
) -> None:
    """Each announcement of a good server has it, at any moment, among 1 000 others a second."""
    monkeypatch.setattr(os, "urandom", random.Random(1).randbytes)  # noqa: S311 - the same each time
    link = _on_simulated_link(monkeypatch, 0.0)
    trials, asked, good = 24, 0, GOOD
    for step in range(8 * trials):
        if step % 8 == 0:
            host = rogues.claimed or f"fe80::600d:{step:x}"
            good = Target(host, 62000 + step, 2, "Mandos")
            link.ways[good.address] = "memory"
            link.fetcher.learn([good])
        link.fetcher.learn(rogues.announce(link, step))
        link.step()
        asked += link.asked.count(good.address)
        link.asked.clear()
        assert len(link.fetcher._servers) <= turns.PLACES
    share = turns.AT_ONCE / (turns.AT_ONCE + rogues.count)
    assert asked > trials * share / 2


def _on_simulated_link(monkeypatch: pytest.MonkeyPatch, patience: float) -> Link:
    link = Link(patience)
    monkeypatch.setattr(
        "mandos.client.unprivileged.servers.Attempt",
        lambda address, _maker, now: SimulatedAttempt(link, address, now),
    )
    monkeypatch.setattr(
        "mandos.client.unprivileged.servers.time", SimpleNamespace(monotonic=lambda: link.now)
    )
    return link
