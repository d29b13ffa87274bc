# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time limits of network hooks, turned short; real programs run as hooks."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import pytest

from mandos.client.root import hooks
from mandos.client.root.hooks import Hooks

if TYPE_CHECKING:
    from pathlib import Path


class Folder:
    """A folder of hooks, and what was said about them."""

    def __init__(self, path: Path) -> None:
        path.chmod(0o755)
        self.path = path
        self.said: list[str] = []

    def add(self, name: str, text: str) -> str:
        """Put a shell script there; returns its path."""
        path = self.path / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        path.chmod(0o755)
        return str(path)

    def run(self, mode: str, interrupt: int = -1) -> None:
        """Run them all."""
        Hooks(str(self.path), {}, (self.said.append, self.said.append)).run(mode, interrupt)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder of hooks."""
    return Folder(tmp_path)


@pytest.mark.parametrize("mode", ["start", "stop"])
def test_hook_that_hangs_is_ended(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """After its time it is told to end, which one that listens does at once."""
    monkeypatch.setitem(hooks.TIMES, mode, 0.05)
    monkeypatch.setattr(hooks, "_ENDING_TIME", 3600.0)
    path = folder.add("hangs", "exec sleep 1000")
    folder.run(mode)
    assert folder.said == [
        f"running the network hook {path} {mode}",
        f"the network hook {path} {mode} was ended: it took longer than 0.05 seconds",
    ]


def test_hook_that_does_not_listen_is_killed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So is whatever it has started."""
    monkeypatch.setitem(hooks.TIMES, "start", 0.5)
    monkeypatch.setattr(hooks, "_ENDING_TIME", 0.05)
    life = tmp_path / "life"
    os.mkfifo(life)
    reading = os.open(life, os.O_RDONLY | os.O_NONBLOCK)
    try:
        folder.add("deaf", f"trap '' TERM; sleep 1000 >{life} & wait; sleep 1000; sleep 1000")
        folder.run("start")
        assert select.select([reading], [], [], 60)[0]
        assert os.read(reading, 1) == b""
    finally:
        os.close(reading)
    assert "was ended" in folder.said[-1]


def test_hooks_are_run_one_after_the_other(folder: Folder, tmp_path: Path) -> None:
    """A hook begins when the one before it has ended."""
    told = tmp_path / "told"
    told.mkdir()
    folder.add("1", f"ls {told} >{told}/first; exec >&-")
    folder.add("2", f"test -e {told}/first && touch {told}/second")
    folder.run("start")
    assert sorted(path.name for path in told.iterdir()) == ["first", "second"]


def test_no_hook_is_begun_once_the_client_is_ending(folder: Folder, tmp_path: Path) -> None:
    """The descriptor that tells of the end is looked at before each of them."""
    reading, writing = os.pipe()
    os.close(writing)
    try:
        folder.add("hook", f"touch {tmp_path}/ran")
        folder.run("start", reading)
    finally:
        os.close(reading)
    assert not (tmp_path / "ran").exists()
    assert folder.said == []


def test_missing_folder_is_no_failure(tmp_path: Path) -> None:
    """Most machines have no hooks; only --debug tells."""
    said: list[str] = []
    debug: list[str] = []
    Hooks(str(tmp_path / "none"), {}, (said.append, debug.append)).run("start")
    assert said == []
    assert "No such file or directory" in debug[0]
