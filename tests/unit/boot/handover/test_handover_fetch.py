# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hand-over takes from plugin-runner as a password, with scripts in its place."""

from __future__ import annotations

import select
from pathlib import Path

import pytest

from mandos import passwords
from mandos.boot.handover.fetch import RunnerProcess


def _fetched(folder: Path, script: str) -> tuple[bytes | None, str]:
    """Read to the end as the hand-over does; returns the password, and why there is none."""
    runner = folder / "runner"
    runner.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    runner.chmod(0o755)
    fetch = RunnerProcess(str(runner), lambda _line: None)
    while True:
        ready = select.select(fetch.descriptors, [], [], 30)[0]
        assert ready
        if fetch.read(ready):
            return fetch.result(), fetch.problem


def test_the_longest_password_is_taken(tmp_path: Path) -> None:
    """Whole, and there is no problem."""
    script = f"head -c {passwords.LIMIT} /dev/zero"
    assert _fetched(tmp_path, script) == (bytes(passwords.LIMIT), "")


@pytest.mark.parametrize("size", [passwords.LIMIT + 1, 1 << 20])
def test_a_longer_one_is_refused_with_a_reason(tmp_path: Path, size: int) -> None:
    """Also when the runner succeeds."""
    password, problem = _fetched(tmp_path, f"head -c {size} /dev/zero; exit 0")
    assert password is None
    assert problem.startswith("the password has more than the 2048 bytes that systemd takes; give ")


@pytest.mark.parametrize("script", ["printf secret; exit 1", "exit 0"])
def test_a_failure_brings_no_password(tmp_path: Path, script: str) -> None:
    """Its messages are logged as they come; nothing is added to them."""
    assert _fetched(tmp_path, script) == (None, "")
