# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines whose disks, crypttab(5) or boot screen are other than plain come up by themselves."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.vm import layouts
from harness.vm.boot import QUICK
from harness.vm.choices import machines
from harness.vm.console import PATIENCE
from harness.vm.images import PASSWORD, TYPED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.peers import Server
    from harness.vm.boot import Machine, Site
    from harness.vm.images import Disks, Image

    Took = Callable[[dict[str, float]], None]
    Start = Callable[..., Server]

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3600)]

SMALL = ("initramfs-tools",)
#: What gives the machine with an SSH server its address, and how its disk is unlocked from afar.
ADDRESS = "ip=192.0.2.2::192.0.2.1:255.255.255.0::ens3:off"
SSH = """exec ssh -i /run/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
-o ConnectTimeout=5 root@192.0.2.2 cryptroot-unlock </run/typed"""


def _comes_up(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> Machine:
    """Boot a machine with a server that has its password."""
    server = started(site.host(avahi=True), made, ours())
    machine = site.boot(disks, made)
    took(machine.expect_boot())
    server.wait_for("sent the secret of client alpha")
    return machine


@machines(layout=layouts.LVM)
def test_lvm(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """One encrypted disk with a volume group on it, of which swap is a part too."""
    machine = _comes_up(site, disks, made, started, took)
    assert "/dev/mapper/guest-swap" in machine.report["mapped"]


@machines(layout=layouts.BTRFS)
def test_btrfs(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """One file system on two encrypted disks (RAID1), which cannot be mounted without both."""
    machine = _comes_up(site, disks, made, started, took)
    assert "/dev/mapper/cryptmirror" in machine.report["mapped"]


@machines(layout=layouts.TWO_DISKS)
def test_two_disks(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """Two encrypted disks with the same password are both unlocked."""
    machine = _comes_up(site, disks, made, started, took)
    assert "/dev/mapper/cryptdata" in machine.report["mapped"]


@machines(layout=layouts.KEYCTL, generators=SMALL)
def test_decrypt_keyctl(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """Debian's keyscript for several disks with one password asks us as it asks a person."""
    machine = _comes_up(site, disks, made, started, took)
    assert "/dev/mapper/cryptdata" in machine.report["mapped"]


@machines(layout=layouts.OPTIONS)
def test_limits(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """With tries=1 and timeout= in crypttab the server's password is in time, and is right."""
    _comes_up(site, disks, made, started, took)


@machines(layout=layouts.DASHES)
def test_name_with_dashes(
    site: Site, disks: Disks, made: Image, started: Start, took: Took
) -> None:
    """The disk's name is not the same in the names of units."""
    _comes_up(site, disks, made, started, took)


@machines(layout=layouts.TPM2)
def test_no_tpm(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """In crypttab is a TPM that the machine does not have: it asks for the password."""
    _comes_up(site, disks, made, started, took)


@machines(layout=layouts.PLYMOUTH)
def test_plymouth(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """With a boot screen, which asks at the serial console here."""
    _comes_up(site, disks, made, started, took)


@machines("trixie-initramfs-tools", layout=layouts.PLYMOUTH, generators=SMALL)
def test_plymouth_and_a_wrong_secret(
    site: Site, disks: Disks, made: Image, wrong: str, started: Start, took: Took
) -> None:
    """The right password is typed once, at the boot screen, and the machine comes up."""
    server = started(site.host(avahi=True), made, ours(), wrong)
    machine = site.boot(disks, made)
    machine.expect_prompt()
    server.wait_for("sent the secret of client alpha", PATIENCE)
    _expect_refusal(machine, "cryptroot")
    machine.console.type(TYPED)
    took(machine.expect_boot())


@machines(layout=layouts.PLYMOUTH, generators=("dracut",))
def test_systemds_agent_and_a_wrong_secret(
    site: Site, disks: Disks, made: Image, wrong: str, started: Start, took: Took
) -> None:
    """The agent of systemd asks at the boot screen: plymouthd keeps its first question.

    So the first line is lost to that, as with any agent that answers the first question, and the
    second one counts (test_plugin_plymouth.py shows the same without us).
    """
    server = started(site.host(avahi=True), made, ours(), wrong)
    machine = site.boot(disks, made)
    machine.expect_prompt()
    for _ in range(2):  # it is asked anew when the disk asks anew
        server.wait_for("sent the secret of client alpha", PATIENCE)
    machine.console.type(TYPED)
    machine.console.expect(rf"\*{{{len(TYPED)}}}")
    machine.expect_prompt()
    machine.console.type(TYPED)
    took(machine.expect_boot())


@machines(layout=layouts.PLYMOUTH_TWO_DISKS, generators=SMALL)
def test_plymouth_and_another_password(
    site: Site, disks: Disks, made: Image, tmp_path: Path, started: Start, took: Took
) -> None:
    """The server has the first disk's password; the second's is typed once, when it asks."""
    started(site.host(avahi=True), made, ours())
    machine = site.boot(_second_is_typed(disks, tmp_path), made)
    _expect_refusal(machine, "cryptdata")
    machine.console.type(TYPED)
    took(machine.expect_boot())


def _expect_refusal(machine: Machine, disk: str) -> None:
    """Return when the server's password was refused, and a person can type at the boot screen.

    The question is there twice, in any order: plymouthd's, and below the line of mandos-handover.
    Only plymouthd reads.
    """
    machine.console.expect(f"{disk}.*bad password")
    for _ in range(2):
        machine.console.expect(f"unlock disk {disk}:")


def _second_is_typed(disks: Disks, folder: Path) -> Disks:
    """The same disks, of which the second is not opened by the server's password any more."""
    (folder / "root.img").symlink_to(disks.root)
    (folder / "nonce").symlink_to(disks.folder / "nonce")
    shutil.copyfile(disks.data, folder / "data.img")
    subprocess.run(
        ["cryptsetup", "luksRemoveKey", "--batch-mode", "--key-file=-", folder / "data.img"],
        input=PASSWORD.encode(), check=True,
    )  # fmt: skip
    return replace(disks, folder=folder)


@machines(layout=layouts.DROPBEAR, generators=SMALL)
def test_dropbear_beside_us(
    site: Site, disks: Disks, made: Image, started: Start, took: Took
) -> None:
    """With an SSH server in the image, and ip=, the machine still comes up by itself."""
    started(site.host(avahi=True), made, ours())
    took(site.boot(disks, made, f"{ADDRESS} {QUICK}").expect_boot())


@machines(layout=layouts.DROPBEAR, generators=SMALL)
def test_dropbear_unlocks(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """While no server is there, an administrator unlocks the disk over SSH."""
    host = site.host()
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    host.path("/run/key").write_bytes((made.folder / "ssh-key").read_bytes())
    host.path("/run/key").chmod(0o600)
    host.path("/run/typed").write_text(TYPED, encoding="ascii")
    machine = site.boot(disks, made, f"{ADDRESS} {QUICK}")
    machine.expect_prompt()
    deadline = time.monotonic() + PATIENCE
    while (unlocking := host.start("sh", "-c", SSH)).wait(PATIENCE) != 0:
        assert time.monotonic() < deadline, unlocking.report("the SSH server was not reached")
    took(machine.expect_boot())


@machines(layout=layouts.DEPENDENT, generators=SMALL)
def test_modules_dep(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """An image that the machine has made for itself has the drivers of its network card."""
    _comes_up(site, disks, made, started, took)
