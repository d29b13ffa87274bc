# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines whose network is not as their configuration says, or has no cable, come up all the same.

Every test ends with what only the decrypted root knows (``Machine.expect_boot``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.peers import start_server
from harness.vm.boot import QUICK
from harness.vm.choices import machines
from harness.vm.images import TYPED
from harness.vm.layouts import ROOT_UUID
from harness.vm.overlay import with_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.vm.boot import Machine, Site
    from harness.vm.images import Disks, Image

    Took = Callable[[dict[str, float]], None]

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3600)]

OURS = ours()
#: Only there a keyscript and the hand-over ask, and Debian's own functions set the network up.
ONLY = ("initramfs-tools",)
#: Seconds until a DHCP client of initramfs-tools gives up: what waits for it comes later.
DHCP_GIVES_UP = 330
RENAMED = {
    "/conf/conf.d/mandos/plugin-runner.conf": "--options-for=mandos-client:--interface=eno1\n"
}
KEYSCRIPT = "luks,discard,initramfs,keyscript=/lib/mandos/plugin-runner"


def _told(machine: Machine) -> list[str]:
    """The lines of the client on the console."""
    return re.findall("^mandos-client: .*", machine.console.text, re.MULTILINE)


@machines("trixie-initramfs-tools")
def test_named_interface_does_not_exist(
    site: Site, disks: Disks, made: Image, tmp_path: Path, took: Took
) -> None:
    """--interface=eno1, and the card is ens3: the machine boots by itself, after one line."""
    initrd = with_files(made, tmp_path, RENAMED)
    with start_server(site.host(avahi=True), OURS, made.section, zeroconf=True):
        machine = site.boot(disks, made, initrd=initrd)
        machine.expect_prompt()
        took(machine.expect_boot())
    told = "the network interface eno1 does not exist; using all others too (ens3)"
    assert _told(machine) == [f"mandos-client: {told}"]


@machines(generators=ONLY)
def test_cable_out_with_a_keyscript(
    site: Site, disks: Disks, made: Image, tmp_path: Path, took: Took
) -> None:
    """With mandos=connect, ip=dhcp and no cable the prompt comes at once, not after DHCP."""
    table = f"cryptroot UUID={ROOT_UUID} none {KEYSCRIPT}\n"
    initrd = with_files(made, tmp_path, {"/cryptroot/crypttab": table})
    words = f"mandos=connect ip=dhcp {QUICK}"
    machine = site.boot(disks, made, words, initrd=initrd, plugged=False)
    machine.console.expect("Running /scripts/init-premount")
    machine.console.expect("Enter passphrase", DHCP_GIVES_UP)
    machine.console.type(TYPED)
    took(machine.expect_boot())
    assert not [line for line in machine.report["process"] if "ipconfig" in line]


@pytest.mark.parametrize("plugged", [True, False], ids=["no_dhcp", "cable_out"])
@machines(generators=ONLY)
def test_network_set_up_holds_nothing_up(
    site: Site, disks: Disks, made: Image, took: Took, *, plugged: bool
) -> None:
    """With mandos=connect and ip=dhcp, where no one answers DHCP, a server is asked at once.

    When the cable is plugged in after the prompt has come, the machine boots by itself, too.
    """
    words = f"mandos=connect ip=dhcp {QUICK}"
    with start_server(site.host(avahi=True), OURS, made.section, zeroconf=True):
        machine = site.boot(disks, made, words, plugged=plugged)
        machine.expect_prompt()
        site.plug(machine.tap)
        machine.console.expect("(?=^booted )", DHCP_GIVES_UP)
        took(machine.expect_boot())
    assert not [line for line in machine.report["process"] if "ipconfig" in line]
