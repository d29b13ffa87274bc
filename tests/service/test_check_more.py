# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-check where the running system and the next boot differ, or where it is cut short.

Names, approvals, the time of the last boot, the end by SIGKILL.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import checked as harness
from harness.bus import start_system_bus
from harness.bus_server import BusServer
from harness.families import ours
from harness.host import Host
from harness.machine import OPT, Machine, why_no_machine
from harness.peers import PORT, start_server
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.checked import Checked
    from harness.peers import Server
    from harness.process import Process

pytestmark = pytest.mark.peer

NAME = "keeper.example.org"


@pytest.fixture(scope="module")
def machine(_possible: None, workshop: Host) -> Iterator[Checked]:
    """A machine with image, disk and boot loader, and the host of its server on the same link."""
    with harness.healthy_machine(workshop) as machine:
        yield machine


@pytest.fixture
def checked(machine: Checked) -> Checked:
    """The machine, healthy again."""
    machine.restore()
    return machine


def _links(findings: list[dict[str, str]], verdict: str) -> list[str]:
    return [finding["link"] for finding in findings if finding["verdict"] == verdict]


def _passes(checked: Checked) -> list[dict[str, str]]:
    """Check a machine that has to pass; returns the findings."""
    status, findings = checked.check()
    bad = [str(finding) for finding in findings if finding["verdict"] != "ok"]
    assert (status, bad) == (0, []), "\n".join(bad)
    return findings


def _broken(findings: list[dict[str, str]]) -> dict[str, str]:
    (found,) = (finding for finding in findings if finding["verdict"] == "broken")
    return found


def _connect_by_name(checked: Checked, *commands: str) -> str:
    """Make an image whose client asks a server by its name; returns the server's IPv4 address."""
    line = f"--options-for=mandos-client:--connect={NAME}:{PORT}"
    checked.change_image(f"echo '{line}' >conf/conf.d/mandos/plugin-runner.conf", *commands)
    return next(one for one in checked.server_host.every_address() if ":" not in one)


def _serve(checked: Checked) -> Server:
    """Start a server at the usual port, which it does not announce."""
    return start_server(checked.server_host, ours(), checked.keys.section)


@pytest.fixture
def known_here(checked: Checked) -> Iterator[str]:
    """A name that the running system knows by its /etc/hosts, and its address."""
    file = checked.machine.file("/etc/hosts")
    before = file.read_text(encoding="utf-8")
    address = _connect_by_name(checked)
    file.write_text(f"{before}\n{address} {NAME}\n", encoding="utf-8")
    yield address
    file.write_text(before, encoding="utf-8")


@pytest.fixture
def name_server(checked: Checked, stack: ExitStack) -> Callable[[Host], None]:
    """A function: a name server on this host, which knows the name."""
    if shutil.which("dnsmasq") is None:
        pytest.skip("dnsmasq is not installed (tools/test-setup installs it when root)")
    address = _connect_by_name(checked)

    def serve(host: Host) -> None:
        process = host.start(
            *("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--no-resolv", "--no-hosts"),
            *("--conf-file=/dev/null", "--user=root", "--pid-file="),
            f"--address=/{NAME}/{address}",
        )
        stack.callback(process.terminate)
        process.wait_for("started, version")

    return serve


def test_name_that_the_image_knows(checked: Checked) -> None:
    """The image's own /etc/hosts counts; the running system does not know the name."""
    address = _connect_by_name(checked)
    checked.change_image(f"echo '{address} {NAME}' >>etc/hosts")
    with _serve(checked):
        findings = _passes(checked)
    assert any(f"{NAME}:{PORT} at {address}" in finding["text"] for finding in findings), findings


def test_name_that_only_the_running_system_knows(checked: Checked, known_here: str) -> None:
    """The boot would not find the server; the cure is its address, and with that it does."""
    with _serve(checked):
        status, findings = checked.check()
        assert (status, _links(findings, "broken")) == (1, ["server"]), findings
        assert "this system knows it, as" in _broken(findings)["text"]
        assert f"by its address, {known_here}" in _broken(findings)["cure"]
        checked.change_image(f"sed -i s/{NAME}/{known_here}/ conf/conf.d/mandos/plugin-runner.conf")
        _passes(checked)


