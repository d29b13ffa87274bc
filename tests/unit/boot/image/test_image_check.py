# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set-ups that cannot work at boot: each is reported when an image is made, and nothing else is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mandos import section_note
from mandos.admin.keygen import main as keygen
from mandos.boot.image import local_files, setup_check
from mandos.boot.image.network_check import Machine
from mandos.boot.image.tree import Tree
from mandos.client.settings import COMMAND_LINE, ClientOptions
from mandos.section_note import Note

QUICK = ("--type", "ed25519", "--subtype", "cv25519")
#: GnuPG made it, with a passphrase.
LOCKED = """-----BEGIN PGP PRIVATE KEY BLOCK-----

lIYEawzWNhYJKwYBBAHaRw8BAQdA+3CEfMhpdgZPmpIQap4ukyQSEmE3mb0hCSm5
PP/1cBf+BwMCrtdo4P/v9bz/0h310Cr/R349UvdTGUzi4huY8rL1t+kvYuLKtvuD
Qaxsu/18JWL7t7l9UBthKDTr7aTxv0gGHT1+UKp+3fMqXVKrAybXu7QEdGVzdIiQ
BBMWCAA4FiEE2pWDHhYm+nvS4Fu7vwtBOJya2K8FAmsM1jYCGwMFCwkIBwIGFQoJ
CAsCBBYCAwECHgECF4AACgkQvwtBOJya2K9UpgEA0IdGVDz9aEbV0GzWMD/ytS5U
z8ObnooW/W4Lp8gAKMEBAKRqMG6p4IHz2ghbjk1F0A4BELd6l+kFYM8uFV9HvCwG
=klKm
-----END PGP PRIVATE KEY BLOCK-----
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two clients' keys, made and used for a section by the real program."""
    folders = {}
    for name in ("one", "two"):
        folder = folders[name] = tmp_path_factory.mktemp("keys") / name
        assert keygen.main(["--dir", str(folder), "--name", name, *QUICK]) == 0
        password = folder.with_name("password")
        password.write_bytes(b"word")
        sealing = ["--dir", str(folder), "--no-ssh", "--name", name, "--passfile", str(password)]
        assert keygen.main(sealing) == 0
    return folders


