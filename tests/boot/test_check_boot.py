# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``mandos-check --boot`` on a running machine: its own image boots in a virtual machine.

The machine that is checked is a host of the test; the server is a real one on its link.
"""

from __future__ import annotations

import hashlib
import json
import re
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.families import ours
from harness.peers import PORT, start_server
from harness.vm.choices import EVERY, machines
from harness.vm.console import PATIENCE
from harness.vm.images import PASSWORD
from harness.vm.layouts import TWO_DISKS
from harness.vm.live import CHECK, LiveMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from harness.peers import Server
    from harness.process import Process
    from harness.vm.boot import Site
    from harness.vm.images import Disks, Image

    Took = Callable[[dict[str, float]], None]

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3600)]

QEMU = "qemu-system-x86_64"
#: Seconds that a boot may take on a busy computer; reached on failure only.
LIMIT = 1800


@pytest.fixture
def live(site: Site, made: Image, disks: Disks, stack: ExitStack) -> LiveMachine:
    """The running machine."""
    return stack.enter_context(LiveMachine(site, made, disks))


@pytest.fixture
def server(site: Site, made: Image) -> Iterator[Server]:
    """Its server."""
    with start_server(site.host(avahi=True), ours(), made.section, zeroconf=True) as server:
        yield server


def _check(live: LiveMachine, *options: str) -> Process:
    return live.start(CHECK, "--json", "--boot", f"--boot-limit={LIMIT}", *options)


def _result(process: Process) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """The exit status, the finding about the boot, and all findings."""
    status = process.wait(LIMIT + PATIENCE)
    assert "Traceback" not in process.log, process.report("traceback")
    findings = json.loads(process.stdout)["findings"]
    (boot,) = [finding for finding in findings if finding["link"] == "boot"]
    return status, boot, findings


def _emulators(live: LiveMachine) -> list[int]:
    """The virtual machines of the host, by the test's own process numbers."""
    own = Path(f"/proc/{live.pid}/ns/pid").readlink()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            program = (process / "exe").readlink().name  # one that has ended has none
            if program == QEMU and (process / "ns/pid").readlink() == own:
                found.append(int(process.name))
        except OSError:
            continue  # it has ended
    return found


def _wait_for_emulator(live: LiveMachine, process: Process) -> Path:
    """Return the folder in /proc of the virtual machine, as soon as there is one."""
    _wait_until(lambda: _emulators(live) or not process.running, "there is a virtual machine")
    found = _emulators(live)
    assert found, process.report("the check ended without a virtual machine")
    return Path(f"/proc/{found[0]}")


@machines("trixie-initramfs-tools", generators=EVERY)
def test_image_boots(live: LiveMachine, disks: Disks, server: Server, took: Took) -> None:
    """The disks are unlocked, by rehearsals alone, and the machine is as it was."""
    before = hashlib.sha256(disks.root.read_bytes()).digest()
    process = _check(live)
    qemu = _wait_for_emulator(live, process)
    _is_confined(qemu)
    status, boot, findings = _result(process)
    assert (status, boot["verdict"]) == (0, "ok"), findings
    seconds = re.fullmatch(r"root unlocked (\d+) s after switching on.*", boot["text"])
    assert seconds is not None, boot
    took({"unlocked": float(seconds[1])})
    sent = [line for line in server.host.syslog.lines if "sent the secret" in line]
    assert len(sent) >= 2
    assert all("for a rehearsal" in line for line in sent), sent
    assert not _emulators(live)
    assert hashlib.sha256(disks.root.read_bytes()).digest() == before
    assert PASSWORD not in process.log


def _is_confined(process: Path) -> None:
    """It has no rights, a network with one cable, and no password in its arguments."""
    _wait_until(lambda: _status(process)["Seccomp"] == "2", "it is confined")
    status = _status(process)
    assert "0" not in status["Uid"].split() + status["Groups"].split()
    assert status["CapEff"].strip("0") == ""
    interfaces = [line.split(":")[0].strip() for line in _lines(process / "net/dev")[2:]]
    assert sorted(interfaces) == ["lo", "mandos"]
    assert PASSWORD.encode() not in (process / "cmdline").read_bytes()


def _status(process: Path) -> dict[str, str]:
    """The fields of proc_pid_status(5)."""
    pairs = (line.partition(":") for line in _lines(process / "status"))
    return {name: value.strip() for name, _colon, value in pairs}


def _wait_until(happened: Callable[[], object], event: str) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"in vain waited until {event}"
        threading.Event().wait(0.05)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()


@machines(suites=("trixie",), layout=TWO_DISKS)
@pytest.mark.usefixtures("server")
def test_two_disks(live: LiveMachine) -> None:
    """Both have to be unlocked."""
    status, boot, findings = _result(_check(live))
    assert (status, boot["verdict"]) == (0, "ok"), findings


@machines(suites=("bookworm", "trixie"))
def test_wrong_secret(live: LiveMachine, site: Site, wrong: str) -> None:
    """A password that does not open the disk is refused, and the boot is broken."""
    with start_server(site.host(avahi=True), ours(), wrong, zeroconf=True):
        status, boot, findings = _result(_check(live))
    assert (status, boot["verdict"]) == (1, "broken"), findings
    assert "did not open the disk" in boot["text"]


@machines(generators=("initramfs-tools",), suites=("bookworm", "trixie"))
def test_connect_over_ipv4(
    site: Site, disks: Disks, made: Image, stack: ExitStack, took: Took
) -> None:
    """The private network has the address of mandos=connect, and the card the name that ip= has."""
    host = site.host()
    host.give_addresses("192.0.2.1")
    words = f"mandos=connect:192.0.2.1:{PORT} ip=192.0.2.2::192.0.2.1:255.255.255.0::eth0:off"
    live = stack.enter_context(LiveMachine(site, made, disks, words))
    live.give_addresses("192.0.2.2")
    with start_server(host, ours(), made.section):
        status, boot, findings = _result(_check(live))
    assert (status, boot["verdict"]) == (0, "ok"), findings
    took({"unlocked": float(boot["text"].split()[2])})


@machines(suites=("trixie",))
def test_connect_to_link_local(
    site: Site, disks: Disks, made: Image, stack: ExitStack, took: Took
) -> None:
    """The card has the name that belongs to a link-local address."""
    host = site.host()
    words = f"mandos=connect:[{host.link_local()}%eth0]:{PORT}"
    live = stack.enter_context(LiveMachine(site, made, disks, words))
    with start_server(host, ours(), made.section):
        status, boot, findings = _result(_check(live))
    assert (status, boot["verdict"]) == (0, "ok"), findings
    took({"unlocked": float(boot["text"].split()[2])})


@machines(generators=("initramfs-tools",), suites=("trixie",))
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("server")
def test_killed_check_leaves_nothing(live: LiveMachine, number: signal.Signals) -> None:
    """The virtual machine ends with the check, by each signal, and so do its disks."""
    process = _check(live)
    qemu = _wait_for_emulator(live, process)
    process.signal(number)
    status = process.wait()
    if number != signal.SIGKILL:
        assert (status, _emulators(live)) == (128 + number, [])
        assert ("ended by SIGINT" in process.log) == (number == signal.SIGINT), process.log
    _wait_until(lambda: not _emulators(live), f"{qemu} has ended")
    assert live.run("find", "/run/mandos-check", "-mindepth", "1") == b""
