# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of ``make test-all``, a line for each test: a run that was ended can be resumed.

The file has one line for each test that has run: the state of the checkout, the release of Debian
that the test is about, the date, the result, the seconds it took, the test, and what it recorded.
A test that has passed at the present state is not run again.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[3]
HEADER = ("state", "suite", "date", "result", "seconds", "test", "recorded")
#: The worse of two phases of a test counts.
_WORSE = ("passed", "skipped", "failed")


class Result(NamedTuple):
    """One line: how a test has ended.  ``recorded`` has its properties, as name=value; ..."""

    state: str
    suite: str
    date: str
    result: str
    seconds: str
    test: str
    recorded: str

    @property
    def properties(self) -> dict[str, str]:
        """What the test has recorded."""
        words = (pair.partition("=") for pair in self.recorded.split("; ") if pair)
        return {name: value for name, _, value in words}


def read_results(path: Path) -> list[Result]:
    """All results of a file; none when there is no file yet."""
    if not path.exists():
        return []
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    # The last line of a run that was killed may be a part of one.
    return [Result(*row) for row in rows if len(row) == len(HEADER) and tuple(row) != HEADER]


def state_of_checkout(root: Path = ROOT) -> str:
    """The commit; with changes that are not committed, also the start of the tree's name in git."""
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    with tempfile.TemporaryDirectory() as folder:
        index = f"{folder}/index"
        present = _git(root, "rev-parse", "--path-format=absolute", "--git-path", "index")
        shutil.copyfile(present, index)
        _git(root, "add", "--all", index=index)
        tree = _git(root, "write-tree", index=index)
    return commit if tree == _git(root, "rev-parse", "HEAD^{tree}") else f"{commit}+{tree[:12]}"


def _git(root: Path, *words: str, index: str = "") -> str:
    environment = dict(os.environ) | ({"GIT_INDEX_FILE": index} if index else {})
    done = subprocess.run(
        ["git", *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise pytest.UsageError(
            f"results belong to a commit, and git does not know that of {root}: "
            f"{done.stderr.strip()} (run it in a git checkout, or leave --results out)"
        )
    return done.stdout.strip()


class Recorder:
    """The plugin of pytest that leaves out what has passed, and writes down the rest."""

    def __init__(self, path: Path, state: str, *, writes: bool) -> None:
        self._path = path
        self._state = state
        self._writes = writes
        self._results: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self.left_out = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what has passed, of what was asked for."""
        last = {row.test: row for row in read_results(self._path) if row.state == self._state}
        passed = {test for test, row in last.items() if row.result == "passed"}
        done = [item for item in items if item.nodeid in passed]
        items[:] = [item for item in items if item.nodeid not in passed]
        self.left_out = len(done)
        if done:
            config.hook.pytest_deselected(items=done)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line when a test has ended, with all that it puts away."""
        test = report.nodeid
        known = (self._results.get(test, "passed"), report.outcome)
        self._results[test] = max(known, key=_WORSE.index)
        self._seconds[test] = self._seconds.get(test, 0.0) + report.duration
        if report.when == "teardown" and self._writes:
            self._write(test, dict(report.user_properties))

    def _write(self, test: str, properties: dict[str, object]) -> None:
        suite = str(properties.pop("suite", None) or _this_suite())
        row = Result(
            *(self._state, suite, datetime.now(UTC).isoformat(timespec="seconds")),
            *(self._results.pop(test), f"{self._seconds.pop(test):.1f}", test),
            "; ".join(f"{name}={value}" for name, value in properties.items()),
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows: Iterable[tuple[str, ...]] = [row] if self._path.exists() else [HEADER, row]
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines("\t".join(_plain(field) for field in row) + "\n" for row in rows)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Nothing left to run is a success, when all has passed before."""
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output["left_out"] = self.left_out
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.left_out:
            session.exitstatus = pytest.ExitCode.OK

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - xdist has no types
        """One of several processes has ended, which have all left out the same."""
        self.left_out = max(self.left_out, getattr(node, "workeroutput", {}).get("left_out", 0))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the results are, and which of them are not as they should be."""
        rows = {row.test: row for row in read_results(self._path) if row.state == self._state}
        counts = [f"{sum(row.result == word for row in rows.values())} {word}" for word in _WORSE]
        terminalreporter.section("results")
        terminalreporter.write_line(f"{self._path} at {self._state}: {', '.join(counts)}")


def _plain(field: str) -> str:
    return " ".join(field.split())


def _this_suite() -> str:
    """The release of the system on which the tests run."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "unknown")
    except OSError:
        return "unknown"
