# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's command line: the manual page password-agent(8mandos), "OPTIONS"."""

from __future__ import annotations

import os

from mandos.errors import AdministratorError, UsageError
from mandos.options import CommandLine, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mandos.options import ParsedOptions

_QUESTIONS = "/run/systemd/ask-password"
_HELPERS = "/lib/mandos/plugin-helpers"
_CLIENT = "/lib/mandos/plugins.d/mandos-client"
_CONSOLE = "/dev/console"
_NOBODY = 65534
_LARGEST_ID = (1 << 32) - 2
#: After a wrong password an asker needs a while to find that out before it asks again.
_LINGER = 60.0
_RETRY = 10.0

COMMAND_LINE = CommandLine(
    "password-agent",
    "Answers the password questions of systemd with the password of mandos-client.",
    (
        Option("agent-directory", "d", "DIR", "directory of the questions"),
        Option("helper-directory", "", "DIR", "directory of the client's helper programs"),
        Option("plugin-helper-dir", "", "DIR", "the same as --helper-directory"),
        Option("user", "u", "NUMBER", "the client's real user ID (65534)"),
        Option("group", "g", "NUMBER", "the client's real group ID (65534)"),
        Option("linger", "", "SECONDS", "how long to wait for one more question (60)"),
        Option("retry", "", "SECONDS", "time between fetches after a wrong password (10)"),
        Option("console", "", "FILE", "terminal for the client's notices (/dev/console)"),
        Option("test", "", None, "check that everything is ready for a boot"),
    ),
    "[MANDOS_CLIENT [OPTION...]]",
)


class AgentSettings:
    """Settings of one run of the agent; valid once built.  Times are in seconds."""

    __slots__ = ("client", "console", "directory", "group", "helpers", "linger", "retry", "user")

    def __init__(self, given: ParsedOptions) -> None:
        self.directory = given.text("agent-directory", _QUESTIONS)
        if os.path.exists(self.directory) and not os.path.isdir(self.directory):  # noqa: PTH110, PTH112 - pathlib is too expensive for early boot
            raise AdministratorError(
                f"{self.directory} is not a directory", "correct --agent-directory"
            )
        older = given.text("plugin-helper-dir", _HELPERS)
        self.helpers = given.text("helper-directory", older)
        self.user = _identity(given, "user")
        self.group = _identity(given, "group")
        self.linger = given.seconds("linger", _LINGER)
        self.retry = given.seconds("retry", _RETRY)
        self.console = given.text("console", _CONSOLE)
        self.client = given.operands or [_CLIENT]

    def environment(self) -> dict[str, str]:
        """The client's environment: ours, and the directory of its helpers."""
        return {**os.environ, "MANDOSPLUGINHELPERDIR": self.helpers}


def _identity(given: ParsedOptions, name: str) -> int:
    number = given.number(name, _NOBODY)
    if not 0 < number <= _LARGEST_ID:
        raise UsageError(f"--{name} takes the ID of a user or group other than root, not {number}")
    return number
