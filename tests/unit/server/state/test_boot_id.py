# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the machine was started, or only the server: every doubt counts as the latter."""

from __future__ import annotations

from pathlib import Path

import pytest

from mandos.server.state.boot_id import NAME, LastBoot

ONE, OTHER = "5f1c0c0e-3d54-4d7f-9b0a-7a1f6a3c2d11", "0c9b8a77-6655-4443-9221-1100ffeeddcc"


def _boot(tmp_path: Path, kernel: str) -> LastBoot:
    (tmp_path / "kernel").write_text(f"{kernel}\n", encoding="ascii")
    return LastBoot(tmp_path, tmp_path / "kernel")


def test_restart_of_the_server_is_none_of_the_machine(tmp_path: Path) -> None:
    """Only another ID of the kernel's is another boot; the first start is not."""
    first = _boot(tmp_path, ONE)
    first.note()
    assert not first.is_another
    assert not _boot(tmp_path, ONE).is_another
    after = _boot(tmp_path, OTHER)
    assert after.is_another
    after.note()
    assert not _boot(tmp_path, OTHER).is_another


def test_server_that_never_served_has_noted_nothing(tmp_path: Path) -> None:
    """One that fails in its start leaves the next one to find out."""
    _boot(tmp_path, ONE).note()
    assert _boot(tmp_path, OTHER).is_another
    assert _boot(tmp_path, OTHER).is_another


@pytest.mark.parametrize("content", ["", "nonsense", ONE[:-1], "\0" * 37, "\xe4" * 37])
def test_damaged_note_is_no_other_boot(tmp_path: Path, content: str) -> None:
    """A note that is not an ID says nothing; so does a kernel without one."""
    (tmp_path / NAME).write_text(content, encoding="latin-1")
    assert not _boot(tmp_path, ONE).is_another
    _boot(tmp_path, ONE).note()
    assert not LastBoot(tmp_path, tmp_path / "none").is_another


def test_note_that_cannot_be_written_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An old ID would make a later restart of the server look like one of the machine."""
    _boot(tmp_path, ONE).note()

    def fails(*_arguments: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.pwrite", fails)
    _boot(tmp_path, OTHER).note()
    assert "Input/output error" in caplog.text
    assert not _boot(tmp_path, OTHER).is_another


def test_the_kernel_has_an_id(tmp_path: Path) -> None:
    """This machine's is noted as it is."""
    LastBoot(tmp_path).note()
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    assert (tmp_path / NAME).read_text(encoding="ascii") == kernel
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
