# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions are compared as systemd-analyze compare-versions does."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mandos.check.loader.version_order import compare

#: The examples of the specification, and of systemd-analyze(1) of systemd 257: older, newer.
OLDER = [
    ("6.1.0-9", "6.1.0-25"), ("bar-123", "foo-123"), ("123", "123a"), ("123", "123.a"),
    ("123.a", "123.b"), ("123.a", "123a"), ("A", "a"), ("", "0"), ("0", "0."), ("0", "0.0"),
    ("~", "0"), ("~", ""), ("1_", "1.2"), ("1.3.3", "1_2_3"), ("1+", "1.2"), ("1.3.3", "1+2+3"),
    ("1~rc1", "1"), ("1", "1^"), ("1^a", "1.2"), ("1-1", "1.1"), ("1-1", "1^1"), ("a", "0"),
    ("^", "^0"), ("6.12.118+deb13", "6.12.118+deb14"), ("9" * 30, "1" + "0" * 30),
]  # fmt: skip
EQUAL = [("11", "11"), ("11é", "11ö"), ("1_", "1"), ("_1", "1"), ("1+", "1"), ("01", "1"), ("", "")]
VERSIONS = st.text("019aAbzZ~^.-_+ é²", max_size=8)


@pytest.mark.parametrize(("older", "newer"), OLDER)
def test_older_is_less(older: str, newer: str) -> None:
    """The order holds from both sides."""
    assert compare(older, newer) < 0
    assert compare(newer, older) > 0


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_same_versions(one: str, other: str) -> None:
    """Separators, other alphabets and leading zeros make no difference."""
    assert compare(one, other) == 0


@given(VERSIONS, VERSIONS)
def test_order_has_two_sides(one: str, other: str) -> None:
    """Every pair has an answer, and the opposite one when it is turned round."""
    forward, backward = compare(one, other), compare(other, one)
    assert (forward > 0, forward < 0) == (backward < 0, backward > 0)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not installed: systemd")
@pytest.mark.parametrize(("older", "newer"), [pair for pair in OLDER if all(pair)])
def test_real_program_agrees(older: str, newer: str) -> None:
    """The installed systemd says the same, with its words for an exit status."""
    done = subprocess.run(
        ["systemd-analyze", "compare-versions", "--", older, "lt", newer],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
