# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin password-prompt: asks on the console (manual page password-prompt(8mandos))."""

from __future__ import annotations

import os

from mandos import process
from mandos.boot.plymouthd import find_plymouthd
from mandos.boot.terminal import ask, disk_prompt
from mandos.options import CommandLine, Option
from mandos.program import NOT_HERE, keep_quiet, print_password, run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mandos.options import ParsedOptions
    from mandos.program import Say

COMMAND_LINE = CommandLine(
    "password-prompt",
    "Asks for a password on the terminal and prints it.",
    (
        Option("prefix", "p", "PREFIX", "show this before the prompt"),
        Option("prompt", "", "PROMPT", "use this text instead of the disk's name"),
        Option("debug", "", None, "log each step on standard error"),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run password-prompt; returns the exit status."""
    return run_program(COMMAND_LINE, _work, arguments)


def prompt_text(given: ParsedOptions, environment: Mapping[str, str]) -> str:
    """The whole prompt, as it stands before the cursor."""
    prefix = f"{given.text('prefix', '')} " if "prefix" in given else ""
    prompt = given.text(
        "prompt", disk_prompt(environment, nameless="Enter passphrase to unlock the disk")
    )
    return f"{prefix}{prompt}: "


def _work(given: ParsedOptions, say: Say) -> int:
    debug = say if "debug" in given else keep_quiet
    daemon = find_plymouthd()
    if daemon is not None:
        debug(f"plymouthd runs (process {daemon}): the boot screen asks instead")
        return NOT_HERE
    process.forbid_tracing()  # other plugins run as the same user
    debug("asking on the terminal")
    return print_password(ask(prompt_text(given, os.environ)))
