# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The times of the last boot, and the timeouts that are too short for them."""

from __future__ import annotations

import json

import pytest

from mandos.check.boot_time import LastBoot, first_report, from_properties, judged
from mandos.check.findings import Verdict

#: As ``systemctl show`` prints them on a machine with UEFI, a systemd in its initial RAM disk, and
#: a password that came late.
PROPERTIES = {
    "FirmwareTimestampMonotonic": "9500000",
    "LoaderTimestampMonotonic": "1500000",
    "InitRDTimestampMonotonic": "2000000",
    "UserspaceTimestampMonotonic": "100000000",
    "FinishTimestampMonotonic": "130000000",
}
VIEW = {"name": "alpha", "timeout": 300.0, "extended_timeout": 900.0, "interval": 120.0}


@pytest.mark.parametrize(
    ("changes", "password", "boot"),
    [
        ({}, 95.0, LastBoot(11.5, 35.0, exact=True)),
        ({}, None, LastBoot(11.5, 30.0, exact=False)),
        # No UEFI, an initial RAM disk without systemd.
        (
            {"FirmwareTimestampMonotonic": "0", "LoaderTimestampMonotonic": "0",
             "InitRDTimestampMonotonic": "0"},
            20.0, LastBoot(0.0, 110.0, exact=True),
        ),
        ({"FirmwareTimestampMonotonic": "0"}, None, LastBoot(3.5, 30.0, exact=False)),
        ({"FinishTimestampMonotonic": "0"}, 20.0, None),
        ({"FinishTimestampMonotonic": "[not set]"}, 20.0, None),
    ],
)  # fmt: skip
def test_times(changes: dict[str, str], password: float | None, boot: LastBoot | None) -> None:
    """The wait for the password does not count, and a boot that goes on has no time."""
    found = from_properties(PROPERTIES | changes, lambda _finish: password)
    assert (found is None) == (boot is None)
    if found and boot:
        assert found == pytest.approx(boot)


def test_no_properties() -> None:
    """Systemctl without a systemd prints none."""
    assert from_properties({}, lambda _finish: None) is None


def test_first_report_of_a_password() -> None:
    """A record's own time counts, not that of its arrival; damaged lines are passed over."""
    lines = [
        "no JSON", "[]", "{}", json.dumps({"__MONOTONIC_TIMESTAMP": None}),
        json.dumps({"__MONOTONIC_TIMESTAMP": "8000000", "_SOURCE_MONOTONIC_TIMESTAMP": "7000000"}),
        json.dumps({"__MONOTONIC_TIMESTAMP": "9000000"}),
    ]  # fmt: skip
    assert first_report(lines, 10.0) == pytest.approx(7.0)
    assert first_report(lines, 6.0) is None


@pytest.mark.parametrize(
    ("away", "coming", "verdicts"),
    [
        (10, 100, ["ok"]),
        (10, 720, ["ok"]),
        (10, 721, ["warning"]),  # more than 80 % of the extended timeout
        (10, 900, ["warning"]),
        (10, 901, ["broken"]),
        (180, 100, ["ok"]),
        (181, 100, ["ok", "warning"]),  # a check may be an interval ago
        (300, 100, ["ok", "warning"]),
        (301, 901, ["broken", "broken"]),
    ],
)
def test_timeouts(away: float, coming: float, verdicts: list[str]) -> None:
    """The extended one has to last until the system is up, the usual one until the request."""
    found = list(judged("keeper", VIEW, "6.1", LastBoot(away, coming, exact=True)))
    assert [finding.verdict.value for finding in found] == verdicts
    for finding in found:
        assert bool(finding.meaning and finding.cure) == (finding.verdict is not Verdict.OK)


def test_interval_counts() -> None:
    """The next check may begin an interval after the system is up."""
    view = VIEW | {"extended_timeout": 300.0}
    (found,) = judged("keeper", view, "6.1", LastBoot(0.0, 181.0, exact=True))
    assert found.verdict is Verdict.WARNING
    assert found.cure == "run mandos-ctl --extended-timeout PT9M alpha on the server"


def test_inexact_time() -> None:
    """Without a report of the password the time is a lower bound, and called so."""
    (found,) = judged("keeper", VIEW, "6.1", LastBoot(0.0, 30.0, exact=False))
    assert "at least 30 s" in found.text


def test_unknown_time() -> None:
    """It is a note: the machine comes back all the same."""
    (found,) = judged("keeper", VIEW, "6.1", None)
    assert found.verdict is Verdict.OK
    assert "the time of the last boot is unknown" in found.text
