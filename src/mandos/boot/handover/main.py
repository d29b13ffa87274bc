# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos-handover: fetches the password early, and gives it to the waiting prompt.

For initramfs-tools with cryptsetup-initramfs.  It starts plugin-runner at once, while the machine
still looks for its disks; when the prompt opens its FIFO, the password is there already.  It runs
until SIGTERM, since another disk may ask, or the same one again after a wrong password.  It writes
its messages to the kernel's log, from where the journal takes them.
"""

from __future__ import annotations

import os
import select
import sys
import time

from mandos.boot.handover import prompts as handover_prompts
from mandos.boot.handover import screen
from mandos.boot.handover.fetch import RunnerProcess
from mandos.boot.handover.rules import Handover
from mandos.boot.kernel_log import log
from mandos.client.notices import Board
from mandos.errors import MandosError
from mandos.options import CommandLine, Option
from mandos.program import parsed_options, report, speaker, wake_on_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.boot.handover.rules import Prompt
    from mandos.boot.inotify import Inotify

_PROGRAM = "mandos-handover"
_RUNNER = "/lib/mandos/plugin-runner"

COMMAND_LINE = CommandLine(
    _PROGRAM,
    "Fetches the password with plugin-runner and gives it to the prompt of cryptsetup-initramfs.",
    (
        Option("fifo", "", "FILE", f"FIFO of the prompt ({handover_prompts.FIFO})"),
        Option("runner", "", "FILE", f"the program that fetches ({_RUNNER})"),
    ),
)


class _Work:
    """The loop: wakes up when a prompt opens the FIFO, when a fetch ends, when one is due."""

    def __init__(self, runner: str, fifo: str, ending: int) -> None:
        self._runner = runner
        self._fifo = fifo
        self._ending = ending
        self._rules = Handover()
        self._fetch: RunnerProcess | None = None
        self._watch: Inotify | None = None
        self._board = Board()
        self._told: set[str] = set()

    def run(self) -> None:
        """Work until there is something to read from ``ending``."""
        self._begin_fetch()
        # Loading ctypes takes a while, and the fetch is under way.
        from mandos.boot import inotify  # noqa: PLC0415 - as said

        folder = os.path.dirname(self._fifo)  # noqa: PTH120 - pathlib is expensive at boot
        self._watch = inotify.watch_folder(folder, inotify.OPENED | inotify.CREATED)
        while self._wait(self._serve(time.monotonic())):
            pass

    def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetch:
            self._fetch.end()
            self._fetch = None
        if self._watch:
            self._watch.close()

    def _serve(self, now: float) -> float | None:
        """Answer the waiting prompts; return the latest time for the next call."""
        prompts = handover_prompts.waiting()
        for prompt in prompts:
            password = self._rules.answer(prompt, now)
            if password is not None and self._give(password, prompt):
                self._rules.gave(prompt, password, now)
                log(f"gave the password to the prompt for {prompt.disk}")
            elif self._rules.is_wrong(prompt, now):
                self._tell_once(f"the password from the server does not unlock {prompt.disk}")
        begin = self._rules.next_fetch(prompts, now)
        if self._fetch or begin is None:
            return None
        if begin <= now:
            self._begin_fetch()
        return begin

    def _give(self, password: bytes, prompt: Prompt) -> bool:
        """Write the password to the prompt, and take its question off the boot screen."""
        question = screen.question_of(prompt.process)
        try:
            if question is not None:
                question.withdraw(log)
            return handover_prompts.give(password, self._fifo)
        finally:
            if question is not None:
                question.close()

    def _wait(self, until: float | None) -> bool:
        """Wait for something to happen; False when it is time to end."""
        watching = self._watch.fileno() if self._watch else -1
        fetching = self._fetch.descriptors if self._fetch else ()
        poll = select.poll()
        for descriptor in (self._ending, watching, *fetching):
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        times = [due for due in (until, self._board.deadline) if due is not None]
        patience = max(0.0, min(times) - time.monotonic()) * 1000 if times else None
        ready = {descriptor for descriptor, _events in poll.poll(patience)}
        if watching in ready and self._watch:
            self._watch.drain()
        if self._fetch and self._fetch.read(ready):
            self._finish_fetch(self._fetch)
        self._show(self._board.due(time.monotonic()))
        return self._ending not in ready

    def _begin_fetch(self) -> None:
        try:
            self._board.begin(time.monotonic())
            self._fetch = RunnerProcess(self._runner, self._board.feed)
        except MandosError as error:
            self._tell_once("; ".join(error.lines()))
            self._rules.fetched(None, time.monotonic())

    def _finish_fetch(self, fetch: RunnerProcess) -> None:
        self._fetch = None
        password = fetch.result()
        self._rules.fetched(password, time.monotonic())
        if password is not None:
            self._board.end()
        elif fetch.problem:
            self._tell_once(fetch.problem)

    def _tell_once(self, text: str) -> None:
        """Log the text, and show it to the person at the console."""
        if text not in self._told:
            self._told.add(text)
            log(text)
            self._show([f"{_PROGRAM}: {text}; asking again, or type it here"])

    def _show(self, lines: Sequence[str]) -> None:
        """Show lines on the console, then the prompt again, which has no line's end."""
        if lines:
            questions = map(handover_prompts.question, handover_prompts.waiting())
            sys.stderr.write("\n".join(("", *lines, "")) + "\n".join(questions))
            sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mandos-handover; returns the exit status."""
    ending = wake_on_signals()
    try:
        given = parsed_options(COMMAND_LINE, arguments)
        if given is None:
            return 0
        work = _Work(
            given.text("runner", _RUNNER), given.text("fifo", handover_prompts.FIFO), ending
        )
        try:
            work.run()
        finally:
            work.close()
    except MandosError as error:
        return report(error, speaker(_PROGRAM))
    return 0
