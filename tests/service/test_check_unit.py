# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of mandos-check under a real systemd, with a real image, disk and server."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.checked import Checked, make_checked
from harness.host import Host
from harness.initramfs import BootedMaker, why_no_images
from harness.machine import ROOT, why_no_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.peer

CHECK_UNIT, REBOOT_UNIT = "mandos-check.service", "mandos-reboot.service"
GUARD_UNIT = "mandos-reboot-guard.service"
UNITS = (*(CHECK_UNIT, "mandos-check.timer", REBOOT_UNIT, "mandos-reboot.timer", GUARD_UNIT),)
#: As in test_hardened_unit.py.  The check needs mounts, namespaces, and the disks.
WORST_EXPOSURE = 4.6
REQUIRED = "/run/reboot-required"


class Booted(Checked):
    """The same machine where systemd runs."""

    machine: BootedMaker


def _make(stack: ExitStack, workshop: Host) -> Booted:
    if (reason := why_no_images() or why_no_machine()) is not None:
        pytest.skip(reason)
    maker = stack.enter_context(BootedMaker())
    server = stack.enter_context(Host("server"))
    checked = make_checked(maker, server, workshop)
    maker.systemctl("daemon-reload")
    maker.systemctl("start", "dbus.service", "systemd-logind.service")
    return Booted(maker, server, checked.keys)


@pytest.fixture(scope="module")
def machine(_possible: None, workshop: Host) -> Iterator[Booted]:
    """A machine that passes, while its server runs."""
    with ExitStack() as stack:
        yield _make(stack, workshop)


@pytest.fixture
def booted(machine: Booted) -> Booted:
    """The machine, healthy again, and its unit without a past."""
    machine.restore()
    machine.machine.file(REQUIRED).unlink(missing_ok=True)
    machine.machine.systemctl("reset-failed")
    return machine


def _start(booted: Booted, unit: str) -> tuple[int, str]:
    """Start a unit to its end; returns systemctl's exit status, and the journal of the check."""
    cursor = booted.machine.run("journalctl", "--lines=0", "--show-cursor").decode()
    after = cursor.rpartition("cursor: ")[2].strip()
    process = booted.machine.start("systemctl", "start", unit)
    status = process.wait()
    booted.machine.run("journalctl", "--sync")
    words = ("--output=cat", f"--after-cursor={after}", f"--unit={CHECK_UNIT}")
    return status, booted.machine.run("journalctl", *words).decode()


def test_units_are_understood(machine: Booted) -> None:
    """Systemd finds nothing wrong in them, and the package enables none."""
    process = machine.machine.start("systemd-analyze", "verify", "--man=no", *UNITS)
    assert (process.wait(), process.log) == (0, "")
    states = machine.machine.start("systemctl", "is-enabled", *UNITS)
    states.wait()
    assert states.log.split() == ["static", "disabled", "static", "disabled", "disabled"]


def test_exposure_is_small(record_property: Callable[[str, object], None]) -> None:
    """systemd-analyze security stays below the bar."""
    unit = ROOT / "systemd" / CHECK_UNIT
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(*(line for line in said.splitlines() if not line.startswith("✓")), sep="\n")  # noqa: T201
    found = re.search(r"Overall exposure level for mandos-check\.service: ([0-9.]+)", said)
    assert found, said
    record_property("exposure", found[1])
    assert float(found[1]) <= WORST_EXPOSURE


def test_healthy_machine(booted: Booted) -> None:
    """The unit has done the whole check inside its sandbox, and says nothing."""
    with booted.serve() as server:
        status, journal = _start(booted, CHECK_UNIT)
        assert status == 0, journal
        server.wait_for("sent the secret of client checked .* for a rehearsal")
    assert booted.machine.show(CHECK_UNIT, "Result") == "success"
    assert "BROKEN" not in journal
    assert "server" not in journal.replace(CHECK_UNIT, "")


