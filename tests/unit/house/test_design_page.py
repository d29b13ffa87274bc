# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/design.md: its listing has every room, and its table has every wall."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "mandos"
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
#: An entry: two spaces for each level, then the name of a folder or a module.
ENTRY = re.compile(r"^((?:  )+)(\w+(?:/|\.py)) ", re.MULTILINE)


def _listed() -> set[str]:
    """Return the paths below src/mandos that the listing names; folders end with a slash."""
    listing = PAGE.partition("\nsrc/mandos/\n")[2].partition("\n```\n")[0]
    found: set[str] = set()
    above: list[str] = []
    for indentation, name in ENTRY.findall(listing):
        level = len(indentation) // 2 - 1
        assert level <= len(above), name
        above = [*above[:level], name]
        found.add("".join(above))
    return found


def test_every_room_is_listed() -> None:
    """Folders at every level, and the single modules of the top level; no room of the past."""
    folders = {
        f"{path.parent.relative_to(PACKAGE)}/"
        for path in PACKAGE.rglob("__init__.py")
        if path.parent != PACKAGE
    }
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert _listed() == folders | modules


def test_every_wall_is_listed() -> None:
    """By the identifier of its contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {one["id"] for one in settings["tool"]["importlinter"]["contracts"]}
    walls = PAGE.partition("\n## Walls\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", walls, re.MULTILINE)) == contracts
