# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that docstrings, comments and pages name exist under that name."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "mandos"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = [path for path in SOURCES if path.name == "__init__.py"]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
#: A file of Python, perhaps with its folders; in capitals it stands for any name.
FILE = re.compile(r"[\w/-]*\w\.py\b")
#: A name between backquotes, perhaps of a module.
QUOTED = re.compile(r"``([a-z_]+(?:\.[a-z_]+)*)``")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _texts(source: Path) -> Iterator[str]:
    """Yield the docstrings and the comments of a source file."""
    text = source.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def _exists(name: str, folder: Path) -> bool:
    """Return whether a folder, or one above it up to the checkout, has this file."""
    return any((above / name).is_file() for above in (folder, *folder.parents[:8]))


def test_files_that_sources_name_exist() -> None:
    """Named from the source's own folder, or from one above it."""
    gone = [
        f"{source.relative_to(ROOT)}: {name}"
        for source in SOURCES
        for text in _texts(source)
        for name in FILE.findall(text)
        if not _exists(name, source.parent)
    ]
    assert not gone


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_names_in_the_docstring_of_a_package_are_its_modules(package: Path) -> None:
    """Or they are packages of the top; after a dot there may be a name inside the module."""
    text = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    for name in QUOTED.findall(text):
        if not name.endswith(".py"):
            way = Path(name.removeprefix("mandos.").replace(".", "/"))
            assert any(
                (folder / module).with_suffix(suffix).exists()
                for folder in (package.parent, PACKAGE)
                for module in (way, *way.parents[:-1])
                for suffix in ("", ".py")
            ), name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_that_pages_name_exist(page: Path) -> None:
    """By their own name, or with the folders that lead to them."""
    known = {
        path.relative_to(ROOT).as_posix()
        for folder in ("src", "tests", "benchmarks", "examples", "tools")
        for path in (ROOT / folder).rglob("*.py")
    }
    for name in FILE.findall(page.read_text(encoding="utf-8")):
        if "NAME" not in name:
            assert any(f"/{path}".endswith(f"/{name.lstrip('/')}") for path in known), name
