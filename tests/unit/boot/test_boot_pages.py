# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual pages of early boot's programs know every option, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mandos.boot.handover.main import COMMAND_LINE as HANDOVER
from mandos.boot.image.main import COMMAND_LINE as IMAGE
from mandos.boot.plugins import askpass_fifo, password_prompt, plymouth
from mandos.boot.runner.settings import COMMAND_LINE, read_settings, split_config
from mandos.check.main import COMMAND_LINE as CHECK
from mandos.client import settings
from mandos.client.root.hooks import TIMES
from mandos.options import CommandLine

MAN = Path(__file__).parents[3] / "man"
PROGRAMS = [
    COMMAND_LINE, password_prompt.COMMAND_LINE, askpass_fifo.COMMAND_LINE, plymouth.COMMAND_LINE,
    settings.COMMAND_LINE, IMAGE, HANDOVER, CHECK,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: str(program.program))
def test_the_page_has_every_option(program: CommandLine) -> None:
    """Long and short names in "OPTIONS"."""
    (file,) = MAN.glob(f"{program.program}.8*")
    page = file.read_text("utf-8").replace("\\-", "-")
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


def test_the_page_of_the_configuration_file_is_true(tmp_path: Path) -> None:
    """plugin-runner.conf(5mandos) names options that exist, and its example is read as it is."""
    page = (MAN / "plugin-runner.conf.5mandos").read_text("utf-8").replace("\\-", "-")
    options = page.partition(".SH OPTIONS")[2].partition("\n.SH")[0]
    heads = " ".join(re.findall(r"^\.TP\n(.*)$", options, flags=re.MULTILINE))
    assert set(re.findall(r"--([a-z-]+)", heads)) <= {row.long for row in COMMAND_LINE.options}
    file = tmp_path / "plugin-runner.conf"
    file.write_text(page.rpartition(".EX\n")[2].partition(".EE")[0], encoding="utf-8")
    problems: list[str] = []
    given = COMMAND_LINE.parse([f"--config-file={file}"])
    read = read_settings(given, problems.append)
    assert problems == []
    assert len(split_config(file.read_text("utf-8"))) == 3
    assert read.arguments("mandos-client") == ["--connect=fe80::1%eth0:4711"]
    assert not read.starts("askpass-fifo")
