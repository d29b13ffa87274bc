# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test that the threat model names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMED = re.findall(
    r"`((?:\w+/)+\w+\.py)::(\w+)`", (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
)


def test_the_threat_model_names_tests() -> None:
    """It is a table of claims, each with a test."""
    assert len(NAMED) > 20


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_named_test_exists(file: str, name: str) -> None:
    """Under the very name."""
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"^((async )?def {name}\(|{name} = )", text, re.MULTILINE)
