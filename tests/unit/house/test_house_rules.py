# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules that no linter knows: licence headers, and what early boot may import."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mandos

ROOT = Path(__file__).parents[3]
MAN = sorted((ROOT / "man").iterdir())
HEADER = (
    "# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors\n"
    "# SPDX-License-Identifier: GPL-3.0-or-later\n"
)
SOURCES = sorted(
    path
    for folder in ("src", "tests", "tools", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)

#: Each of these costs milliseconds to tens of milliseconds at the worst moment (docs/design.md).
TOO_DEAR_FOR_EARLY_BOOT = {
    "argparse", "asyncio", "dataclasses", "dbus_fast", "email", "http", "inspect", "json",
    "logging", "ssl", "subprocess", "tempfile", "typing", "urllib", "zeroconf",
}  # fmt: skip
EARLY_BOOT_EXTENSIONS = {"openpgp"}
EARLY_BOOT_START = (
    "import mandos.client.main, mandos.discovery.finder, mandos.boot.runner.main; "
    "from mandos.boot.plugins import askpass_fifo, password_prompt, plymouth; "
    "import mandos.client.main, mandos.discovery.finder; "
    "import mandos.boot.agent.main, mandos.boot.handover.main, mandos.boot.inotify; "
    "from mandos.openpgp import opening; opening.load()"
)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_has_licence_header(source: Path) -> None:
    """Every source file starts with the two SPDX lines."""
    text = source.read_text(encoding="utf-8").removeprefix("#!/usr/bin/env python3\n")
    assert text.startswith(HEADER)


def test_there_is_one_version() -> None:
    """The program, pyproject.toml, the Debian package, the changelog and the manual pages agree."""
    texts = {
        "pyproject.toml": f'version = "{mandos.__version__}"\n',
        "debian/changelog": f"mandos-in-python ({mandos.__version__}) ",
        "CHANGELOG.md": f"## {mandos.__version__} ",
    }
    for name, text in texts.items():
        assert text in (ROOT / name).read_text(encoding="utf-8"), name
    named = re.compile(r"^\.TH .*Mandos in Python ([0-9.]+)", re.MULTILINE)
    found = {version for page in MAN for version in named.findall(page.read_text("utf-8"))}
    assert found == {mandos.__version__}


def _modules_after(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_early_boot_imports_little() -> None:
    """The client's start loads the standard library's cheap half and our own rooms only."""
    loaded = {name.partition(".")[0] for name in _modules_after(EARLY_BOOT_START)}
    assert not loaded & TOO_DEAR_FOR_EARLY_BOOT
    assert loaded <= set(sys.stdlib_module_names) | EARLY_BOOT_EXTENSIONS | {"mandos"}
