# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about a server's view of this machine."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mandos.check.findings import Verdict
from mandos.check.view_findings import judged, wait_for_approval

USUAL = {
    "name": "alpha", "enabled": True, "overdue": False, "seconds_left": 300.0, "last_check": 1.5,
    "timeout": 300.0, "extended_timeout": 900.0, "approved_by_default": True,
    "approval_delay": 0.0, "verdict": None, "verdict_seconds": None,
}  # fmt: skip
APPROVED = {"approved_by_default": False, "verdict": True}
CASES: list[tuple[dict[str, Any], Verdict, str]] = [
    ({}, Verdict.OK, "is enabled, with 300 s left"),
    ({"enabled": False}, Verdict.BROKEN, "is disabled"),
    ({"overdue": True}, Verdict.BROKEN, "is overdue"),
    # A person has time to object.
    ({"approval_delay": 120.0}, Verdict.OK, "waits 120 s for an objection"),
    ({"approval_delay": 121.0}, Verdict.NOT_SURE, "the check waits 120 s at most"),
    ({"approval_delay": 3599.0}, Verdict.NOT_SURE, "the check waits 120 s at most"),
    ({"approval_delay": 3600.0}, Verdict.BROKEN, "waits 3600 s for a person"),
    ({"approval_delay": 3600.0, "verdict": True, "verdict_seconds": 5.0}, Verdict.OK, "enabled"),
    # A person has to approve.
    ({"approved_by_default": False}, Verdict.BROKEN, "refused without an approval"),
    ({"approved_by_default": False, "approval_delay": 60.0}, Verdict.BROKEN,
     "needs an approval for each request"),
    (APPROVED | {"verdict_seconds": 600.0}, Verdict.WARNING, "lasts 600 s"),
    (APPROVED | {"verdict_seconds": 599.0}, Verdict.BROKEN, "lasts 599 s"),
    (APPROVED | {"verdict_seconds": 600.0, "enabled": False}, Verdict.BROKEN, "is disabled"),
    # A person has denied.
    ({"verdict": False, "verdict_seconds": 8.0}, Verdict.NOT_SURE, "has denied"),
    ({"verdict": False, "approved_by_default": False}, Verdict.NOT_SURE, "has denied"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "verdict", "text"), CASES)
def test_verdict(changes: dict[str, Any], verdict: Verdict, text: str) -> None:
    """All but a finding that is ok has a meaning and a cure."""
    finding = judged("keeper", USUAL | changes, "6.1")
    assert (finding.verdict, finding.subject) == (verdict, "6.1")
    assert finding.text.startswith("keeper: client alpha ") or "alpha:" in finding.text
    assert text in finding.text
    assert bool(finding.meaning and finding.cure) == (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 0.0),
        ({"approval_delay": 30.0}, 30.0),
        ({"approval_delay": 30.0, "verdict": True}, 0.0),
    ],
)
def test_wait(changes: dict[str, Any], seconds: float) -> None:
    """The server answers at once if a verdict is in force."""
    assert wait_for_approval(USUAL | changes) == seconds


@pytest.mark.parametrize("value", [None, "x", [], {}, -1, math.inf, math.nan, 10**400])
@pytest.mark.parametrize("field", USUAL)
def test_lies(field: str, value: object) -> None:
    """A field of any type leads to a finding."""
    judged("keeper", USUAL | {field: value}, "6.1")
    assert wait_for_approval(USUAL | {field: value}) >= 0


def test_view_of_an_older_server() -> None:
    """One that tells no verdicts: without an approval delay nothing is missing."""
    view = {field: value for field, value in USUAL.items() if not field.startswith("verdict")}
    assert judged("keeper", view, "6.1").verdict is Verdict.OK


def test_name_for_a_terminal() -> None:
    """A name that steers the terminal is shown without that, and cut off."""
    finding = judged("keeper", USUAL | {"name": "\x1b[2Ja\nb" + 300 * "c"}, "6.1")
    assert "\x1b" not in finding.text
    assert "client [2Jabc" in finding.text
    assert len(finding.text) < 350
