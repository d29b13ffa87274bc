# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit and property tests with newer Pythons: those of later releases of Debian."""

from __future__ import annotations

import re

import pytest

from harness import debian

#: These run linters of the developers' environment, which say the same with any Python.
LINTERS = ("tests/unit/house/test_linters.py", "tests/unit/house/test_walls.py")


@pytest.mark.packages
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("suite", "version"),
    [("trixie", "3.13"), pytest.param("forky", "3.14", marks=pytest.mark.slow)],
)
def test_unit_and_property_tests_pass(suite: str, version: str) -> None:
    """All unit and property tests pass, those of the linters excepted."""
    if (reason := debian.why_no_debian()) is not None:
        pytest.skip(reason)
    without = [f"--ignore={file}" for file in LINTERS]
    said = debian.run_tests(suite, "-v", *without, "tests/unit", "tests/property")
    assert f"Python {version}." in said
    passed = re.search(r"(\d+) passed", said)
    assert passed
    assert int(passed[1]) > 1500, said
