# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boots ``make test`` has time for, and which are for ``make test-all``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.vm.choices import machines
from harness.vm.images import SUITES

ROOT = Path(__file__).parents[3]
#: A boot takes about a minute.
MOST = 18


def _boots(selection: str) -> list[str]:
    """The names of the boot tests with these markers."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-m",
        selection,
        "tests/boot",
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "::" in line]


def test_make_test_boots_a_few_of_each() -> None:
    """Debian 12 and 13 with both generators; one minute each is all that ``make test`` has."""
    daily = _boots("boot and not slow")
    assert len(daily) <= MOST
    for suite in ("bookworm", "trixie"):
        for generator in ("initramfs-tools", "dracut"):
            assert [name for name in daily if f"[{suite}-{generator}]" in name]


def test_make_test_all_boots_every_release() -> None:
    """Every test that ``make test`` runs with some machine runs with each release there."""
    tests = {name.partition("[")[0] for name in _boots("boot and not slow")}
    every = _boots("boot")
    for test in tests:
        for suite in SUITES:
            assert [name for name in every if name.startswith(f"{test}[{suite}-")], (test, suite)


def test_misspelled_machine_is_an_error() -> None:
    """It would not run in ``make test``, and that would go unnoticed."""
    with pytest.raises(ValueError, match="not among the machines of the test: trixie-drakut"):
        machines("trixie-drakut")
