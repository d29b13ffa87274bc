# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The race of the plugins: all start at once, the first that exits with 0 has the password.

One loop over poll(2) sees everything: outputs, errors, ends of processes (by pidfd), signals to us,
and the next time something is due.  A plugin that hangs delays no other.  No wall clock is used.
"""

from __future__ import annotations

import os
import select
import time

from mandos.errors import MachineError
from mandos.lean_stdlib import signal
from mandos.program import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.boot.runner.plugin import Plugin
    from mandos.boot.runner.relay import Relay
    from mandos.program import Say

TEMPORARY_FAILURE = 75  # EX_TEMPFAIL
#: Signals of a crash, not sent on purpose: a plugin that one of them ended is started again.
_MISHAPS = frozenset(
    -number
    for number in (
        *(signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS),
        *(signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGXCPU),
    )
)
#: Seconds: the pause doubles with each mishap until it is this long.
_LONGEST_PAUSE = 60.0
#: After this many temporary failures of every plugin that is left, a person is asked too.
PATIENT_TRIES = 3
#: Those that ask on the terminal themselves, and do so again on SIGCONT.
ASKING = ("password-prompt", "console")
#: Size of a pipe; more comes from processes that the plugin left behind, perhaps without end.
_LAST_PIECES = 16


class Pace:
    """Times, in seconds: until a plugin starts again, and from SIGTERM to SIGKILL."""

    __slots__ = ("grace", "pause")

    def __init__(self, pause: float = 1.0, grace: float = 10.0) -> None:
        self.pause = pause
        self.grace = grace


class Race:
    """Runs plugins until one has the password; ``console`` asks a person when they do not.

    ``wakeup`` becomes readable, with the signal's number, when a signal asks us to end.
    """

    def __init__(
        self,
        plugins: Sequence[Plugin],
        console: Plugin,
        wakeup: int,
        tell: tuple[Relay, Say, Say],
        pace: Pace | None = None,
    ) -> None:
        self._console = console
        self._wakeup = wakeup
        self._relay, self._say, self._debug = tell
        self._pace = pace or Pace()
        self._running: list[Plugin] = []
        self._due: dict[Plugin, float] = dict.fromkeys(plugins, 0.0)
        self._poll = select.poll()
        self._poll.register(wakeup, select.POLLIN)
        self._watched: dict[int, Plugin] = {}

    def run(self) -> bytearray:
        """Return the output of the first successful plugin, after asking the others to end.

        Raises Ended on a signal, MachineError when no plugin has a password.
        """
        while True:
            self._start_due()
            if not self._is_hopeful() and self._console.tries == 0:
                self._debug("asking on the console")
                self._start(self._console)
            if not (self._running or self._due):
                raise MachineError(
                    "no plugin had a password, and none was typed",
                    "plugin-runner --debug shows the work of each plugin",
                )
            winner = self._wait(self._next_due())
            if winner is not None:
                self._stop()
                return winner.take()

    def close(self) -> None:
        """End all that still runs: SIGTERM, then after the grace SIGKILL.  Nothing is left."""
        self._due.clear()
        self._stop()
        deadline = time.monotonic() + self._pace.grace
        while self._running and time.monotonic() < deadline:
            self._wait(deadline, ending=True)
        for plugin in self._running:
            self._say(f"{plugin.name} does not end: killed")
            plugin.signal(signal.SIGKILL)
        while self._running:
            self._wait(None, ending=True)
        self._relay.flush(self._pace.grace)

    def _stop(self) -> None:
        for plugin in self._running:
            plugin.signal(signal.SIGTERM)

    def _is_hopeful(self) -> bool:
        """Whether some plugin may yet succeed without a person's help."""
        running = [plugin for plugin in self._running if plugin.tries <= PATIENT_TRIES]
        waiting = [plugin for plugin in self._due if plugin.tries < PATIENT_TRIES]
        return any(plugin is not self._console for plugin in running) or bool(waiting)

    def _start_due(self) -> None:
        now = time.monotonic()
        for plugin in [plugin for plugin, due in self._due.items() if due <= now]:
            del self._due[plugin]
            self._start(plugin)

    def _start(self, plugin: Plugin) -> None:
        try:
            plugin.start()
        except (MachineError, OSError) as error:
            self._say(f"{plugin.name}: {error}")
            return
        self._running.append(plugin)
        for descriptor in (plugin.process, plugin.output, plugin.errors):
            self._poll.register(descriptor, select.POLLIN)
            self._watched[descriptor] = plugin

    def _next_due(self) -> float | None:
        return min(self._due.values(), default=None)

    def _wait(self, until: float | None, *, ending: bool = False) -> Plugin | None:
        """Wait for something to happen, and see to it; returns a plugin that has succeeded."""
        winner = None
        for descriptor in self._ready(until):
            if descriptor == self._wakeup:
                number = os.read(descriptor, 1)[0]
                if not ending:
                    raise Ended(number)
            elif descriptor in self._watched:
                plugin = self._watched[descriptor]
                if self._see_to(plugin, descriptor) == 0 and winner is None:
                    winner = plugin
        self._relay.show_halves(time.monotonic())
        return winner

    def _ready(self, until: float | None) -> list[int]:
        """Wait; returns the descriptors to look at, processes that have ended last."""
        times = [due for due in (until, self._relay.deadline()) if due is not None]
        seconds = max(0.0, min(times) - time.monotonic()) if times else None
        if self._relay.is_behind():
            seconds = min(1.0, seconds if seconds is not None else 1.0)
        # Rounded up: a wait that ends a moment too early would only be repeated.
        events = self._poll.poll(None if seconds is None else seconds * 1000 + 1)
        self._relay.flush()
        processes = {plugin.process for plugin in self._running}
        return sorted((number for number, _event in events), key=processes.__contains__)

    def _see_to(self, plugin: Plugin, descriptor: int) -> int | None:
        """Read from a plugin, or reap it; returns its exit status when it has ended."""
        if descriptor == plugin.errors:
            self._relay_errors(plugin)
        elif descriptor == plugin.output:
            self._take_output(plugin)
        else:
            return self._finish(plugin)
        return None

    def _relay_errors(self, plugin: Plugin) -> None:
        data = plugin.read_errors() if plugin.errors in self._watched else None
        if data:
            self._relay_beside_prompts(plugin, data)
        elif data is not None:
            self._forget(plugin.errors)

    def _relay_beside_prompts(self, plugin: Plugin, data: bytes) -> None:
        """Keep one plugin's messages out of another's prompt, which is then shown again."""
        asking = [one for one in self._running if one is not plugin and one.name in ASKING]
        if asking:
            self._relay.begin_line()
        self._relay.feed(plugin.name, data, time.monotonic())
        if b"\n" in data:
            for one in asking:
                one.signal(signal.SIGCONT)

    def _take_output(self, plugin: Plugin) -> None:
        try:
            if not plugin.read_output():
                self._forget(plugin.output)
        except MachineError as error:
            self._say(f"{plugin.name}: {error}; killed")
            self._forget(plugin.output)
            plugin.signal(signal.SIGKILL)

    def _finish(self, plugin: Plugin) -> int:
        """Reap a plugin that has ended; its output is in its pipes, so there is no wait."""
        if plugin.output in self._watched:
            self._take_output(plugin)
        for _ in range(_LAST_PIECES):
            self._relay_errors(plugin)
        self._relay.end(plugin.name)
        status = plugin.reap()
        self._debug(f"{plugin.name} ended with status {status}")
        if status != 0:
            plugin.forget()
        for descriptor in (plugin.process, plugin.output, plugin.errors):
            self._forget(descriptor)
        plugin.close()
        self._running.remove(plugin)
        if status == TEMPORARY_FAILURE:
            self._due[plugin] = time.monotonic() + self._pace.pause
        elif status in _MISHAPS:  # such as the kernel's, for want of memory
            pause = self._pace.pause * 2.0 ** min(plugin.tries - 1, 10)
            self._due[plugin] = time.monotonic() + min(pause, _LONGEST_PAUSE)
        return status

    def _forget(self, descriptor: int) -> None:
        if self._watched.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