def test_name_server_on_the_machine_itself(
    checked: Checked, name_server: Callable[[Host], None]
) -> None:
    """It does not run at boot, whatever file in the image names it."""
    name_server(checked.machine)
    checked.change_image("echo nameserver 127.0.0.1 >etc/resolv.conf")
    with _serve(checked):
        status, findings = checked.check()
    assert (status, _links(findings, "broken")) == (1, ["server"]), findings
    assert "the image has no name server" in _broken(findings)["text"]


@pytest.mark.parametrize("knows", [True, False], ids=["known", "unknown"])
def test_name_server_in_the_image(
    checked: Checked, name_server: Callable[[Host], None], *, knows: bool
) -> None:
    """A file of the image names it: it is asked, over the machine's own network."""
    address = _connect_by_name(checked)
    checked.change_image(f"echo nameserver {address} >etc/resolv.conf")
    if knows:
        name_server(checked.server_host)
    with _serve(checked):
        if knows:
            _passes(checked)
        else:
            _status, findings = checked.check()
            assert "no name server" not in _broken(findings)["text"]


def test_name_server_of_the_command_line(
    checked: Checked, name_server: Callable[[Host], None]
) -> None:
    """Where the image's scripts write /etc/resolv.conf, the one that ip= names is asked."""
    name_server(checked.server_host)
    address = _connect_by_name(checked)
    checked.boot_with(f"mandos=connect ip=::::checked:eth0:off:{address}:")
    with _serve(checked):
        checked.change_image("sed -i '/resolv.conf/d' scripts/functions")
        status, findings = checked.check()
        assert (status, _links(findings, "broken")) == (1, ["server"]), findings
        checked.change_image("echo '# writes /etc/resolv.conf' >>scripts/functions")
        _passes(checked)


def _approval(checked: Checked, stack: ExitStack, settings: str, *verdict: str) -> BusServer:
    """Start a server on the bus whose client has these settings, and give a verdict."""
    host = stack.enter_context(Host("approving"))
    checked.machine.connect(host, "eth2")
    stack.callback(checked.machine.run, "ip", "link", "delete", "eth2")
    start_system_bus(host)
    server = BusServer(host, ours(), f"{checked.keys.section}\n{settings}\n")
    server.start()
    if verdict:
        host.run(ours().ctl, *verdict, "checked")
    line = f"--options-for=mandos-client:--connect=[{host.link_local('eth2')}%eth2]:{PORT}"
    checked.change_image(f"echo '{line}' >conf/conf.d/mandos/plugin-runner.conf")
    return server


def test_approval_that_lasts(checked: Checked, stack: ExitStack) -> None:
    """The machine comes back while it lasts: a warning, and the password is tried."""
    server = _approval(
        checked, stack, "approved_by_default = no\napproval_duration = PT1H", "--approve"
    )
    status, findings = checked.check()
    assert (status, _links(findings, "warning")) == (0, ["server"]), findings
    assert "secret" in _links(findings, "ok")
    server.wait_for("sent the secret of client checked .* for a rehearsal")


def test_approval_that_is_over_soon(checked: Checked, stack: ExitStack) -> None:
    """The next boot asks later than that: broken."""
    _approval(checked, stack, "approved_by_default = no\napproval_duration = PT9M", "--approve")
    status, findings = checked.check()
    assert (status, _links(findings, "broken")) == (1, ["server"]), findings
    assert "the one that was given lasts" in _broken(findings)["text"]


def test_denial_in_force(checked: Checked, stack: ExitStack) -> None:
    """It says nothing of the next boot, nor of the password."""
    _approval(checked, stack, "approval_duration = PT1H", "--deny")
    status, findings = checked.check()
    assert (status, _links(findings, "not sure")) == (2, ["server"]), findings


def test_delay_for_an_objection(checked: Checked, stack: ExitStack) -> None:
    """The check waits as the boot does, and the password comes."""
    server = _approval(checked, stack, "approval_delay = PT2S")
    findings = _passes(checked)
    assert any("waits 2 s for an objection" in finding["text"] for finding in findings), findings
    server.wait_for("sent the secret of client checked .* for a rehearsal")


