# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine gets devices that the image can drive, or the reason why there are none."""

from __future__ import annotations

import platform
import shutil

import pytest

from mandos.check.trial import hardware
from mandos.check.trial.hardware import UnfitError, choose

VIRTIO = {"virtio_pci", "virtio_blk", "virtio_net"}


@pytest.fixture(autouse=True)
def _able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(hardware, "_available_memory", lambda: 4096)


def test_virtual_devices_come_first() -> None:
    """An image with all drivers gets the fast ones."""
    chosen = choose(lambda _module: True, 0, 0)
    assert chosen.disk.startswith("virtio-blk-pci")
    assert chosen.card.startswith("virtio-net-pci")


def test_disk_of_a_real_machine() -> None:
    """An image without virtio's disks gets the kind that it has drivers for."""
    chosen = choose({"nvme", "virtio_pci", "virtio_net"}.__contains__, 0, 0)
    assert chosen.disk.startswith("nvme")


@pytest.mark.parametrize(
    ("missing", "said"), [("virtio_blk", "disk controller"), ("virtio_net", "network card")]
)
def test_image_without_a_driver(missing: str, said: str) -> None:
    """The kind of device is named, and the image that would do."""
    with pytest.raises(UnfitError, match=said) as raised:
        choose((VIRTIO - {missing}).__contains__, 0, 0)
    assert "MODULES=most" in str(raised.value.hint)


def test_memory_for_the_key_slot() -> None:
    """A slot of 1 GiB of Argon2 takes that much more."""
    small, large = (choose(VIRTIO.__contains__, 0, size) for size in (0, 1 << 20))
    assert large.memory - small.memory == 1024


def test_too_little_memory() -> None:
    """The machine itself keeps what it needs."""
    with pytest.raises(UnfitError, match="4096 MiB are available"):
        choose(VIRTIO.__contains__, 4 << 30, 0)


def test_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the package."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(UnfitError, match="is not installed") as raised:
        choose(VIRTIO.__contains__, 0, 0)
    assert raised.value.hint == "apt install qemu-system-x86"


def test_another_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, not tried."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(UnfitError, match="on x86_64 only"):
        choose(VIRTIO.__contains__, 0, 0)
