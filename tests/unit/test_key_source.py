# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder as the source of keys, and what mandos-check says of one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from mandos.admin.keygen import main as keygen
from mandos.check import image
from mandos.check.findings import Link, Verdict
from mandos.errors import AdministratorError
from mandos.key_source import NEEDED, KeyFolder

if TYPE_CHECKING:
    from pathlib import Path

    from mandos.check.findings import Finding


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with keys by mandos-keygen."""
    folders = [tmp_path_factory.mktemp("keys") / name for name in ("one", "other")]
    for folder in folders:
        assert keygen.main(["--dir", str(folder), "--name", folder.name]) == 0
    return folders


@pytest.fixture
def own(made: list[Path], tmp_path: Path) -> Path:
    """The machine's own keys."""
    return shutil.copytree(made[0], tmp_path / "own")


@pytest.fixture
def tree(made: list[Path], tmp_path: Path) -> Path:
    """An unpacked image with the same keys."""
    shutil.copytree(made[0], tmp_path / "tree/conf/conf.d/mandos")
    return tmp_path / "tree"


def _finding(tree: Path, keys: Path) -> Finding | None:
    found = [one for one in image.inside(tree, "6.1", keys) if one.link is Link.KEYS]
    assert len(found) <= 1
    return found[0] if found else None


def test_keys_of_a_folder(made: list[Path]) -> None:
    """Each of them has its name, and two folders share none."""
    one, other = map(KeyFolder, made)
    assert one.missing() == one.differing(one) == []
    assert one.differing(other) == list(NEEDED)
    assert one.names() != other.names()
    public, private = one.tls_pair()
    assert public == (made[0] / "tls-pubkey.pem").read_bytes()
    assert private == (made[0] / "tls-privkey.pem").read_bytes()


def test_missing_and_empty_keys(own: Path) -> None:
    """They are told apart, and an error names the file."""
    (own / "seckey.txt").unlink()
    (own / "tls-privkey.pem").write_bytes(b"\n")
    assert KeyFolder(own).missing() == ["seckey.txt"]
    with pytest.raises(AdministratorError, match=r"tls-privkey\.pem is empty"):
        KeyFolder(own).tls_pair()
    with pytest.raises(AdministratorError, match=r"seckey\.txt"):
        KeyFolder(own).read("seckey.txt")


def test_image_with_the_same_keys(tree: Path, own: Path) -> None:
    """All is well."""
    found = _finding(tree, own)
    assert found is not None
    assert found.verdict is Verdict.OK


def test_image_with_an_empty_key(tree: Path, own: Path) -> None:
    """A check goes on, and the link is broken."""
    (tree / "conf/conf.d/mandos/seckey.txt").write_bytes(b"")
    found = _finding(tree, own)
    assert found is not None
    assert found.verdict is Verdict.BROKEN
    assert "seckey.txt is empty" in found.text


def test_machine_without_a_key(tree: Path, own: Path) -> None:
    """That is a finding of the folder; the image cannot be compared, and the check goes on."""
    (own / "seckey.txt").unlink()
    assert _finding(tree, own) is None


@pytest.mark.parametrize("place", ["next", "previous"])
def test_image_with_keys_of_a_rotation(tree: Path, own: Path, made: list[Path], place: str) -> None:
    """The machine comes back by them; without the folder of the rotation it would not."""
    shutil.copytree(made[0], own.with_name("own-rotation") / place)
    shutil.rmtree(own)
    shutil.copytree(made[1], own)
    found = _finding(tree, own)
    assert found is not None
    assert found.verdict is Verdict.WARNING
    shutil.rmtree(own.with_name("own-rotation"))
    found = _finding(tree, own)
    assert found is not None
    assert found.verdict is Verdict.BROKEN
