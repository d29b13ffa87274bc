# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients are checked by real processes, driven by the one timer."""

from __future__ import annotations

import asyncio
import random
import re
import shlex
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mandos.bus_names import client_path
from mandos.client_settings import ClientSettings
from mandos.errors import MachineError
from mandos.server.audit.records import NEVER_CHECKED_OK
from mandos.server.checking import processes as checkers_module
from mandos.server.checking.supervision import Supervision, expanded
from mandos.server.config.parsers import RUNTIME_NAMES
from mandos.server.life import events
from mandos.server.life.approval import Request
from mandos.server.life.client import Client
from mandos.server.life.clock import Clock
from mandos.server.life.events import Why
from mandos.server.life.life import NEVER_COMPLETED
from mandos.server.life.registry import Registry
from mandos.server.life.timer import Timer
from mandos.server.system.machine_clock import machine_clock

START = datetime(2026, 11, 24, 3, 4, 5, 678, tzinfo=UTC)


class World:
    """Clients under supervision, and what happens to them."""

    def __init__(self, *clients: Client) -> None:
        self.clock = machine_clock()
        self.registry = Registry(clients)
        self.told: list[events.Event] = []
        self.news = asyncio.Event()
        self.registry.listen(self.hear)
        self.supervision = Supervision(self.registry, self.clock, 4)

    def hear(self, event: events.Event) -> None:
        """Keep what happens."""
        self.told.append(event)
        self.news.set()

    async def until(self, kind: type[events.Event], times: int = 1) -> events.Event:
        """Wait for an event of this kind."""
        while len(found := [event for event in self.told if type(event) is kind]) < times:
            self.news.clear()
            await self.news.wait()
        return found[times - 1]


@asynccontextmanager
async def world(*clients: Client) -> AsyncIterator[World]:
    """A world that ends."""
    here = World(*clients)
    yield here
    await here.supervision.close()


def _client(**values: Any) -> Client:  # noqa: ANN401 - settings
    settings = ClientSettings(name="foo", key_id="ab" * 32, secret=b"x", **values)
    return Client(settings, datetime.now(UTC), chance=lambda: 0.0)


async def test_healthy_client_is_found_alive() -> None:
    """The timer starts its checker; its success counts."""
    client = _client(checker="test %(host)s = here", host="here")
    async with world(client) as here:
        timer = Timer(here.registry, here.clock, asyncio.get_running_loop())
        completed = await here.until(events.CheckerCompleted)
        timer.stop()
        assert isinstance(completed, events.CheckerCompleted)
        assert (completed.wait_status, completed.command) == (0, "test here = here")
        assert client.life.last_checked_ok is not None
        assert [type(event) for event in here.told[:4]] == [
            events.CheckerWanted, events.CheckerBegan, events.CheckerCompleted, events.CheckedOK,
        ]  # fmt: skip


async def test_vanished_client_is_disabled_by_the_timer() -> None:
    """With a timeout of no time at all the first beat disables it."""
    client = _client(checker="false", timeout=timedelta(0))
    async with world(client) as here:
        timer = Timer(here.registry, here.clock, asyncio.get_running_loop())
        disabled = await here.until(events.Disabled)
        timer.stop()
        assert isinstance(disabled, events.Disabled)
        assert disabled.why is Why.TIMEOUT


async def test_new_deadline_wakes_the_timer() -> None:
    """What becomes due earlier than the timer expects is done in time."""
    client = _client(checker="true", approval_delay=timedelta(milliseconds=1))
    async with world(client) as here:
        timer = Timer(here.registry, here.clock, asyncio.get_running_loop())
        request = client.ask(here.clock.now())
        assert isinstance(request, Request)
        woken = asyncio.Event()
        request.wake = woken.set
        await woken.wait()
        timer.stop()


async def test_disabling_ends_the_checker() -> None:
    """The process goes, and its end is not reported."""
    client = _client(checker="sleep 1000")
    async with world(client) as here:
        client.start_checker(here.clock.now())
        await here.until(events.CheckerBegan)
        client.disable(here.clock.now(), Why.ADMINISTRATOR)
    assert not any(isinstance(event, events.CheckerCompleted) for event in here.told)


