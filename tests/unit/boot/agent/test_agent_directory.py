# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watched directory: every way in which a question can come and go tells itself."""

from __future__ import annotations

import os
import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mandos.boot.agent.directory import Directory
from mandos.errors import MachineError

PATIENCE = 30_000  # milliseconds; reached by failures only


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two levels that a test may make."""
    return tmp_path / "systemd" / "ask-password"


@pytest.fixture
def directory(path: Path) -> Iterator[Directory]:
    """A directory that exists and is watched."""
    path.mkdir(parents=True)
    watched = Directory(str(path))
    yield watched
    watched.close()


def _told(directory: Directory, milliseconds: int = PATIENCE) -> bool:
    poll = select.poll()
    poll.register(directory.fileno(), select.POLLIN)
    return bool(poll.poll(milliseconds))


def _names(directory: Directory) -> list[str]:
    """What is there, once the kernel has told of it."""
    assert _told(directory)
    directory.read_events()
    return [key[0] for key in directory.listing()]


def test_a_file_that_is_renamed_into_place_is_told(directory: Directory, path: Path) -> None:
    """As systemd does it."""
    (path / "tmp.one").touch()
    (path / "tmp.one").rename(path / "ask.one")
    assert _names(directory) == ["ask.one"]


def test_a_file_that_is_written_in_place_is_told_when_it_is_whole(
    directory: Directory, path: Path
) -> None:
    """It is another file than the one that was there half-written."""
    with (path / "ask.one").open("w") as file:
        before = directory.listing()
        assert not _told(directory, 0)
        file.write("[Ask]")
    assert _names(directory) == ["ask.one"]
    assert directory.listing() != before


@pytest.mark.parametrize("leave", [Path.unlink, lambda ask: ask.rename(ask.with_name("other"))])
def test_a_file_that_leaves_is_told(
    directory: Directory, path: Path, leave: Callable[[Path], object]
) -> None:
    """Removed, or renamed to something else."""
    (path / "ask.one").touch()
    assert _names(directory) == ["ask.one"]
    leave(path / "ask.one")
    assert _names(directory) == []


def test_only_questions_are_listed(directory: Directory, path: Path) -> None:
    """Sockets and other files are not; whatever the bytes of their names."""
    for name in (b"ask.\xff\n", b"sck.one", b"tmp.one", b"ask", b"ask."):
        (path / os.fsdecode(name)).touch()
    assert _names(directory) == [os.fsdecode(b"ask."), os.fsdecode(b"ask.\xff\n")]


def test_a_replaced_file_is_another(directory: Directory, path: Path) -> None:
    """Also when its name stays."""
    (path / "ask.one").touch()
    before = directory.listing()
    (path / "tmp.one").touch()
    (path / "tmp.one").rename(path / "ask.one")
    assert directory.listing() != before


def test_a_flood_of_files_is_bounded(directory: Directory, path: Path) -> None:
    """So many askers there never are."""
    for number in range(300):
        (path / f"ask.{number:03}").touch()
    assert len(_names(directory)) == 256


def test_a_directory_that_does_not_exist_yet_is_waited_for(path: Path) -> None:
    """Each part of its path is followed as it appears."""
    directory = Directory(str(path))
    assert directory.listing() == []
    path.parent.mkdir()
    assert _names(directory) == []
    path.mkdir()
    assert _names(directory) == []
    (path / "ask.one").touch()
    assert _names(directory) == ["ask.one"]
    directory.close()


def test_a_directory_that_appears_at_once_is_found_whole(path: Path, tmp_path: Path) -> None:
    """With a question in it, moved into place."""
    directory = Directory(str(path))
    (tmp_path / "new" / "ask-password").mkdir(parents=True)
    (tmp_path / "new" / "ask-password" / "ask.one").touch()
    (tmp_path / "new").rename(path.parent)
    assert _names(directory) == ["ask.one"]
    directory.close()


def test_a_directory_that_is_removed_and_made_again_is_followed(
    directory: Directory, path: Path
) -> None:
    """As often as that happens, and whatever part of its path went."""
    for gone in (path, path.parent, path):
        shutil.rmtree(gone)
        assert _names(directory) == []
        path.mkdir(parents=True)
        assert _names(directory) == []
        (path / "ask.one").write_text("")
        assert _names(directory) == ["ask.one"]


def test_a_directory_that_is_replaced_is_followed(
    directory: Directory, path: Path, tmp_path: Path
) -> None:
    """The watch is on the new one, not on the one that was moved away."""
    path.rename(tmp_path / "old")
    path.mkdir()
    assert _names(directory) == []
    (tmp_path / "old" / "ask.one").touch()
    assert not _told(directory, 0)
    (path / "ask.two").touch()
    assert _names(directory) == ["ask.two"]


def test_a_file_in_the_way_is_waited_out(tmp_path: Path) -> None:
    """It may be replaced by a directory."""
    (tmp_path / "questions").touch()
    directory = Directory(str(tmp_path / "questions"))
    (tmp_path / "questions").unlink()
    (tmp_path / "questions").mkdir()
    assert _names(directory) == []
    (tmp_path / "questions" / "ask.one").touch()
    assert _names(directory) == ["ask.one"]
    directory.close()


def test_what_cannot_be_watched_is_named() -> None:
    """The kernel's reason is told."""
    with pytest.raises(MachineError, match=r"cannot watch /xxx.*: File name too long"):
        Directory("/" + "x" * 300)


def test_no_descriptor_is_left(path: Path) -> None:
    """However often the watch was made anew."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    directory = Directory(str(path))
    for _ in range(5):
        path.mkdir(parents=True)
        directory.read_events()
        shutil.rmtree(path.parent)
        directory.read_events()
    directory.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
