# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit mandos.service under a real systemd: its sandbox, and that checkers work inside it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from harness.machine import OPT, ROOT, UNIT, Machine, why_no_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.peer

#: What systemd-analyze may say at most (0 is best, 10 worst; systemd 252).  What it counts is that
#: the server is on the network, hands CAP_NET_RAW to checkers, reads root's files at start and then
#: drops that right by capset(2), and sees the machine's users and root directory.
WORST_EXPOSURE = 1.7
NET_RAW = 1 << 13
#: Runs where the server would: gives up what it may, then runs each argument as a checker, all at
#: once, and writes down how everything went.
PROBE = f"""
import sys
sys.path += ["{OPT}/src", "{OPT}/packages"]
import encodings.idna, json, os, subprocess
from pathlib import Path
from mandos.server.system import privileges
from mandos.tls import gnutls
from mandos.tls.credentials import Credentials, Priority
from mandos.wire import grammar

Credentials(), Priority(grammar.PRIORITY)
secret = Path("/etc/mandos/probe.secret").read_text()
privileges.allow_many_descriptors()
privileges.give_up_root()

def tried(path):
    try:
        with open(path, "a"):
            return "done"
    except OSError as error:
        return error.strerror

def checker(command):
    return subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)

with open("/proc/self/status") as file:
    status = dict(line.split(":", 1) for line in file)
checkers = [checker(command) for command in sys.argv[1:]]
said = [(process.communicate()[0], process.returncode) for process in checkers]
paths = ("/etc/mandos/clients.conf", "/etc/mandos/probe.secret", "/usr/x", "/var/lib/x", "/run/x",
         "/home/x", "/root/x", "/tmp/x", "/dev/kmsg", "/proc/sys/kernel/hostname")
Path("/var/lib/mandos/probe").write_text(json.dumps({{
    "secret": secret, "status": status, "checkers": said,
    "opened": {{path: tried(path) for path in paths}},
    "homes": [os.listdir(path) if os.access(path, os.R_OK) else [] for path in ("/home", "/root")],
    "processes": [pid for pid in os.listdir("/proc") if pid.isdecimal()], "own": os.getpid(),
}}))
"""
DROP_IN = """[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart={command}
"""


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A machine where systemd runs."""
    if (reason := why_no_machine()) is not None:
        pytest.skip(reason)
    with Machine("server") as machine:
        yield machine


@pytest.fixture(scope="session")
def probe(machine: Machine) -> Callable[..., dict[str, Any]]:
    """A function: what a program in the unit's sandbox saw, with these checkers."""
    python = f"{OPT}/python"
    machine.write(f"{OPT}/probe.py", PROBE)
    machine.write("/etc/mandos/probe.secret", "root's alone", mode=0o600)
    machine.write("/etc/systemd/system/probe.service", UNIT.read_text(encoding="utf-8"))
    machine.path("/etc/systemd/system/probe.service.d").mkdir()
    machine.path("/home/somebody").mkdir()

    def run(*checkers: str) -> dict[str, Any]:
        words = " ".join(json.dumps(checker.replace("$", "$$")) for checker in checkers)
        command = f"/usr/bin/env LD_LIBRARY_PATH={python}/lib {python}/bin/python3 -IS"
        text = DROP_IN.format(command=f"{command} {OPT}/probe.py {words}")
        machine.write("/etc/systemd/system/probe.service.d/test.conf", text)
        machine.systemctl("daemon-reload")
        machine.systemctl("start", "probe.service")
        found = machine.path("/var/lib/mandos/probe").read_text(encoding="utf-8")
        return dict(json.loads(found))

    return run


@pytest.fixture
def verified() -> None:
    """These need systemd's own programs, and nothing else."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")


@pytest.mark.usefixtures("verified")
def test_exposure_is_small(record_property: Callable[[str, object], None]) -> None:
    """systemd-analyze security, which sees the unit only, stays below the bar."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(*(line for line in said.splitlines() if not line.startswith("✓")), sep="\n")  # noqa: T201
    found = re.search(r"Overall exposure level for mandos\.service: ([0-9.]+)", said)
    assert found, said
    record_property("exposure", found[1])
    assert float(found[1]) <= WORST_EXPOSURE