@pytest.mark.parametrize("command", ["/nonexistent/checker", "/etc/hostname"])
async def test_checker_that_cannot_run_is_told(
    command: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A command that is not there is the administrator's mistake: said once, not every time."""
    client = _client(checker=command)
    async with world(client) as here:
        for times in (1, 2):
            client.start_checker(here.clock.now())
            await here.until(events.CheckerCompleted, times)
    assert caplog.text.count("the checker of client foo failed with status 12") == 1


def test_every_name_can_be_expanded() -> None:
    """In the form of the reference, each value as one word for the shell."""
    client = Client(
        ClientSettings(
            name="foo.bar-1", key_id="ab" * 32, fingerprint="cd" * 20, secret=b"x",
            host="a b;c'd$x", timeout=timedelta(days=1, minutes=5), checker="",
        ),
        START,
        chance=lambda: 0.5,
    )  # fmt: skip
    names = sorted(RUNTIME_NAMES)
    checker = " ".join(f"{name}=%({name})s" for name in names)
    client.change(START, checker=checker + " 100%%")
    words = shlex.split(expanded(client, lambda moment: moment + timedelta(hours=1)))
    assert words.pop() == "100%"
    assert dict(word.split("=", 1) for word in words) == {
        "approval_delay": "0:00:00",
        "approval_duration": "0:00:01",
        "created": "2026-11-24 04:04:05.000678",
        "dbus_object_path": "/clients/foo_bar_1",
        "enabled": "True",
        "expires": "2026-11-25 04:09:05.000678",
        "fingerprint": "CD" * 20,
        "host": "a b;c'd$x",
        "interval": "0:02:00",
        "key_id": "AB" * 32,
        "last_approval_request": "None",
        "last_checked_ok": "None",
        "last_enabled": "2026-11-24 04:04:05.000678",
        "name": "foo.bar-1",
        "timeout": "1 day, 0:05:00",
    }


#: Characters that mean something to a shell, to "%" or to a terminal.
HOSTILE = "'\"\\`$;&|<>(){}[]*?!#~%- \t\n\x1bä"


def test_no_host_escapes_from_its_word() -> None:
    """A real shell sees each of 300 hostile hosts as one argument, and runs nothing else."""
    chance = random.Random(1)  # noqa: S311 - the same hosts each time
    for _number in range(300):
        host = "".join(chance.choices(HOSTILE + "touch/x", k=chance.randint(1, 40)))
        client = _client(checker="printf '%%s\\0' %(host)s", host=host)
        done = subprocess.run(
            ["/bin/sh", "-c", expanded(client, lambda moment: moment)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == (f"{host}\0", "")


@pytest.mark.parametrize(
    ("name", "path"),
    [("foo.bar-1", "/clients/foo_bar_1"), ("ä b", "/clients/_c3_a4_20b"), ("A9_", "/clients/A9_")],
)
def test_object_path_of_a_name(name: str, path: str) -> None:
    """Any name leads to a path that D-Bus allows."""
    assert client_path(name) == path
    assert re.fullmatch(r"/clients/[A-Za-z0-9_]+", path)


async def test_failing_checker_is_told_with_its_own_words() -> None:
    """At its first failure, and again when the client is disabled for it; not every time."""
    client = _client(checker="echo no route >&2; exit 4", timeout=timedelta(hours=1))
    async with world(client) as here:
        for number in range(1, 3):
            client.start_checker(here.clock.now())
            await here.until(events.CheckerCompleted, number)
        client.disable(here.clock.now(), Why.TIMEOUT)
        told = [event.failure for event in here.told if isinstance(event, events.CheckFailed)]
        assert told == [f"{NEVER_CHECKED_OK}: exit status 4, saying: no route"] * 2
        client.enable(here.clock.now())
        client.change(here.clock.now(), checker="true")
        client.start_checker(here.clock.now())
        await here.until(events.CheckedOK)
        client.change(here.clock.now(), checker="kill -KILL $$")
        client.start_checker(here.clock.now())
        failed = await here.until(events.CheckFailed, 3)
        assert isinstance(failed, events.CheckFailed)
        assert failed.failure == "killed by signal 9, without output"


@pytest.mark.parametrize("held", ["before", "meanwhile", "at the end", "never"])
async def test_failure_without_a_link_does_not_count(held: str) -> None:
    """The clock was held when the checker began, when it ended, or in between."""
    client = _client(checker="exit 1", timeout=timedelta(hours=1))
    async with world(client) as here:
        if held == "before":
            here.clock.hold()
        client.start_checker(here.clock.now())
        await here.until(events.CheckerBegan)
        if held in ("meanwhile", "at the end"):
            here.clock.hold()
        if held != "at the end":
            here.clock.release()
        await here.until(events.CheckerCompleted if held == "never" else events.CheckerStopped)
        assert client.life.last_checker_status == (1 if held == "never" else NEVER_COMPLETED)
        assert not client.checker_running


async def test_success_without_a_link_counts() -> None:
    """The checker has found another way to the client, or the link had just gone."""
    client = _client(checker="true")
    async with world(client) as here:
        here.clock.hold()
        client.start_checker(here.clock.now())
        await here.until(events.CheckedOK)


async def test_no_client_loses_by_time_without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An overdue client whose check cannot be started waits on, at each try that fails."""

    def spawn(*_arguments: object, **_options: object) -> int:
        raise MachineError("Resource temporarily unavailable")

    monkeypatch.setattr(checkers_module, "_RETRY", 0.0)
    monkeypatch.setattr(checkers_module, "spawn", spawn)
    passed, tries = [0.0], asyncio.Semaphore(0)
    clock = Clock(lambda: passed[0], lambda: START + timedelta(seconds=passed[0]))
    client = Client(
        ClientSettings(name="foo", key_id="ab" * 32, secret=b"x"), clock.now(), chance=lambda: 0.0
    )
    registry = Registry([client])
    supervision = Supervision(registry, clock, 1)
    supervised, supervision.refused = supervision.refused, tries.release  # type: ignore[method-assign]
    for _second in range(3600):
        passed[0] += 1.0
        registry.advance(clock.beat())
        await tries.acquire()
        supervised()
    assert client.overdue
    monkeypatch.undo()
    await supervision.close()


async def test_time_in_which_no_checker_was_wanted_is_not_time_without_processes() -> None:
    """Two tries that fail, an hour apart, do not add an hour to a wait."""
    passed = [0.0]
    clock = Clock(lambda: passed[0], lambda: START + timedelta(seconds=passed[0]))
    client = Client(
        ClientSettings(name="foo", key_id="ab" * 32, secret=b"x"), clock.now(), chance=lambda: 0.0
    )
    registry = Registry([client])
    supervision = Supervision(registry, clock, 0)
    supervision.refused()
    for _second in range(599):
        passed[0] += 1.0
        registry.advance(clock.beat())
    assert client.overdue
    supervision.refused()
    passed[0] += 1.0
    registry.advance(clock.beat())
    assert not client.life.enabled
    await supervision.close()