@pytest.fixture
def keys(made: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the first client's keys, to be changed."""
    return Path(shutil.copytree(made["one"], tmp_path / "keys"))


def _texts(keys: Path) -> list[str]:
    return [problem.text for problem in setup_check.key_problems(keys)]


def test_good_keys_are_not_reported(keys: Path) -> None:
    """Nor are keys without a note, which an earlier version or the original has made."""
    assert (keys / section_note.NAME).exists()
    assert _texts(keys) == []
    (keys / section_note.NAME).unlink()
    (keys / "pubkey.txt").unlink()  # nothing needs it at boot
    assert _texts(keys) == []


@pytest.mark.parametrize(
    ("name", "other"),
    [("tls-pubkey.pem", "tls-privkey.pem"), ("pubkey.txt", "seckey.txt")],
)
def test_keys_that_are_no_pair(keys: Path, made: dict[str, Path], name: str, other: str) -> None:
    """Half a pair comes from another client."""
    shutil.copy(made["two"] / name, keys / name)
    (text,) = _texts(keys)
    assert f"{keys / name} is not the public key of {keys / other}" in text


@pytest.mark.parametrize("name", ["tls-privkey.pem", "tls-pubkey.pem", "seckey.txt", "pubkey.txt"])
def test_a_file_that_is_no_key(keys: Path, name: str) -> None:
    """It is named."""
    (keys / name).write_text("no key\n", encoding="ascii")
    (text,) = _texts(keys)
    assert str(keys / name) in text


def test_a_key_with_a_passphrase(keys: Path) -> None:
    """There is nobody to type one at boot."""
    (keys / "seckey.txt").write_text(LOCKED, encoding="ascii")
    (text,) = _texts(keys)
    assert "has a passphrase" in text


@pytest.mark.parametrize(
    "pair", [("tls-pubkey.pem", "tls-privkey.pem"), ("pubkey.txt", "seckey.txt")]
)
def test_keys_that_are_newer_than_the_section(
    keys: Path, made: dict[str, Path], pair: tuple[str, str]
) -> None:
    """Whichever pair was made anew, the server cannot serve them."""
    for name in pair:
        shutil.copy(made["two"] / name, keys / name)
    (text,) = _texts(keys)
    assert "not those of the section that mandos-keygen printed last" in text


def test_the_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A second one takes the place of the first; a damaged one is none."""
    assert section_note.read(tmp_path) is None
    for note in (Note("ab" * 32, "CD" * 20), Note("12" * 32, "34" * 20)):
        section_note.write(tmp_path, note)
        assert section_note.read(tmp_path) == note
    assert [path.name for path in tmp_path.iterdir()] == [section_note.NAME]
    assert (tmp_path / section_note.NAME).stat().st_mode & 0o777 == 0o600
    (tmp_path / section_note.NAME).write_bytes(b"\xff\x00key_id =\n")
    assert section_note.read(tmp_path) is None


def test_a_note_that_cannot_be_written(
    keys: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The section is printed all the same."""

    def refuse(folder: Path, _note: Note, _name: str) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(section_note, "write", refuse)
    password = keys.parent / "password"
    password.write_bytes(b"word")
    sealing = ["--dir", str(keys), "--no-ssh", "--name", "one", "--passfile", str(password)]
    assert keygen.main(sealing) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("[one]\n")
    assert "cannot write" in shown.err
    assert "Permission denied" in shown.err


def _copied(keys: Path, tmp_path: Path) -> list[str]:
    """The notes that an image with these keys has."""
    tree = tmp_path / "tree"
    tree.mkdir()
    local_files.copy_keys(Tree(tree), keys, tmp_path / "config")
    folder = tree / local_files.CONFIGURATION.relative_to("/")
    assert (folder / "seckey.txt").exists()
    notes = [folder / name for name in (section_note.NAME, section_note.SIGNED)]
    found = [path for path in notes if path.exists()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)
    return [path.name for path in found]


def test_an_image_of_the_keys_that_signed_has_the_note(keys: Path, tmp_path: Path) -> None:
    """Only that one of the two notes, and root alone can read it."""
    assert (keys / section_note.SIGNED).stat().st_mode & 0o777 == 0o600
    assert _copied(keys, tmp_path) == [section_note.SIGNED]


@pytest.mark.parametrize(
    "pair", [("tls-privkey.pem", "tls-pubkey.pem"), ("seckey.txt", "pubkey.txt")]
)
def test_an_image_of_other_keys_has_no_note(
    keys: Path, made: dict[str, Path], tmp_path: Path, pair: tuple[str, str]
) -> None:
    """Whichever of the two pairs was replaced."""
    for name in pair:
        shutil.copy(made["two"] / name, keys / name)
    assert _copied(keys, tmp_path) == []


@pytest.mark.parametrize("damage", [b"", b"\xff\x00key_id =\n", b"key_id = ab\n"])
def test_a_damaged_note_is_reported_and_not_copied(
    keys: Path, tmp_path: Path, damage: bytes
) -> None:
    """Nobody finds out otherwise that unsigned passwords are used."""
    (keys / section_note.SIGNED).write_bytes(damage)
    (text,) = _texts(keys)
    assert f"{keys / section_note.SIGNED} is damaged" in text
    assert _copied(keys, tmp_path) == []


def test_new_keys_have_signed_nothing(keys: Path) -> None:
    """mandos-keygen --force removes the note about the old ones."""
    assert keygen.main(["--dir", str(keys), "--name", "one", "--force", *QUICK]) == 0
    assert not (keys / section_note.SIGNED).exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], None),
        (["--signed-only"], True),
        (["--no-signed-only"], False),
        (["--signed-only", "--no-signed-only"], False),
        (["--no-signed-only", "--signed-only"], True),
    ],
)
def test_the_last_of_two_opposite_options_wins(
    given: list[str],
    expected: bool | None,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Without either, the note decides."""
    assert ClientOptions(COMMAND_LINE.parse(given)).signed_only is expected


@pytest.mark.parametrize(
    ("options", "script", "reported"),
    [
        ("luks,initramfs", None, False),
        ("luks,keyscript=/lib/own", "read -r word", True),
        ("luks,keyscript=/lib/own,initramfs", "/lib/cryptsetup/askpass Word:", False),
        ("luks,keyscript=/lib/own", "exec /usr/lib/x/mandos/plugin-runner", False),
        ("luks,keyscript=/lib/own", None, True),
        ("luks,keyscript=own", "/lib/cryptsetup/askpass Word:", True),  # in another folder
        ("luks,keyscript=/usr/lib/x86_64-linux-gnu/mandos/plugin-runner", None, False),
        ("luks,keyscript=decrypt_derived", None, False),
        ("luks,keyscript=/lib/cryptsetup/scripts/passdev", None, False),
        ("luks,keyscript=decrypt_opensc", None, True),
    ],
)
def test_keyscripts(tmp_path: Path, options: str, script: str | None, reported: bool) -> None:  # noqa: FBT001
    """Only one that neither asks by askpass nor does without a password is reported."""
    (tmp_path / "cryptroot").mkdir()
    (tmp_path / "cryptroot/crypttab").write_text(
        f"# a comment\n\nroot UUID=1 none {options}\n", encoding="ascii"
    )
    if script is not None:
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib/own").write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    found = list(setup_check.keyscript_problems(tmp_path, tmp_path))
    assert len(found) == reported
    assert all("disk root" in problem.text for problem in found)


def test_an_image_without_encrypted_disks(tmp_path: Path) -> None:
    """There is no crypttab in it, and nothing to report."""
    assert list(setup_check.keyscript_problems(tmp_path, tmp_path)) == []


@pytest.mark.parametrize("place", ["usr/lib/systemd", "lib/systemd", "usr/bin"])
def test_systemd_cryptsetup(tmp_path: Path, place: str) -> None:
    """It is a package of its own from systemd 256 on."""
    (problem,) = setup_check.systemd_problems(tmp_path)
    assert "apt install systemd-cryptsetup" in problem.hint
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "systemd-cryptsetup").touch()
    assert list(setup_check.systemd_problems(tmp_path)) == []


@pytest.mark.parametrize(("umask", "reported"), [(0o022, True), (0o027, True), (0o077, False)])
def test_umask(umask: int, reported: bool) -> None:  # noqa: FBT001
    """It is looked at, and left as it is."""
    before = os.umask(umask)
    try:
        assert len(list(setup_check.umask_problems())) == reported
    finally:
        assert os.umask(before) == umask


@pytest.mark.parametrize("generator", [*setup_check.GENERATORS, ""])
def test_each_generator_has_its_own_rules(keys: Path, tmp_path: Path, generator: str) -> None:
    """A keyscript counts for initramfs-tools only, systemd's program where systemd is."""
    (tmp_path / "cryptroot").mkdir()
    (tmp_path / "cryptroot/crypttab").write_text("a b c keyscript=/lib/own\n", encoding="ascii")
    (tmp_path / "etc/kernel").mkdir(parents=True)
    (tmp_path / "etc/kernel/cmdline").write_text("mandos=off\n", encoding="ascii")
    setup = setup_check.Setup(generator, tmp_path, keys, tmp_path, "")
    before = os.umask(0o077)
    try:
        found = setup_check.problems(setup, Machine(tmp_path), tmp_path)
    finally:
        os.umask(before)
    texts = " ".join(problem.text for problem in found)
    assert ("keyscript" in texts) == (generator == setup_check.INITRAMFS_TOOLS)
    assert ("systemd-cryptsetup" in texts) == (generator == setup_check.DRACUT_SYSTEMD)
    assert ("mandos=off" in texts) == bool(generator)
    assert all(problem.hint for problem in found)
