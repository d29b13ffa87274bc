# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: none fails because the machine is slow, and what they measured is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from harness.postgresql import Cluster, why_no_postgresql
from harness.results import Recorder, state_of_checkout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest import Config, Parser, TerminalReporter  # noqa: PT013 - types

    from harness.postgresql import Database

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

#: Properties of tests are shown whose names begin so; each kind has a title.
TABLES = {
    "seconds to ": "boots, seconds from switching on",
    "milliseconds to ": "starts, milliseconds from the command",
    "modules at ": "starts, numbers of modules that Python has loaded",
}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A cluster that all tests of a process share: none may stop it or change its settings."""
    if (reason := why_no_postgresql()) is not None:
        pytest.skip(reason)
    with Cluster("shared", fsync=False) as cluster:
        yield cluster


@pytest.fixture
def postgresql_database(postgresql: Cluster) -> Iterator[Database]:
    """An empty database of the test's own in the cluster of all, which the role mandos owns."""
    database = postgresql.database()
    yield database
    database.drop()


def pytest_addoption(parser: Parser) -> None:
    """Add the option by which ``make test-all`` can be ended and resumed."""
    parser.addoption(
        "--results", type=Path, metavar="FILE",
        help="write a line for each test to FILE, and leave out what has passed in this state",
    )  # fmt: skip


def pytest_configure(config: Config) -> None:
    """Record results, if that is wanted; of several processes only the first writes."""
    if path := config.getoption("--results"):
        writes = not hasattr(config, "workerinput")
        config.pluginmanager.register(Recorder(path, state_of_checkout(), writes=writes))


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
