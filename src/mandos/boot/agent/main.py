# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program password-agent: exits with 0 when all questions have gone.

A signal that asks it to end does end it, after the client has ended: systemd takes that for a
clean end of a service, and an exit status for a failure.
"""

from __future__ import annotations

from mandos.boot.agent.agent import Agent
from mandos.boot.agent.directory import Directory
from mandos.boot.agent.fetch import ClientProcess
from mandos.boot.agent.messages import Messages
from mandos.boot.agent.settings import COMMAND_LINE, AgentSettings
from mandos.errors import MandosError
from mandos.program import end_by_signal, parsed_options, report, speaker, wake_on_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_say = speaker(COMMAND_LINE.program)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run password-agent; returns the exit status."""
    try:
        given = parsed_options(COMMAND_LINE, arguments)
        if given is None:
            return 0
        settings = AgentSettings(given)
        if "test" in given:
            return _test(settings)
        _run(settings)
    except MandosError as error:
        return report(error, _say)
    return 0


def _run(settings: AgentSettings) -> None:
    wakeup = wake_on_signals()
    messages = Messages(settings.console)

    def start() -> ClientProcess:
        user = (settings.user, settings.group)
        return ClientProcess(settings.client, settings.environment(), *user, messages.writing)

    try:
        directory = Directory(settings.directory)
        agent = Agent(directory, start, settings.linger, settings.retry, _say, messages)
        try:
            agent.run(wakeup)
        finally:
            agent.close()
            directory.close()
    finally:
        end_by_signal(wakeup)


def _test(settings: AgentSettings) -> int:
    from mandos.boot.agent import agent_check  # noqa: PLC0415 - no boot needs it

    findings = agent_check.findings(settings)
    for finding in findings:
        print(finding)  # noqa: T201 - the report is the output of --check
    return agent_check.exit_status(findings)
