# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linters are tests: one command runs everything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
#: The first line of a script for a shell, or what tells shellcheck that a file is sourced by one.
SHELL = re.compile(rb"#!\s*/(usr/)?bin/(env +)?(ba|da)?sh\b|(#.*\n)*# shellcheck shell=")


#: What make and tools leave in a checkout; git ignores these folders by itself.
NOT_OURS = {".git", ".venv", "build", "dist"}


def _files(root: Path = ROOT) -> list[str]:
    """What belongs to the project: what git knows, or what an unpacked archive has."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (root / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        return listed.stdout.split("\0")
    inside = (path for path in root.iterdir() if path.name not in NOT_OURS)
    found = (path for top in inside for path in (top, *top.rglob("*")))
    return [str(path.relative_to(root)) for path in found]


def _is_shell(path: Path) -> bool:
    if not path.is_file():
        return False
    return path.suffix in {".sh", ".bash"} or SHELL.match(path.read_bytes()[:512]) is not None


SHELL_SCRIPTS = sorted(name for name in _files() if _is_shell(ROOT / name))


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


def test_shell_scripts_are_found() -> None:
    """By their first line, by their name, by what they tell shellcheck."""
    assert {
        "debian/mandos-boot-client.postinst",
        "dracut/90mandos/module-setup.sh",
        "initramfs-tools/conf-hooks.d/mandos",
        "tests/service/harness/vm/image.sh",
        "tools/test-setup",
    } <= set(SHELL_SCRIPTS)


def test_without_git_what_was_built_is_left_out(tmp_path: Path) -> None:
    """An archive's environment and build folders have other people's scripts."""
    for folder in (*NOT_OURS, "tools", "tools/build"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "script.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    shutil.rmtree(tmp_path / ".git")  # no checkout
    scripts = {name for name in _files(tmp_path) if name.endswith(".sh")}
    assert scripts == {"tools/script.sh", "tools/build/script.sh"}


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
