# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linters are tests: one command runs everything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SHELL_SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in (".ci", "tools", "initramfs-tools", "dracut", "examples")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.read_bytes()[:64].startswith((b"#!/bin/sh", b"#!/bin/bash"))
)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def test_ruff_finds_nothing() -> None:
    """Every rule of ruff holds, except those that pyproject.toml lists with a reason."""
    _run(str(BIN / "ruff"), "check", "--quiet", ".")


def test_ruff_format_changes_nothing() -> None:
    """The source is formatted."""
    _run(str(BIN / "ruff"), "format", "--quiet", "--check", ".")


def test_mypy_strict_is_content() -> None:
    """Every function is annotated, and the types agree."""
    _run(str(BIN / "mypy"))


def test_imports_run_downward() -> None:
    """The rooms import only what lies below them (pyproject.toml, tool.importlinter)."""
    _run(str(BIN / "lint-imports"), "--no-cache")


@pytest.mark.parametrize("script", SHELL_SCRIPTS)
def test_shell_scripts_are_clean(script: str) -> None:
    """Shellcheck finds nothing in a shell script."""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (tools/test-setup installs it when root)")
    _run("shellcheck", script)


@pytest.mark.parametrize("page", sorted((ROOT / "man").iterdir()), ids=lambda page: page.name)
def test_manual_pages_are_clean(page: Path) -> None:
    """Groff has nothing to complain about in a manual page."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed (tools/test-setup installs it when root)")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
