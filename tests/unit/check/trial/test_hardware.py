# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine gets devices that the image can drive, or the reason why there are none."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mandos.check.trial import hardware
from mandos.check.trial.hardware import UnfitError, choose

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = 65519
VIRTIO = {"virtio_pci", "virtio_blk", "virtio_net"}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for another user")


@pytest.fixture(autouse=True)
def _able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(hardware, "_available_memory", lambda: 4096)


def test_virtual_devices_come_first() -> None:
    """An image with all drivers gets the fast ones."""
    chosen = choose(lambda _module: True, 0, 0, USER)
    assert chosen.disk.startswith("virtio-blk-pci")
    assert chosen.card.startswith("virtio-net-pci")


def test_disk_of_a_real_machine() -> None:
    """An image without virtio's disks gets the kind that it has drivers for."""
    chosen = choose({"nvme", "virtio_pci", "virtio_net"}.__contains__, 0, 0, USER)
    assert chosen.disk.startswith("nvme")


@pytest.mark.parametrize(
    ("missing", "said"), [("virtio_blk", "disk controller"), ("virtio_net", "network card")]
)
def test_image_without_a_driver(missing: str, said: str) -> None:
    """The kind of device is named, and the image that would do."""
    with pytest.raises(UnfitError, match=said) as raised:
        choose((VIRTIO - {missing}).__contains__, 0, 0, USER)
    assert "MODULES=most" in str(raised.value.hint)


def test_memory_for_the_key_slot() -> None:
    """A slot of 1 GiB of Argon2 takes that much more."""
    small, large = (choose(VIRTIO.__contains__, 0, size, USER) for size in (0, 1 << 20))
    assert large.memory - small.memory == 1024


def test_too_little_memory() -> None:
    """The machine itself keeps what it needs."""
    with pytest.raises(UnfitError, match="4096 MiB are available"):
        choose(VIRTIO.__contains__, 4 << 30, 0, USER)


def test_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the package."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(UnfitError, match="is not installed") as raised:
        choose(VIRTIO.__contains__, 0, 0, USER)
    assert raised.value.hint == "apt install qemu-system-x86"


def test_another_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, not tried."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(UnfitError, match="on x86_64 only"):
        choose(VIRTIO.__contains__, 0, 0, USER)


@pytest.fixture
def _virtualises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that can run virtual machines."""
    processor = tmp_path / "cpuinfo"
    processor.write_text("processor: 0\nflags\t\t: fpu vmx\n", encoding="ascii")
    monkeypatch.setattr(hardware, "_PROCESSOR", processor)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter; those of pytest are for their owner."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@AS_ROOT
@pytest.mark.usefixtures("_virtualises")
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_node_that_is_no_kvm(open_folder: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    """The processor is emulated, whether the node can be opened or not."""
    node = open_folder / "kvm"
    os.mknod(node, stat.S_IFCHR, os.makedev(1, 3))
    node.chmod(mode)
    monkeypatch.setattr(hardware, "_KVM", node)
    assert not hardware.can_accelerate(USER)


@AS_ROOT
@pytest.mark.usefixtures("_virtualises")
@pytest.mark.parametrize(("group", "opens"), [(USER - 1, True), (0, False)])
def test_rights_over_the_node(
    open_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: int,
    opens: bool,  # noqa: FBT001
) -> None:
    """QEMU gets the group of the node, but never root's; then the processor is emulated."""
    node = open_folder / "kvm"
    node.touch()
    os.chown(node, 0, group)
    node.chmod(0o660)
    monkeypatch.setattr(hardware, "_KVM", node)
    monkeypatch.setattr("fcntl.ioctl", lambda *_: 12)  # as a real one answers
    assert hardware.kvm_groups() == ([group] if group else [])
    assert hardware.can_accelerate(USER) == opens


def test_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no group to give."""
    monkeypatch.setattr(hardware, "_KVM", tmp_path / "kvm")
    assert hardware.kvm_groups() == []
    assert not hardware.can_accelerate(USER)
