# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new client setting takes the places that CONTRIBUTING.md lists, and no other.

A setting is added to a copy of the project.  The tests of settings pass there, and fail as soon as
one of the places is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]


class Place(NamedTuple):
    """A file, and the text that a new setting adds to it before another one."""

    file: str
    before: str
    added: str


PLACES = (
    Place(
        "src/mandos/client_settings.py",
        "\n    def __post_init__",
        """\
    rack_name: str = field(
        default="",
        metadata=_row(
            ValueKind.TEXT,
            CtlOption(("--rack-name",), "TEXT", "name of the rack"),
            for_checkers=True,
        ),
    )
""",
    ),
    Place(
        "man/mandos-clients.conf.5",
        ".SH EXPANSION",
        '.TP\n.BI "rack_name = " TEXT\nThe name of the rack.\nEmpty by default.\n',
    ),
    Place(
        "conf/clients.conf",
        "# Whether a new client starts enabled.",
        "# The name of the rack.\n#rack_name =\n\n",
    ),
    Place(
        "man/mandos-ctl.8",
        ".TP\n.BR \\-A",
        '.TP\n.BR \\-\\-rack\\-name " \\fITEXT\\fR"\nThe name of the rack.\n',
    ),
)
#: A checker may refer to this setting, which the manual page says in a list.
LISTED = Place("man/mandos-clients.conf.5", '" and " timeout', '", " rack_name ')
#: The tests that compare rows, programs and pages.
TESTS = (
    "tests/integration/test_client_settings.py",
    "tests/unit/server/config/test_conf_examples.py",
    "tests/unit/admin/ctl/test_ctl_command_line.py",
)


def _add(tree: Path, place: Place) -> None:
    path = tree / place.file
    before, found, after = path.read_text(encoding="utf-8").partition(place.before)
    assert found, place
    path.write_text(before + place.added + found + after, encoding="utf-8")


def _tested(tree: Path, *without: str) -> subprocess.CompletedProcess[str]:
    """Run the tests in a copy that has the setting in all places but these."""
    for name in ("src", "man", "conf", "pyproject.toml", *TESTS):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    for place in (*PLACES, LISTED):
        if place.file not in without:
            _add(tree, place)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_places_are_enough(tmp_path: Path) -> None:
    """The setting is read, saved, restored, reported, changed, shown and documented."""
    done = _tested(tmp_path)
    assert done.returncode == 0, done.stdout
    for test in ("is_read", "is_saved_and_restored", "reload_is_reported", "is_shown"):
        assert f"::test_{test}[rack_name] PASSED" in done.stdout
    assert "::test_mandos_ctl_changes_it[rack_name---rack-name] PASSED" in done.stdout


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.file)
def test_each_place_is_needed(place: Place, tmp_path: Path) -> None:
    """A setting that is left out of one place fails a test."""
    done = _tested(tmp_path, place.file)
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout


def test_contributing_lists_the_places() -> None:
    """In the order of this test; at most four."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## Adding a client setting\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)
    assert listed == [place.file for place in PLACES]
    assert len(listed) <= 4