def test_broken_machine(booted: Booted) -> None:
    """The unit is failed, as monitoring sees it, and its journal has the finding."""
    booted.boot_with("mandos=off")
    with booted.serve():
        status, journal = _start(booted, CHECK_UNIT)
    assert status == 1
    failed = booted.machine.systemctl("list-units", "--failed", "--plain", "--no-legend")
    assert failed.startswith(CHECK_UNIT), failed
    assert "This machine would not come back by itself." in journal
    assert re.search("^boot loader +BROKEN ", journal, re.MULTILINE), journal
    assert "cure: remove the word in /etc/default/grub" in journal
    # The next check that passes ends that.
    booted.boot_with("quiet")
    with booted.serve():
        status, journal = _start(booted, CHECK_UNIT)
    assert (status, booted.machine.show(CHECK_UNIT, "ActiveState")) == (0, "inactive"), journal


def test_each_link_is_seen_in_the_sandbox(booted: Booted) -> None:
    """The last links, too: a server that is not there, and a disk with another password."""
    status, journal = _start(booted, CHECK_UNIT)
    assert status == 1
    assert "no server was found" in journal
    booted.change_password()
    with booted.serve():
        status, journal = _start(booted, CHECK_UNIT)
    assert status == 1
    assert "does not open cryptroot" in journal


def test_timer(booted: Booted) -> None:
    """Enabled, it starts the check within a day and an hour."""
    booted.machine.systemctl("enable", "--now", "mandos-check.timer")
    try:
        assert booted.machine.show("mandos-check.timer", "Unit") == CHECK_UNIT
        shown = booted.machine.run(
            "systemctl", "list-timers", "--output=json", "mandos-check.timer"
        )
        assert 0 < _seconds_left(shown) <= 25 * 3600
    finally:
        booted.machine.systemctl("disable", "--now", "mandos-check.timer")


def _seconds_left(shown: bytes) -> float:
    found = re.search(rb'"next":(\d+)', shown)
    assert found, shown
    return int(found[1]) / 1e6 - time.time()


def test_reboot_that_nothing_asks_for(booted: Booted) -> None:
    """The machine passes, and stays up."""
    with booted.serve():
        status, journal = _start(booted, REBOOT_UNIT)
    assert status == 0, journal
    assert booted.machine.show(REBOOT_UNIT, "ConditionResult") == "no"
    assert booted.machine.systemctl("is-system-running").strip() == "running"


def test_reboot_of_a_broken_machine(booted: Booted) -> None:
    """It does not take place, and the check is the failed unit."""
    booted.machine.file(REQUIRED).touch()
    booted.boot_with("mandos=off")
    with booted.serve():
        status, journal = _start(booted, REBOOT_UNIT)
    assert status == 1
    assert "This machine would not come back by itself." in journal
    assert booted.machine.show(CHECK_UNIT, "ActiveState") == "failed"
    assert booted.machine.systemctl("list-jobs").strip() == "No jobs running."


def test_reboot_while_another_program_objects(booted: Booted) -> None:
    """Its inhibitor is obeyed, though root asks."""
    booted.machine.file(REQUIRED).touch()
    booted.machine.hold_off_shutdown("updater")
    with booted.serve():
        status, journal = _start(booted, REBOOT_UNIT)
    assert status == 1, journal
    assert booted.machine.show(CHECK_UNIT, "Result") == "success"
    assert booted.machine.show(REBOOT_UNIT, "ActiveState") == "failed"
    words = ("--output=cat", f"--unit={REBOOT_UNIT}")
    assert 'inhibited by "updater"' in booted.machine.run("journalctl", *words).decode()
    booted.machine.systemctl("stop", "updater")


@pytest.mark.usefixtures("_possible")
def test_reboot_after_a_pass(workshop: Host, stack: ExitStack) -> None:
    """The machine passes, and reboots."""
    booted = _make(stack, workshop)
    booted.restore()
    booted.machine.file(REQUIRED).touch()
    with booted.serve() as server:
        booted.machine.start("systemctl", "start", "--no-block", REBOOT_UNIT)
        server.wait_for("sent the secret of client checked .* for a rehearsal")
        booted.machine.wait_for_reboot()
