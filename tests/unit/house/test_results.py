# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``make test-all`` writes down, and what it does not run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import results
from harness.boot_table import table
from harness.results import Result, read_results, state_of_checkout

TESTS = """
import os

def test_good(record_property):
    record_property("suite", "trixie")
    record_property("seconds to root", 12.5)

def test_bad():
    assert os.environ.get("MENDED")

def test_broken_end(broken):
    pass
"""
FIXTURE = """
import os, pytest

@pytest.fixture
def broken():
    yield
    assert os.environ.get("MENDED")
"""
RUN = """
import sys, pytest
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from harness.results import Recorder
recorder = Recorder(Path(sys.argv[2]), sys.argv[3], writes=True)
words = ["-q", "-p", "no:cacheprovider", *sys.argv[4:]]
sys.exit(pytest.main(words, plugins=[recorder]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with tests of which one is good, one fails, and one fails in the end."""
    (tmp_path / "test_some.py").write_text(TESTS, encoding="ascii")
    (tmp_path / "conftest.py").write_text(FIXTURE, encoding="ascii")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="ascii")
    return tmp_path


def _run(folder: Path, state: str, *words: str, mended: bool = False) -> tuple[int, list[Result]]:
    """Run the tests; returns the exit status, and the results that this run has written."""
    file = folder / "build" / "results.tsv"
    before = len(read_results(file))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(Path(results.__file__).parents[1]), file, state, *words],
        cwd=folder, env={"MENDED": "yes"} if mended else {}, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode, read_results(file)[before:]


def test_results_say_what_has_run(folder: Path) -> None:
    """A line has the state, the release, the result of all phases, and the figures."""
    status, rows = _run(folder, "one")
    assert status == 1
    assert {row.test.partition("::")[2]: row.result for row in rows} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_broken_end": "failed",
    }
    good = next(row for row in rows if row.result == "passed")
    assert (good.state, good.suite) == ("one", "trixie")
    assert good.properties == {"seconds to root": "12.5"}


def test_what_has_passed_is_not_run_again(folder: Path) -> None:
    """What failed is run again, another state runs all; nothing left to do is a success."""
    _run(folder, "one")
    status, rows = _run(folder, "one", mended=True)
    assert (status, len(rows)) == (0, 2)
    assert _run(folder, "one") == (0, [])
    status, rows = _run(folder, "two", mended=True)
    assert (status, len(rows)) == (0, 3)


def test_no_test_of_a_name_is_no_success(folder: Path) -> None:
    """A misspelled selection fails, whatever passed before."""
    _run(folder, "one", mended=True)
    status, rows = _run(folder, "one", "-k", "test_misspelled")
    assert (status, rows) == (pytest.ExitCode.NO_TESTS_COLLECTED, [])


def test_a_line_that_was_cut_off_is_passed_over(folder: Path) -> None:
    """A run that was killed while it wrote costs one result."""
    _run(folder, "one", mended=True)
    file = folder / "build" / "results.tsv"
    file.write_text(file.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    assert len(read_results(file)) == 2


def test_table_has_the_newest_boot_of_each_machine() -> None:
    """A row for a machine; a test that boots none has no row, and an older result gives way."""
    recorded = "generator=dracut; client=ours; layout=lvm; network=router; seconds to marker=30.5"
    test = "tests/boot/test_some.py::test_boots[trixie-dracut]"
    rows = [
        Result("one", "trixie", "then", "failed", "40.0", test, "generator=dracut"),
        Result("two", "trixie", "now", "passed", "35.0", test, recorded),
        Result("two", "bookworm", "now", "passed", "0.1", "tests/unit/test_one.py::test_one", ""),
    ]
    _header, _rule, *body = table(rows).splitlines()
    assert body == [
        "| boots | trixie | dracut | ours | lvm | - | router | - | 30.5 | passed | two |"
    ]


def test_state_is_that_of_all_files(tmp_path: Path) -> None:
    """A commit's name, unless something was changed or added since; what git ignores is nothing."""

    def git(*words: str) -> None:
        name = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / ".gitignore").write_text("build\n", encoding="ascii")
    git("add", "--all")
    git("commit", "--message", "one")
    commit = state_of_checkout(tmp_path)
    assert "+" not in commit
    (tmp_path / "build").touch()
    assert state_of_checkout(tmp_path) == commit
    (tmp_path / "new").touch()
    added = state_of_checkout(tmp_path)
    assert added.startswith(f"{commit}+")
    (tmp_path / "new").write_text("changed", encoding="ascii")
    assert state_of_checkout(tmp_path) not in {commit, added}
    (tmp_path / "new").unlink()
    assert state_of_checkout(tmp_path) == commit


def test_without_git_there_is_no_state(tmp_path: Path) -> None:
    """Results that belong to no commit could not be resumed: the message says so."""
    with pytest.raises(pytest.UsageError, match="results belong to a commit"):
        state_of_checkout(tmp_path)
