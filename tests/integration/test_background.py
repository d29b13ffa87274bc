# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Becoming a daemon: whoever starts it waits until it serves, and learns when it cannot."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

DAEMON = """
import os, sys
from mandos.server.system.background import Background
{before}
background = Background()
{after}
print(os.getpid(), os.getsid(0), os.getppid(), flush=True)
background.ready()
os.read(int(sys.argv[1]), 1)
"""


def _start(before: str = "", after: str = "") -> tuple[subprocess.CompletedProcess[str], int]:
    """Run it; returns how it ended for its caller, and what keeps the daemon alive."""
    reading, writing = os.pipe()
    program = DAEMON.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", program, str(reading)],
        pass_fds=[reading], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(reading)
    return done, writing


def test_caller_waits_until_the_daemon_is_ready() -> None:
    """Then it goes on with status 0; the daemon leads no session and has no terminal."""
    done, alive = _start()
    assert done.returncode == 0
    pid, session, parent = done.stdout.split()
    assert pid != session
    assert str(Path(f"/proc/{pid}/cwd").readlink()) == "/"
    assert int(parent) != os.getpid()
    assert {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)} == {
        "/dev/null"
    }
    pidfd = os.pidfd_open(int(pid))
    os.close(alive)
    assert select.select([pidfd], [], [], 60)[0] == [pidfd]
    os.close(pidfd)


@pytest.mark.parametrize(
    ("after", "status"),
    [
        ("background.failed(78); sys.exit(1)", 78),
        ("sys.exit(1)", 70),
        ("os.kill(os.getpid(), 9)", 70),
    ],
)
def test_caller_learns_that_it_failed(after: str, status: int) -> None:
    """By the exit status that the server tells, or by its silence."""
    done, alive = _start(after=after)
    os.close(alive)
    assert done.returncode == status
    assert done.stdout == ""
