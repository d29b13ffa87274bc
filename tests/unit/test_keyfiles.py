# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading key files: what is wrong with one, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mandos import keyfiles
from mandos.errors import AdministratorError
from mandos.keyfiles import LIMIT, default_folder, exposure, read_key_file


def test_reads_the_whole_file(tmp_path: Path) -> None:
    """The bytes come back as they are."""
    path = tmp_path / "key"
    path.write_bytes(b"key\n")
    assert read_key_file(str(path)) == b"key\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (bytes(LIMIT + 1), "too large"),
    ],
)
def test_unusable_file_is_named(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    """Missing, empty and huge files are the administrator's errors, with the file's name."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AdministratorError, match=complaint) as caught:
        read_key_file(str(path))
    assert str(path) in str(caught.value)
    assert "mandos-keygen" in str(caught.value.hint)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Other folders in the place of the two that keys may be in; neither exists yet."""
    boot, system = tmp_path / "conf", tmp_path / "etc"
    monkeypatch.setattr(keyfiles, "BOOT_FOLDER", str(boot))
    monkeypatch.setattr(keyfiles, "SYSTEM_FOLDER", str(system))
    monkeypatch.setattr(keyfiles, "_OTHER_FOLDER", f"the keys are in {system}")
    return boot, system


def test_keys_are_where_this_machine_has_them(folders: tuple[Path, Path]) -> None:
    """An initial RAM disk has its own folder, and it wins; without any, it is the one missed."""
    boot, system = folders
    assert default_folder() == str(boot)
    system.mkdir()
    assert default_folder() == str(system)
    boot.mkdir()
    assert default_folder() == str(boot)


def test_message_explains_the_two_folders(folders: tuple[Path, Path]) -> None:
    """Outside an initial RAM disk its folder does not exist, and that is no missing key."""
    boot, system = folders
    with pytest.raises(AdministratorError) as caught:
        read_key_file(f"{boot}/seckey.txt")
    assert str(system) in str(caught.value.hint)
    boot.mkdir()
    with pytest.raises(AdministratorError) as caught:
        read_key_file(f"{boot}/seckey.txt")
    assert str(caught.value.hint) == "mandos-keygen makes all four key files"


def test_message_for_those_who_are_not_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New keys would not help them."""

    def refuse(path: str, *_: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(keyfiles, "open", refuse, raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(AdministratorError, match="Permission denied") as caught:
        read_key_file(str(tmp_path / "seckey.txt"))
    assert "as root" in str(caught.value.hint)


def test_directory_is_no_key_file(tmp_path: Path) -> None:
    """A directory is refused as what it is."""
    with pytest.raises(AdministratorError, match="Is a directory"):
        read_key_file(str(tmp_path))


@pytest.mark.parametrize(("mode", "exposed"), [(0o600, False), (0o640, False), (0o644, True)])
def test_world_readable_key_is_told(tmp_path: Path, mode: int, exposed: bool) -> None:  # noqa: FBT001
    """A secret key that everyone can read brings a warning with the command that mends it."""
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.chmod(mode)
    warning = exposure(str(path))
    assert bool(warning) == exposed
    if warning:
        assert "chmod o-rwx" in warning
