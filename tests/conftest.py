# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: none fails because the machine is slow, and what they measured is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pytest import TerminalReporter  # noqa: PT013 - a type

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

#: Properties of tests are shown whose names begin so; each kind has a title.
TABLES = {
    "seconds to ": "boots, seconds from switching on",
    "milliseconds to ": "starts, milliseconds from the command",
    "modules at ": "starts, numbers of modules that Python has loaded",
}


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print a table for each kind of figures that there are."""
    passed = terminalreporter.stats.get("passed", [])
    for prefix, title in TABLES.items():
        rows = [(report.nodeid, _figures(report.user_properties, prefix)) for report in passed]
        rows = [row for row in rows if row[1]]
        if rows:
            terminalreporter.section(title)
        for name, figures in sorted(rows):
            terminalreporter.write_line(f"{name.rpartition('::')[2]:<60} {figures}")


def _figures(properties: list[tuple[str, object]], prefix: str) -> str:
    return "  ".join(
        f"{name.removeprefix(prefix)} {value}"
        for name, value in properties
        if name.startswith(prefix)
    )
