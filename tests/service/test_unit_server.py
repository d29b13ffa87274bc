# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our server under our unit and a real systemd: from start through reload and watchdog to stop."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_avahi, start_system_bus
from harness.families import ours
from harness.host import Host
from harness.keys import make_credentials
from harness.machine import Machine, why_no_machine
from harness.patience import Patience
from harness.peers import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.process import Process

pytestmark = pytest.mark.peer

UNIT = "mandos.service"
PORT = 711  # below 1024: a right that is gone once it serves
NET_RAW = 1 << 13
#: Asks for a reload as an ordinary user.
ASK = """
import socket
socket.socket(socket.AF_UNIX).connect("/run/mandos/control")
"""
SOCKET = f"""[Socket]
ListenStream=[::1]:{PORT}
"""


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine where systemd runs, with a server that is configured but not started."""
    if (reason := why_no_machine()) is not None:
        pytest.skip(reason)
    with Machine("server") as machine:
        machine.write("/etc/mandos/mandos.conf", f"[DEFAULT]\nport = {PORT}\n")
        configure(machine, section("alpha"))
        yield machine


def section(name: str, *lines: str) -> str:
    """A client's section; its key is made up from its name."""
    key_id, secret = name.encode().hex().ljust(64, "0"), base64.b64encode(b"sealed").decode()
    return "\n".join([f"[{name}]", f"key_id = {key_id}", f"secret = {secret}", *lines, ""])


def configure(machine: Machine, *sections: str) -> None:
    """Write clients.conf as root's alone."""
    machine.write("/etc/mandos/clients.conf", "\n".join(sections), mode=0o600)


def drop_in(machine: Machine, *lines: str) -> None:
    """Set something else in the unit's section [Service]."""
    machine.path(f"/etc/systemd/system/{UNIT}.d").mkdir()
    text = "\n".join(["[Service]", *lines, ""])
    machine.write(f"/etc/systemd/system/{UNIT}.d/test.conf", text)
    machine.systemctl("daemon-reload")


def start(machine: Machine) -> Process:
    """Start the unit, which returns when it is ready; its log is watched from then on."""
    machine.systemctl("start", UNIT)
    return machine.follow(UNIT)


def main_pid(machine: Machine) -> int:
    """The server's process, as the machine counts."""
    return int(machine.show(UNIT, "MainPID"))


def test_is_ready_when_it_serves(machine: Machine) -> None:
    """Start returns when the port is open; the status line says how many clients there are."""
    start(machine)
    listening = machine.run("ss", "-Hltn", f"sport = :{PORT}").decode()
    assert f":{PORT} " in listening
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.show(UNIT, "StatusText") == f"port {PORT}: 1 clients enabled, 0 disabled"


def test_it_never_holds_more_than_it_needs(machine: Machine) -> None:
    """The serving process is its own user's, can ping, and nothing else."""
    start(machine)
    text = machine.path(f"/proc/{main_pid(machine)}/status").read_text(encoding="ascii")
    status = dict(line.split(":\t", 1) for line in text.splitlines())
    user = machine.run("id", "--user", "_mandos").decode().strip()
    assert status["Uid"].split() == [user] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {NET_RAW}
    assert status["NoNewPrivs"] == "1"
    tasks = machine.path(f"/proc/{main_pid(machine)}/task").iterdir()
    for task in tasks:
        assert f"CapPrm:\t{NET_RAW:016x}" in (task / "status").read_text(encoding="ascii")


def test_its_checkers_tell_the_living_from_the_dead(machine: Machine) -> None:
    """With the default checker, whoever answers to ping stays enabled, the other is disabled."""
    times = ("interval = PT1S", "timeout = PT5S")
    living = section("living", "host = ::1", *times)
    configure(machine, living, section("dead", "host = 2001:db8::1", *times))
    log = start(machine)
    log.wait_for("client dead is disabled")
    machine.wait_until(UNIT, "StatusText", f"^port {PORT}: 1 clients enabled, 1 disabled$")
    assert "client living is disabled" not in log.log


def test_its_checkers_know_nothing_of_systemd(machine: Machine) -> None:
    """They can neither speak in the server's name nor find its sockets."""
    checker = "checker = env >/tmp/environment && mv /tmp/environment /var/lib/mandos"
    configure(machine, section("alpha", checker, "interval = PT1S"))
    start(machine)
    written = machine.path("/var/lib/mandos/environment")
    patience = Patience(30)
    while not written.exists():
        assert not patience.is_over()
    names = {line.partition("=")[0] for line in written.read_text(encoding="utf-8").splitlines()}
    assert not {name for name in names if re.match("NOTIFY|WATCHDOG|LISTEN", name)}


def test_it_gives_a_client_its_secret(machine: Machine) -> None:
    """A client gets its password from the server in its sandbox."""
    keys = make_credentials(machine, ours(), "beta", b"a password")
    configure(machine, keys.section)
    log = start(machine)
    assert _fetch(machine, keys.directory) == b"a password"
    log.wait_for("sent the secret of client beta")


