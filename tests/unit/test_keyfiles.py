# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading key files: what is wrong with one, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mandos.errors import AdministratorError
from mandos.keyfiles import LIMIT, exposure, read_key_file


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
