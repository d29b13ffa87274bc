# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The start script of early-boot programs, run for real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mandos.boot.image.launcher import launcher
from mandos.errors import AdministratorError

#: A program that says how it was started, and wants its output written although it is not flushed.
PROGRAM = """
import sys

def main():
    print(sys.argv[1:], sys.flags.isolated, sys.flags.no_site, "site" in sys.modules, sys.path[0])
    return 42
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script for a program of this test."""
    folder = tmp_path / "it's a place"
    folder.mkdir()
    script = folder / "program"
    script.write_text(launcher("asked.program", [str(folder)], sys.executable), encoding="utf-8")
    script.chmod(0o755)
    (folder / "asked").mkdir()
    (folder / "asked" / "program.py").write_text(PROGRAM, encoding="utf-8")
    return script


def test_program_gets_its_arguments_and_hands_its_status_on(script: Path) -> None:
    """Arguments, exit status and buffered output are the program's; the start is isolated."""
    done = subprocess.run([script, "--one", "two words"], capture_output=True, check=False)
    assert done.stderr == b""
    assert done.stdout.decode() == f"['--one', 'two words'] 1 1 False {script.parent}\n"
    assert done.returncode == 42


def test_environment_does_not_lead_elsewhere(script: Path, tmp_path: Path) -> None:
    """PYTHONPATH and the current directory put nothing in the program's place."""
    (tmp_path / "asked.py").write_text("raise SystemExit(7)", encoding="utf-8")
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([script], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 42


def test_nothing_is_left_beside_the_program(script: Path) -> None:
    """No byte-compiled files are written."""
    subprocess.run([script], capture_output=True, check=False)
    assert list(script.parent.rglob("*.pyc")) == []


@pytest.mark.parametrize("python", ["python3", "/usr/bin/my python", "/" + 250 * "p"])
def test_interpreter_that_a_script_cannot_name(python: str) -> None:
    """What the kernel would not run is refused when the script is made."""
    with pytest.raises(AdministratorError):
        launcher("asked.program", ["/usr/lib/mandos/python"], python)


def test_relative_folder_is_refused() -> None:
    """A relative path would depend on where the program is started."""
    with pytest.raises(AdministratorError, match="absolute"):
        launcher("asked.program", ["lib"])