class _Booted(Machine):
    """A machine whose boot writes a line to the journal."""

    def __init__(self, line: str) -> None:
        self._line = line
        super().__init__("booted")

    def _install(self) -> None:
        super()._install()
        self.path("/etc/systemd/system/booted.service.d").mkdir()
        self.write(
            "/etc/systemd/system/booted.service.d/line.conf",
            f"[Service]\nExecStartPre=/bin/echo '{self._line}'\n",
        )

    def last_boot(self) -> Mapping[str, Any]:
        """The times that the check reads of this machine."""
        program = f"""
import json, sys
sys.path += ["{OPT}/src", "{OPT}/packages"]
from mandos.check.boot_time import last_boot
print(json.dumps(last_boot()._asdict()))
"""
        python = f"{OPT}/python/bin/{Path(sys.executable).resolve().name}"
        library = {"LD_LIBRARY_PATH": f"{OPT}/python/lib"}
        shown: dict[str, Any] = json.loads(
            self.run(python, "-IS", "-c", program, environment=library)
        )
        return shown


@pytest.mark.parametrize(
    ("line", "exact"),
    [
        ("mandos-handover: gave the password to the prompt for cryptroot", True),
        ("gave the password to the prompt for cryptroot", True),
        ("answered: Please enter passphrase for disk cryptroot:", True),
        ("mandos-handover: asking a server", False),
    ],
)
def test_times_of_a_real_boot(stack: ExitStack, line: str, *, exact: bool) -> None:
    """By systemd's own properties and journal; the report of the password is found there."""
    if (reason := why_no_machine()) is not None:
        pytest.skip(reason)
    machine = stack.enter_context(_Booted(line))
    boot = machine.last_boot()
    assert boot["exact"] == exact
    total = machine.systemctl("show", "--value", "--property=FinishTimestampMonotonic")
    start = machine.systemctl("show", "--value", "--property=UserspaceTimestampMonotonic")
    assert 0 < round(boot["coming"] * 1e6) <= int(total) - int(start)


#: Prints the processes that belong to a check: its own, and those in an image; then the mounts.
TRACES = """
for folder in /proc/[0-9]*; do
    root=$(readlink "$folder/root") || continue
    case $root in /run/mandos-check/*) echo "image ${folder#/proc/}" ;; esac
    [ "$(cat "$folder/comm")" != mandos-check ] || echo "check ${folder#/proc/}"
    grep -q /run/mandos-check/ "$folder/mountinfo" && echo "image is furnished"
    grep -q ' /run/mandos-check ' "$folder/mountinfo" && echo "folder is mounted"
done 2>/dev/null
:
"""


def _traces(machine: Host) -> list[str]:
    return machine.run("sh", "-c", TRACES).decode().splitlines()


def _number(kind: str) -> Callable[[list[str]], int]:
    return lambda traces: sum(line.startswith(kind) for line in traces)


#: Moments of a check: how many traces of which kind show that it has come.
MOMENTS = {
    "a folder for images is mounted": ("folder", 1),
    "the image is furnished": ("image is furnished", 1),
    "the image's client runs": ("image", 2),
    "the client has all its helpers": ("image", 4),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_ends_all(checked: Checked, moment: str) -> None:
    """No process of the image and no mount outlives a check that ends by SIGKILL."""
    machine = checked.machine
    kind, number = MOMENTS[moment]
    # The request waits for a person, so the client is at work until it is ended.
    with checked.serve(f"{checked.keys.section}\napproval_delay = PT100S\n"):
        process = machine.start(harness.CHECK)
        _wait_until(machine, lambda traces: _number(kind)(traces) >= number)
        _kill(machine, process)
    checked.restore()
    with checked.serve():
        _passes(checked)  # and the next check finds nothing in its way


def test_kill_ends_a_look_up(checked: Checked) -> None:
    """The process that looks a name up shares the machine's network, and ends too."""
    machine = checked.machine
    _connect_by_name(checked)
    checked.change_image("echo nameserver 192.0.2.99 >etc/resolv.conf")
    machine.run("ip", "route", "replace", "192.0.2.99", "dev", "eth0")  # nothing answers there
    process = machine.start(harness.CHECK)
    _wait_until(machine, lambda traces: _number("image")(traces) >= 2)
    _kill(machine, process)
    machine.run("ip", "route", "delete", "192.0.2.99", "dev", "eth0")


def _kill(machine: Host, process: Process) -> None:
    """Kill a check, and wait until there is no trace of it."""
    own = min(int(line.split()[1]) for line in _traces(machine) if line.startswith("check"))
    machine.run("kill", "-KILL", str(own))
    assert process.wait() == -signal.SIGKILL
    _wait_until(machine, lambda traces: not traces)


def _wait_until(machine: Host, condition: Callable[[list[str]], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition(traces := _traces(machine)):
        assert time.monotonic() < deadline, traces
