# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a checker when a client asks for one, and reports its result to the client.

The command is expanded when it runs: manual page mandos-clients.conf(5), "RUNTIME EXPANSION".
"""

from __future__ import annotations

import logging
import math
import os
import shlex
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from mandos.bus_names import client_path
from mandos.process import keep_descriptors
from mandos.server.audit.records import NEVER_CHECKED_OK
from mandos.server.checking.processes import Checkers, Run
from mandos.server.life import events
from mandos.server.life.clock import BLIND
from mandos.server.life.events import Why
from mandos.server.logs.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mandos.server.checking.processes import Supervisor
    from mandos.server.life.client import Client
    from mandos.server.life.clock import Clock
    from mandos.server.life.registry import Registry

log = logging.getLogger(__name__)

#: Tries to start a checker come every second while they fail; after a longer time none was wanted.
_LULL = timedelta(seconds=5)
#: What a shell says of a command that cannot be executed, or is not there: sh(1), EXIT STATUS.
_NOT_RUN = {126: "cannot be executed", 127: "was not found"}


class Runner(Protocol):
    """Runs checkers: ``Checkers`` for one."""

    def want(self, run: Run, urgency: float = 0.0) -> None:
        """Start this run as soon as there is room; those with a lower ``urgency`` go first."""

    def stop(self, run: Run) -> None:
        """End a run."""

    async def close(self) -> None:
        """End all runs and return when they are gone."""


class Supervision:
    """Has the clients of a registry checked, ``limit`` at once; needs a running event loop."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        limit: int,
        runner: Callable[[Supervisor, int], Runner] = Checkers,
    ) -> None:
        self._registry = registry
        self._clock = clock
        keep_descriptors()
        self._checkers = runner(self, limit)
        self._unrunnable: dict[str, int] = {}
        self._failures: dict[str, str] = {}
        self._stalls = Tally(_report_stalls)
        self._refused_since: datetime | None = None
        self._holds: dict[Run, int] = {}
        clock.on_stall = self._heard_nothing
        registry.listen(self._heard)

    async def close(self) -> None:
        """End all checkers; returns when all their processes have ended."""
        self._stalls.close()
        await self._checkers.close()

    def command(self, run: Run) -> str:
        """Return the shell command that checks this client now."""
        client = self._registry.named(run.client)
        return "" if client is None else expanded(client, self._clock.date)

    def began(self, run: Run, command: str) -> None:
        """Report to the client that its checker runs."""
        log.debug("checker of client %s: %s", run.client, command)
        if self._refused_since is not None:
            self.refused()
            self._refused_since = None
        self._holds[run] = -1 if self._clock.held else self._clock.holds
        if client := self._registry.named(run.client):
            client.checker_began(run.number, self._clock.now(), command)

    def refused(self) -> None:
        """No client loses by the time in which this machine could start no checker."""
        now = self._clock.now()
        if self._refused_since is not None and now - self._refused_since <= _LULL:
            for client in self._registry:
                client.no_checker_started(now - self._refused_since)
        self._refused_since = now

    def completed(self, run: Run, command: str, wait_status: int, words: str) -> None:
        """Tell the client what its checker found.

        A failure says nothing where the link was away meanwhile (``link_loss = hold``).
        """
        code = os.waitstatus_to_exitcode(wait_status)
        self._warn_of_unrunnable(run.client, code)
        without_link = self._holds.pop(run, self._clock.holds) != self._clock.holds
        client = self._registry.named(run.client)
        if client is not None and code != 0 and (without_link or self._clock.held):
            client.checker_voided(run.number, self._clock.now())
        elif client is not None:
            self._note_failure(client, code, words)
            client.checker_completed(run.number, wait_status, self._clock.now(), command)

    def _heard(self, event: events.Event) -> None:
        if isinstance(event, events.CheckerWanted):
            self._checkers.want(Run(event.client, event.run), self._judged_at(event.client))
        elif isinstance(event, events.CheckerStopped):
            self._holds.pop(run := Run(event.client, event.run), None)
            self._checkers.stop(run)
        elif isinstance(event, events.Removed):
            self._failures.pop(event.client, None)
        elif isinstance(event, events.Disabled) and event.why is Why.TIMEOUT:
            client, failure = self._registry.named(event.client), self._failures.get(event.client)
            if client is not None and failure:
                client.tell(events.CheckFailed(event.client, event.at, failure))

    def _note_failure(self, client: Client, code: int, words: str) -> None:
        """Keep the last words of a checker that failed; reports the first failure in a row."""
        if code == 0:
            self._failures.pop(client.name, None)
            return
        first = client.name not in self._failures
        failure = f"exit status {code}" if code > 0 else f"killed by signal {-code}"
        failure += f", saying: {words}" if words else ", without output"
        if client.life.last_checked_ok is None:
            failure = f"{NEVER_CHECKED_OK}: {failure}"
        self._failures[client.name] = failure
        if first and client.life.enabled:
            client.tell(events.CheckFailed(client.name, self._clock.now(), failure))

    def _judged_at(self, name: str) -> float:
        """Return the end of a client's time, in seconds: the earlier, the more urgent its check."""
        client = self._registry.named(name)
        return client.life.expires.timestamp() if client and client.life.expires else math.inf

    def _heard_nothing(self, seconds: float) -> None:
        """The server did nothing for so long: checkers that ran may have ended meanwhile."""
        time = timedelta(seconds=seconds)
        for client in self._registry:
            client.server_stalled(time)
        if self._refused_since is not None:
            self._refused_since += time
        if self._stalls.passes(""):
            log.warning(
                "the server stood still for %.1f s: it was stopped, its machine is overloaded,"
                " or it is under attack",
                seconds,
            )

    def _warn_of_unrunnable(self, name: str, code: int) -> None:
        """Log that the shell could not run a checker's command; once until the status changes."""
        if code not in _NOT_RUN:
            self._unrunnable.pop(name, None)
        elif self._unrunnable.get(name) != code:
            self._unrunnable[name] = code
            log.warning(
                "the checker of client %s %s: a program in its command %s",
                *(name, f"failed with status {code}", _NOT_RUN[code]),
            )


def _report_stalls(times: int, _cause: str) -> None:
    log.warning(
        "the server stood still %d more times in a minute, for %g s or more each", times, BLIND
    )


def expanded(client: Client, date: Callable[[datetime], datetime]) -> str:
    """Return the client's checker command, with its present values quoted for the shell."""
    checker = client.settings.checker
    return checker % _Values(client, date) if "%" in checker else checker


class _Values(dict[str, str]):
    """The values of a client by name, in the form that the original's checkers get."""

    def __init__(self, client: Client, date: Callable[[datetime], datetime]) -> None:
        super().__init__()
        self._client = client
        self._date = date

    def __missing__(self, name: str) -> str:
        return shlex.quote(self._value(name))

    def _value(self, name: str) -> str:
        client, settings = self._client, self._client.settings
        if name in ("key_id", "fingerprint"):
            return str(getattr(settings, name)).upper()
        if name == "enabled":
            return str(client.life.enabled)
        if name == "dbus_object_path":
            return client_path(client.name)
        if hasattr(settings, name):
            return str(getattr(settings, name))
        moment: datetime | None = getattr(client.life, name)
        return str(moment and self._date(moment).replace(tzinfo=None))
