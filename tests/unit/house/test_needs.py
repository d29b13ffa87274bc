# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/needs: what make says, in a line each, when this system lacks something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NEEDS = Path(__file__).parents[3] / "tools" / "needs"


def _lines(*arguments: str, user: int | None = None) -> list[str]:
    """What it says; its exit status is 1 exactly when it says something."""
    done = subprocess.run(
        ["sh", "-s", "--", *arguments],
        input=NEEDS.read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        check=False,
        user=user,
    )
    assert done.returncode == bool(done.stderr), done.stderr
    return done.stderr.splitlines()


def test_says_nothing_when_all_is_there(tmp_path: Path) -> None:
    """The Python of these tests has all that is needed."""
    assert _lines(sys.executable, str(tmp_path / "nothing")) == []
    assert _lines(sys.executable, str(tmp_path), "elsewhere") == []


def test_no_python(tmp_path: Path) -> None:
    """It is named, with the command that gets one."""
    path = str(tmp_path / "python3")
    assert _lines(path, str(tmp_path)) == [f"mandos: {path} is not installed: apt install python3"]


def test_a_program_that_is_no_python(tmp_path: Path) -> None:
    """Nor is one that is too old: neither runs a program for Python 3.11."""
    (line,) = _lines("false", str(tmp_path))
    assert "false is not Python 3.11 or newer" in line


def test_a_python_without_its_modules(tmp_path: Path) -> None:
    """As Debian has it without python3-venv; nothing is missed once libraries were fetched."""
    python = tmp_path / "python3"
    block = "import sys; sys.modules.update(ensurepip=None)"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{block}\n$2"\n', encoding="utf-8")
    python.chmod(0o755)
    (line,) = _lines(str(python), str(tmp_path / "nothing"))
    assert "apt install python3-venv" in line
    assert _lines(str(python), str(tmp_path)) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_only_root_installs_for_this_system(tmp_path: Path) -> None:
    """Said before anything is done; a folder of one's own needs no root."""
    assert "only root can install" in _lines("/bin/sh", str(tmp_path), "", user=65534)[0]
    assert "root" not in _lines("/bin/sh", str(tmp_path), "elsewhere", user=65534)[0]
