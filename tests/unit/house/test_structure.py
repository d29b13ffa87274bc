# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/structure: the figures are right for a small source, and the picture in docs is current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: The modules of a small package, with one function of 12 lines that has a statement in 4 blocks.
SMALL = {
    "__init__.py": '"""Whoever reads this has three words more."""\n',
    "server/__init__.py": "",
    "server/main.py": "from mandos.server.high import top\nfrom mandos.server import low\n",
    "server/high/__init__.py": "",
    "server/high/top.py": "def look():\n    import mandos.server.low.bottom\n",
    "server/low/__init__.py": "",
    "server/low/bottom.py": """def deep(a):
    '''Go down.'''
    if not a:
        return
    elif len(a) > 1:
        for b in a:
            while b:
                with b:
                    b.pop()
                    break
            else:
                b.end()
    return
""",
}
CYCLE = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from mandos.server.high.top import look\n"


#: Pages whose code, requests and older sections are not text; each has 1 phrase in 4 words.
PAGES = {
    "docs/a.md": "It says what.\n\n```\nwho\n```\nNow: `whom` and ``whoever``",
    "man/a.8": (
        ".TH WHO 8\nIt says\n.BR nobody (8)\n.EX\nwhat\n.EE\n.nf\nwhat\n.fi\n"
        '\\fIwhat\\fR\\(bu now\n.\\" who\n'
    ),
    "CHANGELOG.md": "# Changes\n\n## 2\n\n- What is new\n\n## 1\n\nwho who who\n",
}


def _done(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "structure", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _run(*arguments: str | Path) -> str:
    done = _done(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Write the small source, and pages for people."""
    for name, text in SMALL.items():
        path = tmp_path / "src" / "mandos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for folder in ("docs", "man"):
        (tmp_path / folder).mkdir()
    (tmp_path / "README.md").write_text("What somebody wrote is here. " * 2, encoding="utf-8")
    return tmp_path


def test_picture_is_current() -> None:
    """After a change of imports: tools/structure --draw docs/structure.svg."""
    kept = (ROOT / "docs" / "structure.svg").read_text(encoding="utf-8")
    assert _run("--draw", "/dev/stdout") == kept, "tools/structure --draw docs/structure.svg"


def test_figures(checkout: Path) -> None:
    """Counted by hand: 2 of the 17 statements are in 4 blocks, 5 of the 19 words are counted."""
    rates = ["src 111.1", "docs 0.0", "man 0.0", "README 400.0"]
    rates += ["CONTRIBUTING 0.0", "SECURITY 0.0", "CHANGELOG 0.0"]
    assert _run(checkout).splitlines() == [
        "functions: 2, median 7, 90th percentile 12, longest 12 lines",
        "files: 7, median 1, 90th percentile 13, longest 13 lines",
        "statements in 4 blocks or more: 11.76 %",
        "server: 3 rooms on 3 floors, 3 import arrows",
        "modules in an import cycle: 0",
        "counted phrases per 1000 words: 263.2 (" + ", ".join(rates) + ")",
    ]


def test_cycle_is_counted_and_drawn(checkout: Path) -> None:
    """An import for types counts as any other."""
    before = _run("--draw", "/dev/stdout", checkout)
    with (checkout / "src/mandos/server/low/bottom.py").open("a", encoding="utf-8") as source:
        source.write(CYCLE)
    assert "modules in an import cycle: 2" in _run(checkout)
    assert _run("--draw", "/dev/stdout", checkout) != before


def test_phrases_are_few() -> None:
    """Question words that stand for nouns, in docstrings, comments and pages: docs/style.md."""
    done = _done("--phrases")
    assert done.returncode == 0, done.stdout + done.stderr


def test_phrases_are_counted_in_text_alone(checkout: Path) -> None:
    """Code, requests of a manual page and older changes do not count; the report names files."""
    for name, text in PAGES.items():
        (checkout / name).write_text(text, encoding="utf-8")
    low = checkout / "src/mandos/server/low/bottom.py"
    low.write_text('"""See ``who``, whom."""\nWHO = "what"  # nobody else\n', encoding="utf-8")
    (checkout / "README.md").write_text(f"{'word ' * 997} who who who", encoding="utf-8")
    done = _done("--phrases", checkout)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "src: 272.7 phrases per 1000 words, more than 3",
        "  mandos.server.low.bottom: 2",
        "  mandos: 1",
        "docs: 200.0 phrases per 1000 words, more than 3",
        "  a.md: 1",
        "man: 250.0 phrases per 1000 words, more than 3",
        "  a.8: 1",
        "README: 3.0 phrases per 1000 words",
        "CONTRIBUTING: 0.0 phrases per 1000 words",
        "SECURITY: 0.0 phrases per 1000 words",
        "CHANGELOG: 250.0 phrases per 1000 words, more than 3",
        "  CHANGELOG.md: 1",
    ]
