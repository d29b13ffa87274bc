# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-monitor with ten thousand clients: how long a key takes, also while they are checked.

The program itself on Textual's headless terminal; the server is left out.  A key's time is that of
the pilot's press, which waits about 80 ms by itself: compare with the lines of ten clients.  "held"
is how long the event loop could take nothing else, which is what a person feels.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import TYPE_CHECKING

from mandos.admin.client import Client
from mandos.admin.monitor.app import MonitorApp
from mandos.admin.signals import Changed, CheckerCompleted, CheckerStarted, Listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

    from mandos.admin.monitor.acts import Act
    from mandos.admin.signals import Event

CLIENTS = 10_000
INTERVAL = 120  # seconds; each client is checked once in it
KEYS = ("j", "k", "pagedown", "pageup", "end", "home", "3", "1", "o", "O", "n")
ROUNDS = 20
STARTS = 7


@dataclass
class Silence:
    """A session that never tells anything by itself."""

    async def run(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    async def do(self, act: Act, client: Client) -> None:
        """Do nothing."""


def date(moment: datetime) -> str:
    """Write a date as D-Bus has it."""
    return moment.replace(tzinfo=None).isoformat()


def client(number: int, now: datetime) -> Client:
    """Make a client; every tenth is disabled, every thirtieth fails."""
    enabled = bool(number % 10)
    name = f"machine{number}.example.org"
    values = {
        "Name": name, "Host": name, "Enabled": enabled, "Checker": "fping -q -- %(host)s",
        "CheckerRunning": False, "ApprovalPending": False, "ApprovedByDefault": True,
        "ApprovalDelay": 0, "ApprovalDuration": 1000, "Timeout": 300_000, "Interval": 120_000,
        "ExtendedTimeout": 900_000, "KeyID": f"{number:064X}", "Fingerprint": f"{number:040X}",
        "Expires": date(now + timedelta(seconds=number % 280 + 20)) if enabled else "",
        "LastCheckedOK": date(now - timedelta(seconds=number % 120)),
        "LastCheckerStatus": 1 if number % 30 == 1 else 0,
        "LastEnabled": date(now), "Created": date(now), "LastApprovalRequest": "",
    }  # fmt: skip
    return Client(f"/clients/machine{number}_example_org", values)


def check(path: str, now: datetime) -> list[Event]:
    """What the server tells of one successful check."""
    alive = {"LastCheckedOK": date(now), "Expires": date(now + timedelta(minutes=5))}
    return [
        CheckerStarted(path, "fping -q -- host"),
        Changed(path, {"CheckerRunning": True}),
        CheckerCompleted(path, 0, 0, "fping -q -- host"),
        Changed(path, {"CheckerRunning": False, "LastCheckerStatus": 0}),
        Changed(path, alive),
    ]


async def checks(app: MonitorApp, clients: list[Client]) -> None:
    """Tell of checks for ever, as many as so many clients have."""
    at = 0
    began = time.monotonic()
    while True:
        due = int((time.monotonic() - began) * len(clients) / INTERVAL)
        for path in (clients[number % len(clients)].path for number in range(at, due)):
            for event in check(path, datetime.now(UTC)):
                app.hear(event)
        at = due
        await asyncio.sleep(0.02)


async def press(pilot: Pilot[None], key: str) -> float:
    """Press a key; return the milliseconds until all is drawn."""
    began = time.perf_counter()
    await pilot.press(key)
    return (time.perf_counter() - began) * 1000


async def lags(into: list[float]) -> None:
    """Note for ever by how many milliseconds the loop is late."""
    pause = 0.002
    while True:
        began = time.perf_counter()
        await asyncio.sleep(pause)
        into.append((time.perf_counter() - began - pause) * 1000)


async def keys(count: int, *, checked: bool) -> None:
    """Print the times of keys."""
    app = MonitorApp(connect=lambda _tell, _fail: Silence())
    clients = [client(number, datetime.now(UTC)) for number in range(count)]
    async with app.run_test(size=(120, 40)) as pilot:
        began = time.perf_counter()
        app.hear(Listed(tuple(clients)))
        listed = time.perf_counter() - began
        work = [asyncio.create_task(checks(app, clients))] if checked else []
        await pilot.press("slash", *"machine9", "enter")
        held: list[float] = []
        work.append(asyncio.create_task(lags(held)))
        times = {key: [await press(pilot, key) for _ in range(ROUNDS)] for key in KEYS}
        for task in work:
            task.cancel()
    every = [one for several in times.values() for one in several]
    title = f"{count} clients{', each checked every 2 min' if checked else ''}"
    print(f"{title:42} {_row(every)}   first list: {listed * 1000:.0f} ms")
    print(f"    {'held':38} {_row(held)}")
    for key, several in times.items():
        print(f"    {key:38} {_row(several)}")


def _row(times: list[float]) -> str:
    return f"{median(times):7.1f} /{quantiles(times, n=20)[-1]:7.1f} /{max(times):7.1f}"


def start(*words: str) -> Callable[[], float]:
    """Return what measures the seconds of a program's run."""

    def run() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", *words], capture_output=True, check=True)
        return time.perf_counter() - began

    return run


def main() -> int:
    """Print the tables; returns the exit status."""
    print(f"{'a key, in ms':42}  median /   p95   /    max")
    asyncio.run(keys(10, checked=False))
    asyncio.run(keys(CLIENTS, checked=False))
    asyncio.run(keys(CLIENTS, checked=True))
    program = "from mandos.admin.monitor.main import main; main()"
    for name, run in (
        ("--version", start(program, "--version")),
        ("all imported", start("import mandos.admin.monitor.app")),
        ("Python alone", start("pass")),
    ):
        print(f"start, {name}: {median(run() for _ in range(STARTS)):.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
