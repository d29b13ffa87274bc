# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hooks that run mandos-check after an image was made, by the real update-initramfs."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from harness.checked import CHECK, IMAGE, KEYS, Checked, healthy_machine
from harness.host import Host
from harness.initramfs import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.process import Process

pytestmark = pytest.mark.peer

HOOK = "/etc/initramfs/post-update.d/mandos-check"
KERNEL_HOOK = "/etc/kernel/postinst.d/zzz-mandos-check"
OUR_IMAGE_HOOK = "/usr/share/initramfs-tools/hooks/mandos"
WARNING = f"mandos-check: warning: {IMAGE}: "
STAYS_DOWN = f"{WARNING}with this image the machine would NOT come back from a reboot by itself"


@pytest.fixture(scope="module")
def machine(_possible: None, workshop: Host) -> Iterator[Checked]:
    """A machine that is healthy but for its server, which does not run: no hook may need it."""
    with healthy_machine(workshop, shows_network=False) as machine:
        yield machine


@pytest.fixture
def checked(machine: Checked) -> Checked:
    """The machine, healthy again."""
    machine.restore()
    machine.machine.file(OUR_IMAGE_HOOK).chmod(0o755)
    return machine


def _update(checked: Checked) -> str:
    """Make the image anew, as packages have it done; returns all that is printed."""
    process = checked.machine.start("update-initramfs", "-u", "-k", VERSION)
    assert process.wait() == 0, process.log
    assert f"Generating {IMAGE}" in process.log
    return process.log


def test_healthy_image_says_nothing(checked: Checked) -> None:
    """The hook has run, and has nothing to say."""
    traced = checked.machine.start("sh", "-x", HOOK, VERSION, IMAGE)
    assert traced.wait() == 0
    assert f"{CHECK} --quiet --image-only --kernel={VERSION}" in traced.log
    assert "+ status=0" in traced.log
    said = _update(checked)
    assert "mandos-check" not in said
    assert "server" not in said


def test_image_without_the_client(checked: Checked) -> None:
    """The warning names the image, the link, its meaning and its cure."""
    checked.machine.file(OUR_IMAGE_HOOK).chmod(0o644)  # mkinitramfs skips it
    said = _update(checked)
    assert STAYS_DOWN in said
    row = rf"^    programs in the image +BROKEN +{VERSION}: the image lacks "
    assert re.search(row, said, re.MULTILINE)
    assert "if this stays, install Mandos again" in said
    assert said.count("mandos-check: warning") == 1


def test_keys_that_are_no_pair(checked: Checked) -> None:
    """A key of another machine is found when an image is made with it."""
    other = checked.keys.with_tls_key("secp256r1").directory
    shutil.copy2(checked.keys.maker.path(f"{other}/tls-pubkey.pem"), checked.machine.file(KEYS))
    said = _update(checked)
    assert STAYS_DOWN in said
    assert re.search(r"^    keys +BROKEN ", said, re.MULTILINE)


def test_image_for_everybody(checked: Checked) -> None:
    """A warning of the check is shown as one: the machine comes back."""
    checked.machine.file(IMAGE).chmod(0o644)
    process = checked.machine.start(HOOK, VERSION, IMAGE)
    assert process.wait() == 0
    assert f"{WARNING}this image deserves attention" in process.log
    assert "can be read by others than root" in process.log


@pytest.mark.parametrize("broken", [False, True], ids=["healthy", "broken"])
def test_kernel_package(checked: Checked, broken: bool) -> None:  # noqa: FBT001 - a parameter
    """Its hooks make the image and warn once; the second hook is silent then."""
    if broken:
        checked.machine.file(OUR_IMAGE_HOOK).chmod(0o644)
    words = (f"--arg={VERSION}", f"--arg=/boot/vmlinuz-{VERSION}", "/etc/kernel/postinst.d")
    listed = checked.machine.run("run-parts", "--list", words[-1]).decode().split()
    assert listed[-1] == KERNEL_HOOK
    process = checked.machine.start("run-parts", *words)
    assert process.wait() == 0, process.log
    assert f"Generating {IMAGE}" in process.log
    assert process.log.count("mandos-check: warning") == broken, process.log


def test_kernel_package_with_another_generator(checked: Checked) -> None:
    """Where nothing has checked the image that was made, the kernel's hook does, once."""
    checked.machine.file(OUR_IMAGE_HOOK).chmod(0o644)
    words = (VERSION, f"/boot/vmlinuz-{VERSION}")
    checked.machine.run("mkinitramfs", "-o", IMAGE, VERSION)  # runs no hooks
    process = checked.machine.start(KERNEL_HOOK, *words)
    assert process.wait() == 0
    assert process.log.startswith(STAYS_DOWN), process.log
    process = checked.machine.start(KERNEL_HOOK, *words)
    assert (process.wait(), process.log) == (0, "")