def _fetch(machine: Machine, keys: str) -> bytes:
    return machine.run(
        *(ours().client, "--connect", f"::1:{PORT}", "--interface", "none"),
        *("--pubkey", f"{keys}/pubkey.txt", "--seckey", f"{keys}/seckey.txt"),
        *("--tls-pubkey", f"{keys}/tls-pubkey.pem", "--tls-privkey", f"{keys}/tls-privkey.pem"),
    )


@pytest.mark.parametrize("avahi", [True, False], ids=["Avahi", "alone"])
def test_it_is_found(machine: Machine, *, avahi: bool) -> None:
    """A client on the link finds it by Zeroconf, whoever announces it from the sandbox."""
    keys = make_credentials(machine, ours(), "beta", b"a password")
    configure(machine, keys.section)
    with Host("client") as client:
        machine.connect(client)
        if avahi:
            shutil.rmtree(machine.path("/run/dbus"))
            start_system_bus(machine)
            start_avahi(machine)
        log = start(machine)
        log.wait_for("announced as")
        assert fetch(client, ours(), keys) == b"a password"


def test_it_takes_a_socket_from_systemd(machine: Machine) -> None:
    """With a socket unit it is started by the first client, and serves it."""
    keys = make_credentials(machine, ours(), "beta", b"a password")
    configure(machine, keys.section)
    machine.write("/etc/mandos/mandos.conf", "[DEFAULT]\nzeroconf = no\nport = 4711\n")
    machine.write("/etc/systemd/system/mandos.socket", SOCKET)
    machine.systemctl("start", "mandos.socket")
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert _fetch(machine, keys.directory) == b"a password"
    assert machine.show(UNIT, "StatusText").startswith(f"port {PORT}:")


def test_two_sockets_are_refused(machine: Machine) -> None:
    """It does not guess which one is meant."""
    machine.write("/etc/systemd/system/mandos.socket", f"{SOCKET}ListenStream=[::1]:4712\n")
    machine.systemctl("start", "mandos.socket")
    assert machine.start("systemctl", "start", UNIT).wait() != 0
    machine.follow(UNIT).wait_for("passed 2 sockets, not one")


def test_reload(machine: Machine) -> None:
    """Systemctl reload reads the clients again; a broken file changes nothing, and it fails."""
    log = start(machine)
    shutil.chown(machine.path("/etc/mandos/clients.conf"), group=_group(machine))
    configure(machine, section("alpha"), section("beta"))
    machine.path("/etc/mandos/clients.conf").chmod(0o640)
    machine.systemctl("reload", UNIT)
    seen = log.wait_for("configuration read again: 2 clients, 1 added")
    machine.wait_until(UNIT, "StatusText", f"^port {PORT}: 2 clients enabled, 0 disabled$")
    machine.path("/etc/mandos/clients.conf").write_text("[gamma]\nsecret = ?\n", encoding="ascii")
    assert machine.start("systemctl", "reload", UNIT).wait() != 0
    log.wait_for("reload failed", after=seen)
    log.wait_for(r"mandos: /etc/mandos/clients\.conf: line 2: \[gamma\] secret: expected base64")
    machine.wait_until(UNIT, "StatusText", "^port .* 2 clients enabled.*the last reload failed")
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.show(UNIT, "NRestarts") == "0"
    configure(machine, section("alpha"))
    machine.path("/etc/mandos/clients.conf").chmod(0o640)
    machine.systemctl("reload", UNIT)
    machine.wait_until(UNIT, "StatusText", f"^port {PORT}: 1 clients enabled, 0 disabled$")


def test_reload_without_a_bus(machine: Machine) -> None:
    """It needs no D-Bus to know how it went, and another user cannot ask for it."""
    machine.write("/etc/mandos/mandos.conf", f"[DEFAULT]\nport = {PORT}\nuse_dbus = no\n")
    start(machine)
    assert machine.start("systemctl", "reload", UNIT).wait() != 0
    shutil.chown(machine.path("/etc/mandos/clients.conf"), group=_group(machine))
    machine.path("/etc/mandos/clients.conf").chmod(0o640)
    machine.systemctl("reload", UNIT)
    asking = machine.start(
        "setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", ASK
    )
    assert asking.wait() != 0
    assert "Permission denied" in asking.log


def test_one_bad_section_at_start(machine: Machine) -> None:
    """It costs one client: the others are served, and the status and the log say what is wrong."""
    configure(machine, section("alpha"), section("beta", "timeout = 5 minutes"))
    log = start(machine)
    log.wait_for(r"clients\.conf: line \d+: \[beta\] timeout: '5 minutes' is not a duration; write")
    log.wait_for("skipped because of mistakes in the configuration: beta; mend them, then reload")
    said = f"^port {PORT}: 1 clients enabled, 0 disabled; clients are skipped: .* see the log$"
    machine.wait_until(UNIT, "StatusText", said)
    configure(machine, section("alpha"), section("beta"))
    shutil.chown(machine.path("/etc/mandos/clients.conf"), group=_group(machine))
    machine.path("/etc/mandos/clients.conf").chmod(0o640)
    machine.systemctl("reload", UNIT)
    machine.wait_until(UNIT, "StatusText", f"^port {PORT}: 2 clients enabled, 0 disabled$")


