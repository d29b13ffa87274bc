# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that strangers cause are bounded: so many pass in an interval, the others are counted."""

from __future__ import annotations

import asyncio

from mandos.server.logs import tally
from mandos.server.logs.tally import Tally


async def test_so_many_pass_and_the_others_are_reported_together() -> None:
    """With the cause of most of them; then an interval begins anew."""
    reported = asyncio.Event()
    reports: list[tuple[int, str]] = []

    def report(times: int, cause: str) -> None:
        reports.append((times, cause))
        reported.set()

    one = Tally(report, free=2, interval=0.01)
    passed = [one.passes(cause) for cause in ("a", "b", "c", "b", "b", "a")]
    assert passed == [True, True, False, False, False, False]
    await reported.wait()
    assert reports == [(4, "b")]
    assert one.passes("a")
    one.close()
    assert len(reports) == 1


async def test_causes_are_bounded() -> None:
    """Ever new ones do not fill the memory."""
    reports: list[tuple[int, str]] = []
    one = Tally(lambda times, cause: reports.append((times, cause)), free=0)
    for number in range(2 * tally._CAUSES + 10):
        one.passes(str(number))
    assert len(one._causes) == tally._CAUSES + 1
    one.close()
    assert reports == [(2 * tally._CAUSES + 10, "others")]
