# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with encrypted roots come up by themselves, or a person can type the password.

Every test ends with what only the decrypted root knows (``Machine.expect_boot``).
"""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from harness.families import ours, reference
from harness.peers import PORT, REFUSED, SENT, start_server
from harness.vm.boot import QUICK
from harness.vm.choices import EVERY, machines
from harness.vm.console import PATIENCE
from harness.vm.overlay import without_python
from harness.vm.whole_boot import boots_by_itself

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.peers import Server
    from harness.vm.boot import Machine, Site
    from harness.vm.images import Disks, Image

    Took = Callable[[dict[str, float]], None]
    Start = Callable[..., Server]

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3600)]

OURS, THEIRS = ours(), reference()
#: What shows that the password is wrong; plugin-runner has three tries without systemd.
REFUSED_BY = {"initramfs-tools": "bad password", "dracut-plain": "(?s)(No key available.*?){3}"}


def _refuse_once(machine: Machine, server: Server) -> None:
    """Return when a first password has been tried in vain, and a prompt is there again."""
    machine.expect_prompt()
    server.wait_for(SENT["ours"], PATIENCE)
    if machine.image.generator in REFUSED_BY:
        machine.console.expect(REFUSED_BY[machine.image.generator])
    machine.expect_prompt()


def _after(seconds: float) -> None:
    """A delay that is the subject of a test; it begins with something seen."""
    threading.Event().wait(seconds)


@machines("bookworm-initramfs-tools", "trixie-dracut")
def test_boots_by_itself(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """The whole system comes up without a hand; nothing of ours is left, nothing complains."""
    boots_by_itself(site, disks, made, started(site.host(avahi=True), made, OURS), took)


@machines()
@pytest.mark.parametrize("site", ["link-local"], indirect=True)
def test_boots_without_a_router(
    site: Site, disks: Disks, made: Image, started: Start, took: Took
) -> None:
    """The same where nobody announces a prefix, so that all have link-local addresses only."""
    boots_by_itself(site, disks, made, started(site.host(avahi=True), made, OURS), took)


@machines("trixie-initramfs-tools")
def test_boots_with_the_references_server(
    site: Site, disks: Disks, made: Image, started: Start, took: Took
) -> None:
    """The same with the reference's server, of the release of the machine."""
    boots_by_itself(site, disks, made, started(site.host(avahi=True), made, THEIRS), took)


