# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the administrator's files: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mandos.errors import AdministratorError
from mandos.server.config import files
from mandos.server.config.files import list_folder, quoted, read_file, shown


def _write_after_opening(path: Path, times: int, patch: pytest.MonkeyPatch) -> None:
    """Let somebody else add to the file each time that it has been opened, so many times."""
    check, calls = files._check, iter(range(2 * times))

    def checking(checked: Path, status: os.stat_result, limit: int) -> None:
        if next(calls, 0) % 2:  # the second look of a reading is at the open file
            path.write_bytes(path.read_bytes() + b"more")
        check(checked, status, limit)

    patch.setattr(files, "_check", checking)


def test_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody is writing is read again, until it stays as it is."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    _write_after_opening(path, 3, monkeypatch)
    assert read_file(path, 100).data == b"xmoremoremore"


def test_file_that_never_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends even when the writing does not."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    _write_after_opening(path, 1000, monkeypatch)
    with pytest.raises(AdministratorError, match="file: it changed during each of 5 tries"):
        read_file(path, 10000)


def test_limit(tmp_path: Path) -> None:
    """The limit is the largest size that is read."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5).data == b"12345"
    with pytest.raises(AdministratorError, match="is larger than 4 bytes"):
        read_file(path, 4)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "\udcff\ud800"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    """Whatever the name, the error is the administrator's."""
    with pytest.raises(AdministratorError, match="cannot read"):
        read_file(tmp_path / name, 5)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """A missing directory has no names; neither has one in what is no directory."""
    (tmp_path / "file").touch()
    assert list_folder(tmp_path / "missing") == list_folder(tmp_path / "file/below") == []


def test_paths_in_messages() -> None:
    """Messages and commands never hold control characters, nor bytes that are no text."""
    assert shown(Path("/a/b c.conf")) == "/a/b c.conf"
    assert shown(Path("/a\n\x1b[2J")) == "'/a\\n\\x1b[2J'"
    assert shown(Path("/\udcff")) == "'/\\udcff'"
    assert quoted(Path("/a/b c.conf")) == "'/a/b c.conf'"
