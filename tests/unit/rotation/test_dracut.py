# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New images by dracut: the old one stays until the new one is whole.

A script stands for dracut here; it writes and fails as dracut does, when its disk is full.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mandos.errors import MachineError
from mandos.rotation.machine import renew_by_dracut

DRACUT = """#!/bin/sh
[ "$1" = --force ] || exit 2
if [ "$2" = --regenerate-all ]; then echo all >"$FOLDER/all"; exit; fi
printf "new %s" "$3" >"$2"
case $3 in $FULL) rm -f "$2"; echo "No space left on device" >&2; exit 1;; esac
"""
VERSIONS = ("6.1.0-9", "6.12.0-1")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two kernels."""
    for folder in ("bin", "boot", *(f"lib/modules/{version}" for version in VERSIONS)):
        (tmp_path / folder).mkdir(parents=True)
    for version in VERSIONS:
        (tmp_path / f"boot/vmlinuz-{version}").touch()
        (tmp_path / f"boot/initrd.img-{version}").write_text("old", encoding="ascii")
    program = tmp_path / "bin/dracut"
    program.write_text(DRACUT, encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setenv("FULL", "none")
    return tmp_path


def _images(root: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in (root / "boot").glob("*initrd*")}


def test_each_kernel_gets_a_new_image(root: Path) -> None:
    """One of a kernel without modules stays as it is: dracut could not make another one."""
    (root / "boot/vmlinuz-5.10").touch()
    (root / "boot/initrd.img-5.10").write_text("old", encoding="ascii")
    renew_by_dracut(root)
    new = {f"initrd.img-{version}": f"new {version}" for version in VERSIONS}
    assert _images(root) == {**new, "initrd.img-5.10": "old"}


def test_full_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old image stays, nothing half made does, and dracut's reason is shown."""
    monkeypatch.setenv("FULL", VERSIONS[0])
    with pytest.raises(MachineError, match="command failed") as raised:
        renew_by_dracut(root)
    assert raised.value.hint == "No space left on device"
    assert _images(root) == {
        f"initrd.img-{VERSIONS[1]}": f"new {VERSIONS[1]}", f"initrd.img-{VERSIONS[0]}": "old",
    }  # fmt: skip


def test_images_that_are_unknown(root: Path) -> None:
    """The program itself knows where they are."""
    for file in (root / "boot").iterdir():
        file.unlink()
    renew_by_dracut(root)
    assert (root / "all").exists()