@machines("bookworm-dracut-plain", generators=EVERY)
def test_nothing_is_left(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """When the decrypted root begins, the client has ended, and its interface is down again."""
    with start_server(site.host(avahi=True), OURS, made.section, zeroconf=True):
        machine = site.boot(disks, made)
        took(machine.expect_boot())
    assert not [line for line in machine.report["process"] if re.search("mandos|python", line)]
    (card,) = [line for line in machine.report["link"] if re.search(": (en|eth)", line)]
    assert "UP" not in card.partition("<")[2].partition(">")[0].split(",")


@machines()
def test_server_comes_late(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """A server that appears 20 s after the prompt is found, and the machine boots by itself."""
    host = site.host(avahi=True)
    machine = site.boot(disks, made)
    machine.expect_prompt()
    _after(20)
    with start_server(host, OURS, made.section, zeroconf=True):
        took(machine.expect_boot())


@machines(generators=("dracut",), suites=("trixie", "forky"))
def test_server_comes_after_systemds_patience(
    site: Site, disks: Disks, made: Image, took: Took
) -> None:
    """A prompt stays, though systemd waits for devices no longer than by its own default."""
    host = site.host(avahi=True)
    machine = site.boot(disks, made, f"systemd.default_device_timeout_sec=90 {QUICK}")
    machine.expect_prompt()
    _after(100)
    with start_server(host, OURS, made.section, zeroconf=True):
        took(machine.expect_boot())


@machines("trixie-dracut", generators=EVERY)
def test_server_down(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """Without a server the password is typed at the serial console."""
    machine = site.boot(disks, made)
    machine.expect_prompt()
    took(machine.type_password())


@machines("trixie-dracut-plain", generators=EVERY)
def test_wrong_secret(site: Site, disks: Disks, made: Image, wrong: str, took: Took) -> None:
    """When the server has a wrong password, a person can still type the right one."""
    with start_server(site.host(avahi=True), OURS, wrong, zeroconf=True) as running:
        machine = site.boot(disks, made)
        _refuse_once(machine, running)
        took(machine.type_password())


@machines("trixie-initramfs-tools", "bookworm-dracut")
def test_wrong_secret_is_corrected(
    site: Site, disks: Disks, made: Image, wrong: str, took: Took
) -> None:
    """When the server gets the right password 20 s later, the machine boots by itself."""
    with start_server(site.host(avahi=True), OURS, wrong, zeroconf=True) as running:
        machine = site.boot(disks, made)
        _refuse_once(machine, running)
        _after(20)
        running.reload(made.section)
        took(machine.expect_boot())


@machines("bookworm-dracut")
def test_disabled(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """A machine that is disabled gets no password; a person can type it."""
    section = f"{made.section}enabled = no\n"
    with start_server(site.host(avahi=True), OURS, section, zeroconf=True) as running:
        machine = site.boot(disks, made)
        for _ in range(2):
            running.wait_for(REFUSED["ours", "disabled"], PATIENCE)
        machine.expect_prompt()
        took(machine.type_password())


@machines("bookworm-initramfs-tools", generators=("initramfs-tools",))
def test_one_of_two_servers_hangs(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """A server that takes connections and says nothing holds up nobody."""
    hanging, good = site.host(avahi=True), site.host(avahi=True)
    with (
        start_server(hanging, OURS, made.section, zeroconf=True) as silent,
        start_server(good, OURS, made.section, zeroconf=True),
    ):
        silent.process.signal(signal.SIGSTOP)
        took(site.boot(disks, made).expect_boot())
        waiting = hanging.run("ss", "--tcp", "--listening", "--no-header").decode().split()[1]
        assert int(waiting) > 0, "the hanging server was not asked"


@machines("trixie-initramfs-tools", generators=("initramfs-tools",))
def test_link_comes_late(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """A network that is there 15 s after the prompt is early enough."""
    with start_server(site.host(avahi=True), OURS, made.section, zeroconf=True):
        machine = site.boot(disks, made, plugged=False)
        machine.expect_prompt()
        _after(15)
        site.plug(machine.tap)
        took(machine.expect_boot())


@machines()
def test_switched_off(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """With mandos=off no server is asked."""
    with start_server(site.host(avahi=True), OURS, made.section, zeroconf=True) as running:
        machine = site.boot(disks, made, words=f"mandos=off {QUICK}")
        machine.expect_prompt()
        took(machine.type_password())
        assert "alpha to " not in running.process.log


@machines("trixie-initramfs-tools", generators=("initramfs-tools",))
def test_connect_over_ipv4(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """With mandos=connect and ip= a server is reached by its IPv4 address.

    dracut sets the network up only by its module network, which these images do not have.
    """
    host = site.host()
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    words = f"mandos=connect:192.0.2.1:{PORT} ip=192.0.2.2::192.0.2.1:255.255.255.0::ens3:off"
    with start_server(host, OURS, made.section) as running:
        took(site.boot(disks, made, f"{words} {QUICK}").expect_boot())
        running.wait_for("sent the secret of client alpha to .*192.0.2.2")


@machines()
def test_network_hook_makes_a_vlan(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """The server is in a VLAN that an administrator's network hook makes; it is removed again.

    The kernel module that the hook needs is there when it starts.
    """
    host = site.host(vlan=7, avahi=True)
    with start_server(host, OURS, made.section, zeroconf=True):
        machine = site.boot(disks, made, f"test-vlan {QUICK}")
        machine.console.expect("network hook start: 8021q is loaded")
        took(machine.expect_boot())
    assert not [line for line in machine.report["link"] if "vlan7" in line]


@machines("bookworm-initramfs-tools", generators=EVERY)
def test_without_python(site: Site, disks: Disks, made: Image, tmp_path: Path, took: Took) -> None:
    """When the image has lost its Python, the prompt works as ever."""
    machine = site.boot(disks, made, initrd=without_python(made, tmp_path))
    machine.expect_prompt()
    took(machine.type_password())
