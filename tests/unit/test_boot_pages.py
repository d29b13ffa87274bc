# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual pages of early boot's programs know every option, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mandos.boot.plugins import askpass_fifo, password_prompt, plymouth
from mandos.boot.runner.settings import COMMAND_LINE
from mandos.client import settings
from mandos.client.root.hooks import TIMES
from mandos.options import CommandLine

MAN = Path(__file__).parents[2] / "man"
PROGRAMS = [
    COMMAND_LINE, password_prompt.COMMAND_LINE, askpass_fifo.COMMAND_LINE, plymouth.COMMAND_LINE,
    settings.COMMAND_LINE,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: str(program.program))
def test_the_page_has_every_option(program: CommandLine) -> None:
    """Long and short names in "OPTIONS"."""
    page = (MAN / f"{program.program}.8mandos").read_text("utf-8").replace("\\-", "-")
    options = page.partition(".SH OPTIONS")[2].partition("\n.SH")[0]
    heads = " ".join(re.findall(r"^\.TP\n(.*)$", options, flags=re.MULTILINE))
    long = set(re.findall(r"--([a-z-]+)", heads))
    short = set(re.findall(r"(?<![-\w])-(\w|\?)", heads))
    assert long == {option.long for option in program.options}
    assert short == {option.short for option in program.options if option.short}


def test_the_page_has_what_network_hooks_live_by() -> None:
    """Their time limits are the code's, and every variable of their environment is told."""
    page = (MAN / "mandos-client.8mandos").read_text("utf-8")
    hooks = page.partition(".SH NETWORK HOOKS")[2].partition("\n.SH")[0]
    for mode, seconds in TIMES.items():
        told = re.search(rf"^\.B {mode}\n.* may take (\d+) seconds", hooks, flags=re.MULTILINE)
        assert told
        assert float(told[1]) == seconds
    given = settings.ClientOptions(settings.COMMAND_LINE.parse(["--connect", "::1:1"]))
    variables = {"MANDOSNETHOOKDIR", "MODE", *given.hook_variables()}
    assert set(re.findall(r"^\.B ([A-Z]+)$", hooks, flags=re.MULTILINE)) == variables
