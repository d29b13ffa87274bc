# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mandos-check ends well by signals, at any moment.

strace(1) sends the signal at a system call that belongs to the moment.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.checked import CHECK, Checked, healthy_machine
from harness.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.process import Process

pytestmark = pytest.mark.peer

#: Moments of a check, and the system call at which each begins.
MOMENTS = {
    "the private folder is made": "mount:when=2",
    "the image is decompressed": "pidfd_open,vfork,clone3:when=1",
    "the image is unpacked": "symlink:when=20",
    "servers are searched": "sendto:when=1",
    "a server is asked for its view": "connect:when=1",
    "the client has got its network": "unshare:when=1",
    "the client runs": "accept4:when=1",
}
PATIENCE = 30.0


@pytest.fixture(scope="module")
def machine(_possible: None, workshop: Host) -> Iterator[Checked]:
    """A machine with image, disk and boot loader, and the host of its server on the same link."""
    with healthy_machine(workshop) as machine:
        yield machine


@pytest.fixture
def checked(machine: Checked) -> Checked:
    """The machine, healthy again."""
    machine.restore()
    return machine


def _processes(checked: Checked) -> dict[str, str]:
    """The command lines of all processes of the machine, by their numbers."""
    own = Path(f"/proc/{checked.machine.pid}/ns/pid").readlink()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/pid").readlink() == own:
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[process.name] = words
        except OSError:
            continue  # it has ended
    return {number: words for number, words in found.items() if words}


def _mounts(checked: Checked) -> str:
    return Path(f"/proc/{checked.machine.pid}/mountinfo").read_text(encoding="utf-8")


def _traced(checked: Checked, name: str, call: str, *command: str) -> Process:
    """Start a program that gets a signal at a system call, in whichever of its threads."""
    tracer = ("strace", "-f", "-qq", "-o", "/run/trace", "-e", f"inject={call}:signal={name}")
    return checked.machine.start(*tracer, *command)


RUNNING = "the client runs"
ENDED = [(moment, "SIGINT") for moment in MOMENTS]


@pytest.mark.parametrize(
    ("moment", "name"), [*ENDED, (RUNNING, "SIGTERM"), (RUNNING, "SIGHUP"), (RUNNING, "SIGQUIT")]
)
def test_check_is_ended(checked: Checked, moment: str, name: str) -> None:
    """It says so but for SIGTERM, its status is that of the signal, and nothing of it is left."""
    before = _mounts(checked), _processes(checked)
    with checked.serve():
        serving = _processes(checked)
        process = _traced(checked, name, MOMENTS[moment], CHECK)
        status = process.wait()
        assert _processes(checked) == serving, process.log
    assert status == 128 + getattr(signal, name), process.log
    said = "" if name == "SIGTERM" else f"mandos-check: ended by {name}; the machine is as it was"
    assert process.log == said
    assert (_mounts(checked), _processes(checked)) == before
    assert not list(checked.machine.file("/run/mandos-check").glob("*"))


def test_check_is_killed(checked: Checked) -> None:
    """The image's client, which has root's half, does not go on without it."""
    before = _mounts(checked), _processes(checked)
    with checked.serve():
        serving = _processes(checked)
        process = _traced(checked, "SIGKILL", MOMENTS[RUNNING], CHECK)
        process.wait()
        end = time.monotonic() + PATIENCE
        while (there := _processes(checked)) != serving:
            assert time.monotonic() < end, there
            time.sleep(0.01)
    assert (_mounts(checked), _processes(checked)) == before


def test_check_that_ignores_the_hang_up(checked: Checked) -> None:
    """Under nohup(1) it goes on."""
    with checked.serve():
        process = _traced(checked, "SIGHUP", MOMENTS[RUNNING], "nohup", CHECK)
        assert process.wait() == 0, process.log