def test_unit_is_understood(machine: Machine) -> None:
    """Systemd finds nothing wrong in the unit, nor in what it refers to but the manual pages."""
    said = machine.start("systemd-analyze", "verify", "--man=no", "mandos.service")
    assert said.wait() == 0
    assert said.log == ""


def test_user_is_nobody_else(machine: Machine) -> None:
    """sysusers.d makes a user that cannot log in and has no home."""
    entry = machine.run("getent", "passwd", "_mandos").decode().strip().split(":")
    assert entry[5:] == ["/nonexistent", "/usr/sbin/nologin"]
    assert (ROOT / "sysusers.d" / "mandos-common.conf").is_file()


def test_checkers_can_ping(probe: Callable[..., dict[str, Any]]) -> None:
    """The default checker works in the sandbox, over both families, 128 of them at once."""
    found = probe(*["fping -q -- ::1", "fping -q -- 127.0.0.1"] * 64)
    assert found["checkers"] == [["", 0]] * 128
    assert probe("fping -q -t 100 -r 0 -- 2001:db8::1")["checkers"][0][1] != 0


def test_checkers_can_compare_ssh_keys(
    machine: Machine, probe: Callable[..., dict[str, Any]]
) -> None:
    """What mandos-keygen writes for a client with an SSH server works in the sandbox."""
    machine.path("/run/sshd").mkdir()
    machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/run/host-key")
    with machine.start(
        *("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", "2222", "-h", "/run/host-key"),
        *("-o", "ListenAddress=::1"),
    ) as daemon:
        daemon.wait_for("Server listening")
        key = machine.path("/run/host-key.pub").read_text(encoding="ascii").split()[1]
        scan = "ssh-keyscan -t ed25519 -p 2222 ::1 2>/dev/null | grep --fixed-strings --quiet -- "
        found = probe(scan + key, scan + key[::-1])
    assert [status for _said, status in found["checkers"]] == [0, 1]


def test_one_right_is_left(machine: Machine, probe: Callable[..., dict[str, Any]]) -> None:
    """It reads what is root's alone, then is its own user with CAP_NET_RAW and nothing else."""
    found = probe("true")
    assert found["secret"] == "root's alone"
    user = machine.run("id", "--user", "_mandos").decode().split()[0]
    status = found["status"]
    assert status["Uid"].split() == [user] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {NET_RAW}
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


def test_sandbox_holds(probe: Callable[..., dict[str, Any]]) -> None:
    """Only state and a private /tmp can be written; others' homes and processes are hidden."""
    found = probe("true")
    opened = found["opened"]
    assert opened.pop("/tmp/x") == "done"  # noqa: S108 - a private one, as the next assertion says
    assert "done" not in opened.values()
    assert found["homes"] == [[], []]
    assert str(found["own"]) in found["processes"]
    assert "1" not in found["processes"]


def test_rights_of_a_checker(probe: Callable[..., dict[str, Any]]) -> None:
    """What the server could do at start its checkers cannot, nor much else that nobody needs."""
    refused = {
        "cat /etc/mandos/probe.secret": "Permission denied",
        "unshare --user true": "Operation not permitted",
        "setpriv --reuid 0 true": "Operation not permitted",
        "python3 -c 'import socket; socket.socket(socket.AF_PACKET)'": "not supported by protocol",
        "python3 -c 'import mmap; mmap.mmap(-1, 9, prot=7)'": "Operation not permitted",
    }
    found = probe(*refused)
    for (said, status), expected in zip(found["checkers"], refused.values(), strict=True):
        assert status != 0
        assert expected in said


def test_state_directory(machine: Machine, probe: Callable[..., dict[str, Any]]) -> None:
    """Systemd makes it for the server's user alone."""
    probe("true")
    shown = machine.run("stat", "--format=%U %G %a", "/var/lib/mandos").decode()
    assert shown == "_mandos _mandos 700\n"
