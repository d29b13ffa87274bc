# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits on waiting of the service tests: seconds of an idle machine."""

from __future__ import annotations

import asyncio
import os

import pytest

from harness.patience import Load, Patience, is_readable, load, within

IDLE = Load(running=1, blocked=0)


class Machine:
    """A machine with two processors whose clock and load are turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.load = IDLE

    def patience(self, seconds: float) -> Patience:
        """Begin to wait."""
        return Patience(seconds, clock=lambda: self.now, load=lambda: self.load, processors=2)


@pytest.fixture
def machine() -> Machine:
    """An idle machine."""
    return Machine()


@pytest.mark.parametrize(
    ("load", "seconds"),
    [
        (IDLE, 30),
        (Load(running=2, blocked=1), 30),
        (Load(running=10, blocked=0), 150),
        (Load(running=1, blocked=3), 90),
        (Load(running=10, blocked=3), 450),
    ],
    ids=str,
)
def test_a_busy_machine_has_more_time(machine: Machine, load: Load, seconds: float) -> None:
    """As many times more as there are more processes than processors, or at the disk."""
    machine.load = load
    patience = machine.patience(30)
    machine.now += seconds - 1
    assert not patience.is_over()
    machine.now += 2
    assert patience.is_over()


def test_load_that_comes_and_goes(machine: Machine) -> None:
    """Each part of the time counts by the load that it had; the pause ends with the patience."""
    patience = machine.patience(30)
    machine.now += 20
    assert not patience.is_over()
    machine.load = Load(running=20, blocked=0)
    machine.now += 90
    assert not patience.is_over()
    machine.load = IDLE
    machine.now += 0.75
    assert not patience.is_over()
    assert patience.pause == pytest.approx(0.25)
    machine.now += patience.pause
    assert patience.is_over()
    assert patience.pause == 0


def test_load_of_this_machine() -> None:
    """The process that reads it is running."""
    assert load().running >= 1
    assert load().blocked >= 0


def test_descriptor() -> None:
    """It is waited for until it can be read, or until the patience is over."""
    reading, writing = os.pipe()
    try:
        assert not is_readable(reading, 0.001)
        os.write(writing, b"x")
        assert is_readable(reading, 1000)
    finally:
        os.close(reading)
        os.close(writing)


async def test_coroutine() -> None:
    """Its result and its errors come through; one that never ends is cancelled."""

    async def works(error: Exception | None) -> str:
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return "done"

    assert await within(1000, works(None)) == "done"
    with pytest.raises(KeyError):
        await within(1000, works(KeyError()))
    cancelled = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        await within(0.001, hangs())
    await cancelled.wait()
