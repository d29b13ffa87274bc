# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unattended reboots of Debian machines: the real unattended-upgrades, and our units beside it.

These machines have no kernel, no keys and no server, so their check fails unless a test replaces
it.  test_check_unit.py has a machine that passes the real check, and reboots.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness import debian, newcomer
from harness.debian import PACKAGES, DebianMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.process import Process

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]

CHECK_UNIT, REBOOT_UNIT = "mandos-check.service", "mandos-reboot.service"
GUARD_UNIT = "mandos-reboot-guard.service"
REQUIRED = "/run/reboot-required"
ASKS = "Found /var/run/reboot-required, rebooting"
INSTALLED = ("--prefix=/usr", f"--libraries={PACKAGES}/build/libraries", "--packages")


@pytest.fixture
def machine_of(tmp_path: Path) -> Iterator[Callable[[str], DebianMachine]]:
    """A function: a machine of a release, where an update has asked for a reboot."""
    if (reason := debian.why_no_debian()) is not None:
        pytest.skip(reason)
    made: list[DebianMachine] = []

    def make(suite: str) -> DebianMachine:
        newcomer.download(tmp_path / suite, suite)
        machine = DebianMachine(debian.upgrading_tree(suite), tmp_path / suite)
        made.append(machine)
        machine.run(f"{PACKAGES}/tools/install", *INSTALLED, "common", "boot-client")
        machine.systemctl("daemon-reload")
        machine.systemctl("start", "dbus.service", "systemd-logind.service")
        machine.path(REQUIRED).touch()
        return machine

    yield make
    for machine in made:
        machine.close()


def _upgrade(machine: DebianMachine, *, reboots: bool) -> Process:
    """Run unattended-upgrades, which may reboot as its setting says."""
    word = "true" if reboots else "false"
    text = f'Unattended-Upgrade::Automatic-Reboot "{word}";\n'
    machine.write("/etc/apt/apt.conf.d/99reboot", text)
    return machine.start("unattended-upgrade", "--debug")


def _stays_up(machine: DebianMachine) -> bool:
    """Whether nothing is on its way to take the machine down."""
    return machine.runs and machine.systemctl("list-jobs").strip() == "No jobs running."


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_setting_of_unattended_upgrades(
    machine_of: Callable[[str], DebianMachine], suite: str
) -> None:
    """With "false" only our unit reboots, and only after a pass; with "true" anything goes."""
    machine = machine_of(suite)
    upgrade = _upgrade(machine, reboots=False)
    assert upgrade.wait() == 0, upgrade.log
    assert ASKS not in upgrade.log
    assert machine.start("systemctl", "start", REBOOT_UNIT).wait() == 1
    assert machine.show(CHECK_UNIT, "ActiveState") == "failed"
    assert _stays_up(machine)
    upgrade = _upgrade(machine, reboots=True)
    machine.wait_for_reboot()
    assert ASKS in upgrade.log


def test_upgrade_that_runs(machine_of: Callable[[str], DebianMachine]) -> None:
    """Check and reboot wait for its end: it may make images, and is not to be interrupted."""
    machine, upgrade = machine_of("bookworm"), "apt-daily-upgrade.service"
    machine.path(f"/etc/systemd/system/{upgrade}.d").mkdir()
    text = "[Service]\nExecStartPre=\nExecStart=\nExecStart=sleep infinity\n"
    machine.write(f"/etc/systemd/system/{upgrade}.d/long.conf", text)
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "--no-block", upgrade)
    machine.wait_until(upgrade, "ActiveState", "^activating$")
    machine.systemctl("start", "--no-block", REBOOT_UNIT)
    jobs = machine.systemctl("list-jobs", "--no-legend", CHECK_UNIT, REBOOT_UNIT)
    assert len(re.findall(r"^ *\d+ mandos-\S+ +start +waiting *$", jobs, re.MULTILINE)) == 2, jobs
    machine.systemctl("stop", upgrade)
    machine.wait_until(CHECK_UNIT, "ActiveState", "^failed$")  # now it has run, and found no kernel
    assert _stays_up(machine)