STATES = {
    "read-only": ("mount -o remount,bind,ro /var/lib/mandos", "is mounted read-only"),
    "root's": ("chown -R root:root /var/lib/mandos", ""),
    "database of root": ("chown root:root /var/lib/mandos/mandos.db", "belongs to root"),
}


@pytest.mark.parametrize("kind", STATES)
def test_state_after_a_restore(machine: Machine, kind: str) -> None:
    """A state that cannot be written says who is disabled all the same."""
    times = ("checker = false", "interval = PT1S", "timeout = PT1S")
    configure(machine, section("alpha", "checker = true"), section("beta", *times))
    start(machine).wait_for("client beta is disabled")
    machine.systemctl("stop", UNIT)
    command, said = STATES[kind]
    machine.run("sh", "-ec", f"mount --bind /var/lib/mandos /var/lib/mandos; {command}")
    start(machine)
    machine.wait_until(UNIT, "StatusText", f"^port {PORT}: 1 clients enabled, 1 disabled.*{said}")


def test_reload_of_a_file_that_is_root_s(machine: Machine) -> None:
    """What could be read at start only is not read again, and the log says what to do."""
    log = start(machine)
    assert machine.start("systemctl", "reload", UNIT).wait() != 0
    log.wait_for("run: chgrp _mandos /etc/mandos/clients.conf; chmod 640")
    machine.wait_until(UNIT, "StatusText", "1 clients enabled.*the last reload failed")


def _group(machine: Machine) -> int:
    return int(machine.run("id", "--group", "_mandos"))


def test_watchdog(machine: Machine) -> None:
    """It gives its signs of life; when it hangs it is started again."""
    drop_in(machine, "WatchdogSec=2s", "RestartSec=0")
    log = start(machine)
    first = machine.show(UNIT, "WatchdogTimestampMonotonic")
    second = machine.wait_until(UNIT, "WatchdogTimestampMonotonic", f"^(?!{first}$)")
    machine.wait_until(UNIT, "WatchdogTimestampMonotonic", f"^(?!{second}$)")
    assert machine.show(UNIT, "NRestarts") == "0"
    hung = main_pid(machine)
    machine.run("kill", "-STOP", str(hung))
    log.wait_for("Watchdog timeout")
    machine.wait_until(UNIT, "NRestarts", "^1$")
    machine.wait_until(UNIT, "ActiveState", "^active$")
    assert main_pid(machine) != hung


def test_a_crash_is_followed_by_a_start(machine: Machine) -> None:
    """Killed, it is back by itself."""
    drop_in(machine, "RestartSec=0")
    start(machine)
    machine.run("kill", f"-{signal.SIGKILL}", str(main_pid(machine)))
    machine.wait_until(UNIT, "NRestarts", "^1$")
    machine.wait_until(UNIT, "StatusText", "1 clients enabled")


def test_a_wrong_configuration_is_tried_again(machine: Machine) -> None:
    """Start fails at once and the log says why; mended, the server comes up by itself."""
    machine.write("/etc/mandos/mandos.conf", "[DEFAULT]\nport = many\n")
    assert machine.start("systemctl", "start", UNIT).wait() != 0
    assert machine.show(UNIT, "ExecMainStatus") == str(os.EX_CONFIG)
    machine.follow(UNIT).wait_for("expected a TCP port .*, not 'many'")
    machine.write("/etc/mandos/mandos.conf", f"[DEFAULT]\nport = {PORT}\n")
    machine.wait_until(UNIT, "StatusText", "1 clients enabled")


def test_a_wrong_command_line_is_not_tried_again(machine: Machine) -> None:
    """The unit has to be mended and started anew."""
    drop_in(machine, "ExecStart=", "ExecStart=/usr/sbin/mandos --foreground --port=many")
    assert machine.start("systemctl", "start", UNIT).wait() != 0
    assert machine.show(UNIT, "ActiveState") == "failed"
    assert machine.show(UNIT, "ExecMainStatus") == str(os.EX_USAGE)


def test_stop(machine: Machine) -> None:
    """It ends by itself, with its checkers; systemd has nobody left to kill."""
    checker = "checker = touch /var/lib/mandos/checked && sleep 1000"
    configure(machine, section("alpha", checker, "interval = PT1S"))
    log = start(machine)
    patience = Patience(30)
    while not machine.path("/var/lib/mandos/checked").exists():
        assert not patience.is_over()
    machine.systemctl("stop", UNIT)
    assert machine.show(UNIT, "Result") == "success"
    assert machine.show(UNIT, "ExecMainStatus") == "0"
    log.wait_for("Stopped mandos.service")
    assert not re.search("[Kk]illing|timed out", log.log), log.log
    assert "SIGKILL" not in log.log
