# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program password-agent: exits with 0 when all questions have gone.

A signal that asks it to end does end it, after the client has ended: systemd takes that for a
clean end of a service, and an exit status for a failure.
"""

from __future__ import annotations

import os
import sys

from mandos.boot.agent.agent import Agent
from mandos.boot.agent.directory import Directory
from mandos.boot.agent.fetch import ClientProcess
from mandos.boot.agent.messages import Messages
from mandos.boot.agent.settings import COMMAND_LINE, AgentSettings
from mandos.errors import MandosError
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Signals:
    """The signals that asked us to end; ``wake`` can be read when there is one."""

    __slots__ = ("_writing", "received", "wake")

    def __init__(self) -> None:
        self.received: list[int] = []
        self.wake, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in _ENDING_SIGNALS:
            signal.signal(number, self._receive)

    def ended(self) -> bool:
        """Whether to end."""
        return bool(self.received)

    def close(self) -> None:
        """Take no more signals; end by the first that came, if any."""
        signal.set_wakeup_fd(-1)
        for descriptor in (self.wake, self._writing):
            os.close(descriptor)
        for number in _ENDING_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for received in self.received[:1]:
            os.kill(os.getpid(), received)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run password-agent; returns the exit status."""
    try:
        given = COMMAND_LINE.parse(sys.argv[1:] if arguments is None else arguments)
        answer = COMMAND_LINE.answer(given)
        if answer is not None:
            print(answer)  # noqa: T201 - help is for standard output
            return 0
        settings = AgentSettings(given)
        if "test" in given:
            return _test(settings)
        _run(settings)
    except MandosError as error:
        for line in error.lines():
            _say(line)
        return error.exit_code
    return 0


def _run(settings: AgentSettings) -> None:
    messages = Messages(settings.console)

    def start() -> ClientProcess:
        user = (settings.user, settings.group)
        return ClientProcess(settings.client, settings.environment(), *user, messages.writing)

    signals = _Signals()
    try:
        directory = Directory(settings.directory)
        agent = Agent(directory, start, settings.linger, settings.retry, _say, messages)
        try:
            agent.run(signals.wake, signals.ended)
        finally:
            agent.close()
            directory.close()
    finally:
        signals.close()


def _test(settings: AgentSettings) -> int:
    from mandos.boot.agent import agent_check  # noqa: PLC0415 - no boot needs it

    findings = agent_check.findings(settings)
    for finding in findings:
        print(finding)  # noqa: T201 - the report is the output of --check
    return agent_check.exit_status(findings)


def _say(message: str) -> None:
    sys.stderr.write(f"password-agent: {message}\n")
    sys.stderr.flush()
