# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows in the end what boot tests have measured, also when several processes ran them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest import TerminalReporter  # noqa: PT013 - a type


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the table of seconds."""
    passed = terminalreporter.stats.get("passed", [])
    rows = [(report.nodeid, _seconds(report.user_properties)) for report in passed]
    rows = [row for row in rows if row[1]]
    if rows:
        terminalreporter.section("boots, seconds from switching on")
    for name, seconds in sorted(rows):
        terminalreporter.write_line(f"{name.rpartition('::')[2]:<60} {seconds}")


def _seconds(properties: list[tuple[str, object]]) -> str:
    return "  ".join(
        f"{name.removeprefix('seconds to ')} {value}"
        for name, value in properties
        if name.startswith("seconds to ")
    )
