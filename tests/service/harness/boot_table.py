# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The boots of ``make test-all`` as a table in Markdown: ``boot_table.py FILE``.

A row for each machine: release, generator, layout of the disks, server, network, result, and
the seconds from switching on until the root was unlocked, and until it said so.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.results import Result, read_results

HEADER = (
    *("test", "Debian", "generator", "client", "layout", "server", "network"),
    *("root after s", "up after s", "result", "at"),
)
_UNKNOWN = "-"


def table(results: list[Result]) -> str:
    """The newest result of each test that has switched a machine on."""
    newest = {row.test: row for row in results if "generator" in row.properties}
    rows = sorted(map(_row, newest.values()))
    return "".join(f"| {' | '.join(row)} |\n" for row in (HEADER, ["---"] * len(HEADER), *rows))


def _row(result: Result) -> tuple[str, ...]:
    known = result.properties
    test = result.test.rpartition("::")[2].partition("[")[0].removeprefix("test_")
    names = ("generator", "client", "layout", "server", "network")
    figures = ("seconds to root", "seconds to marker")
    return (
        *(test, result.suite),
        *(known.get(name, _UNKNOWN) for name in (*names, *figures)),
        *(result.result, result.state),
    )


if __name__ == "__main__":
    print(table(read_results(Path(sys.argv[1]))), end="")  # noqa: T201 - for standard output
