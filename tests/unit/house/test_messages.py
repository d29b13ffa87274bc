# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/messages: the list has every kind of message, with its values, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

SOURCES = {
    "errors.py": "class BadError(Exception):\n    '''An error with a message.'''\n",
    "server/late.py": """
def work(self, path, log, word):
    if path:
        log.warning("cannot read %s", path)
        log.info("read it again")
    self._say(f"{path.name} is " + ("a file" if word else "gone"))
    raise BadError(
        f"cannot read {path!r}: it is {word:g}",
        "run: chmod 644 " + path,
    )
""",
    "server/early.py": """
def other(path):
    BadError("one")
    print("not a message")
    raise ValueError("a number of bits")
""",
    "quiet.py": "x = 1\n",
}


def _list(checkout: Path) -> list[str]:
    command: list[str | Path] = [sys.executable, ROOT / "tools" / "messages", checkout]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_messages_are_listed_by_folder(tmp_path: Path) -> None:
    """Errors with their hints, warnings and console lines; not the log's information."""
    for name, text in SOURCES.items():
        path = tmp_path / "src" / "mandos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert _list(tmp_path) == [
        "",
        "server/",
        "  early.py:5: ValueError: a number of bits",
        "  late.py:4: log.warning: cannot read %s || {path}",
        "  late.py:6: _say: {path.name} is (a file | gone)",
        "  late.py:7: BadError: cannot read {path}: it is {word} || run: chmod 644 {path}",
        "",
        "4 messages",
    ]


def test_messages_of_the_source_are_listed() -> None:
    """The patterns of the script fit the source: each kind of message is there."""
    listed = "\n".join(_list(ROOT))
    for kind in ("AdministratorError", "MachineError", "UsageError", "log.error", "warn", "_say"):
        assert f": {kind}: " in listed