def test_guard_holds_for_root(machine_of: Callable[[str], DebianMachine]) -> None:
    """From systemd 257 on no reboot gets past it, unless a person stops the guard."""
    machine = machine_of("trixie")
    machine.systemctl("enable", "--now", GUARD_UNIT)
    upgrade = _upgrade(machine, reboots=True)
    assert upgrade.wait() == 0
    assert ASKS in upgrade.log
    assert "Failed to issue shutdown" in upgrade.log
    for command in ("systemctl reboot", "systemctl reboot -i", "shutdown -r now", "shutdown -r +1"):
        refused = machine.start(*command.split())
        assert refused.wait() == 1, command
        assert "Access denied" in refused.log
    assert machine.start("systemctl", "start", REBOOT_UNIT).wait() == 1  # the check fails here
    assert _stays_up(machine)
    assert machine.show(GUARD_UNIT, "ActiveState") == "active"
    refused = machine.start("systemctl", "reboot", "--check-inhibitors=yes")  # as at a terminal
    assert refused.wait() == 1
    assert "systemctl stop mandos-reboot-guard" in refused.log
    machine.systemctl("stop", GUARD_UNIT)
    machine.start("systemctl", "reboot")
    machine.wait_for_reboot()


def test_guard_and_another_inhibitor(machine_of: Callable[[str], DebianMachine]) -> None:
    """After a pass the guard gives way; if the reboot does not take place, it is there again."""
    machine = machine_of("trixie")
    machine.path(f"/etc/systemd/system/{CHECK_UNIT}.d").mkdir()
    text = "[Service]\nExecStart=\nExecStart=true\n"
    machine.write(f"/etc/systemd/system/{CHECK_UNIT}.d/passes.conf", text)
    machine.systemctl("enable", "--now", GUARD_UNIT)
    machine.hold_off_shutdown("updater")
    assert machine.start("systemctl", "start", REBOOT_UNIT).wait() == 1
    machine.wait_until(GUARD_UNIT, "ActiveState", "^active$")
    assert _stays_up(machine)
    machine.systemctl("stop", "updater")
    listed = machine.run("systemd-inhibit", "--list", "--no-legend").decode()
    assert "mandos-check" in listed
    assert "updater" not in listed
    machine.start("systemctl", "start", "--no-block", REBOOT_UNIT)
    machine.wait_for_reboot()


def test_guard_before_systemd_257(machine_of: Callable[[str], DebianMachine]) -> None:
    """There root's reboots pass inhibitors by, so the unit fails and says why."""
    machine = machine_of("bookworm")
    assert machine.start("systemctl", "start", GUARD_UNIT).wait() == 1
    said = machine.run("journalctl", "--output=cat", f"--unit={GUARD_UNIT}").decode()
    assert "systemd 252 lets root reboot in spite of inhibitors" in said
    machine.hold_off_shutdown("updater")
    machine.start("systemctl", "reboot")
    machine.wait_for_reboot()


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_kernel_install(machine_of: Callable[[str], DebianMachine], suite: str) -> None:
    """The kernel-install of each release runs the check, whose result does not stop it."""
    machine, version = machine_of(suite), "6.1.0-test"
    machine.path("/boot").mkdir(exist_ok=True)
    for name in ("vmlinuz", "initrd.img"):
        machine.write(f"/boot/{name}-{version}", "")
    machine.path("/etc/kernel").mkdir(exist_ok=True)
    machine.write("/etc/kernel/install.conf", "layout=other\n")
    check = machine.path("/usr/sbin/mandos-check")  # this system lacks its libraries
    check.write_text('#!/bin/sh\necho "asked: $*"\nexit 1\n', encoding="ascii")
    process = machine.start("kernel-install", "add", version, f"/boot/vmlinuz-{version}")
    assert process.wait() == 0, process.log
    assert f"warning: /boot/initrd.img-{version}: with this image" in process.log
    assert process.log.count(f"asked: --quiet --image-only --kernel={version}") == 1, process.log