def test_removed_package(checked: Checked) -> None:
    """The hooks stay until the package is purged, and do nothing."""
    checked.machine.file(OUR_IMAGE_HOOK).chmod(0o644)
    program = checked.machine.file(CHECK)
    program.chmod(0o644)  # as good as gone
    try:
        assert "mandos-check" not in _update(checked)
    finally:
        program.chmod(0o755)


def test_image_elsewhere(checked: Checked) -> None:
    """An image that this machine does not boot is none of the hook's business."""
    checked.machine.file(IMAGE).chmod(0o644)  # the hook would have something to say of this one
    checked.machine.file("/run/initrd").write_bytes(b"no image")
    process = checked.machine.start(HOOK, VERSION, "/run/initrd")
    assert (process.wait(), process.log) == (0, "")


def test_kernel_that_is_unknown(checked: Checked) -> None:
    """The check's own message is shown, and the update goes on."""
    checked.machine.file("/boot/initrd.img-5.10.0-1").write_bytes(b"no image")
    process = checked.machine.start(HOOK, "5.10.0-1", "/boot/initrd.img-5.10.0-1")
    assert process.wait() == 0
    checked.machine.file("/boot/initrd.img-5.10.0-1").unlink()
    assert "/boot/initrd.img-5.10.0-1: this image could not be checked" in process.log
    assert f"installed: {VERSION}" in process.log


def test_check_that_hangs(checked: Checked) -> None:
    """It is ended, and the update goes on."""
    hook = checked.machine.file(HOOK)
    text = hook.read_text(encoding="utf-8")
    assert "limit=60" in text
    checked.machine.file(IMAGE).unlink()
    os.mkfifo(checked.machine.file(IMAGE), 0o600)  # nothing is ever written there
    try:
        hook.write_text(text.replace("limit=60", "limit=1"), encoding="utf-8")
        process = checked.machine.start(HOOK, VERSION, IMAGE)
        assert process.wait() == 0
    finally:
        hook.write_text(text, encoding="utf-8")
        checked.machine.file(IMAGE).unlink()
    assert process.log == f"{WARNING}the check of this image was not finished in 1 s"


def _add_kernel(checked: Checked, layout: str, *, bypass: bool = False) -> Process:
    """Run kernel-install(8) as a kernel's package does; returns the process, which has ended."""
    machine = checked.machine
    machine.file("/etc/kernel").mkdir(exist_ok=True)
    conf = machine.file("/etc/kernel/install.conf")
    conf.write_text(f"layout={layout}\nBOOT_ROOT=/boot\n", encoding="ascii")
    machine.file("/run/mandos-check.checked").unlink(missing_ok=True)
    words = ("kernel-install", "add", VERSION, f"/boot/vmlinuz-{VERSION}")
    environment = {"KERNEL_INSTALL_BYPASS": "1"} if bypass else {}
    process = machine.start(*words, environment=environment)
    assert process.wait() == 0, process.log
    return process


@pytest.mark.parametrize("layout", ["bls", "other"])
def test_kernel_install(checked: Checked, layout: str) -> None:
    """It is silent about a healthy image, warns of a broken one once, and never fails."""
    assert "mandos-check" not in _add_kernel(checked, layout).log
    checked.machine.file(KEYS).joinpath("tls-pubkey.pem").write_bytes(b"none")
    process = _add_kernel(checked, layout)
    assert process.log.count(STAYS_DOWN) == 1, process.log
    again = checked.machine.start(KERNEL_HOOK, VERSION)
    assert (again.wait(), again.log) == (0, ""), "it was checked twice"
    assert "mandos-check" not in _add_kernel(checked, layout, bypass=True).log


def test_kernel_install_with_an_image_elsewhere(checked: Checked) -> None:
    """The kernel has no image in /boot that mandos-check knows: that is said, and nothing fails."""
    checked.machine.file(IMAGE).rename(checked.machine.file("/boot/image"))
    process = _add_kernel(checked, "other")
    checked.machine.file("/boot/image").unlink()
    assert "NOT come back" in process.log
    assert "this kernel has no initial RAM disk" in process.log


def test_kernel_that_is_removed(checked: Checked) -> None:
    """There is nothing to check."""
    checked.machine.file(KEYS).joinpath("tls-pubkey.pem").write_bytes(b"none")
    process = checked.machine.start("kernel-install", "remove", VERSION)
    assert (process.wait(), "mandos-check" in process.log) == (0, False), process.log
