# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real server takes the hosts that wait in turns, however many connections one of them has.

It is stopped while they come, so that all wait at the same time, whatever the machine's speed.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.host import Host
from harness.peers import PORT, fetch

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.keys import Credentials

pytestmark = pytest.mark.peer

#: Fewer than the lines about failed connections that the server logs in a minute.
MANY, FEW = 80, 4
FAILED = "does not start with a number"
#: Opens so many connections, says nonsense on each, and holds them.
NONSENSE = """
import socket, sys
(*_rest, address), *_others = socket.getaddrinfo(*sys.argv[1:3], socket.AF_INET6)
held = []
for number in range(int(sys.argv[3])):
    held.append(socket.socket(socket.AF_INET6))
    held[-1].connect(address)
    held[-1].sendall(b"nonsense\\n")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("_possible")
def test_host_does_not_wait_behind_the_crowd_of_another(
    stack: ExitStack, keys: Credentials
) -> None:
    """Who comes last, from another address, is through before most; and clients are served."""
    server, stranger, other = (
        stack.enter_context(Host(name)) for name in ("server", "stranger", "other")
    )
    server.connect(stranger, "eth0")
    server.connect(other, "eth1")
    etc = server.path("/run/etc")
    etc.mkdir()
    (etc / "clients.conf").write_text(f"{keys.section}\nchecker = true\n", encoding="utf-8")
    (etc / "clients.conf").chmod(0o600)
    serving = stack.enter_context(
        server.start(
            *(
                ours().server,
                "--foreground",
                "--no-dbus",
                "--no-zeroconf",
                "--configdir",
                "/run/etc",
            ),
            *("--statedir", "/run/state", "--port", str(PORT)),
        )
    )
    server.syslog.wait_for("serving 1 clients")
    serving.signal(signal.SIGSTOP)
    for host, interface, number in ((stranger, "eth0", MANY), (other, "eth1", FEW)):
        where = f"{server.link_local(interface)}%{interface}"
        crowd = (sys.executable, "-I", "-c", NONSENSE, where, str(PORT), str(number))
        stack.enter_context(host.start(*crowd)).wait_for("^ready$")
    serving.signal(signal.SIGCONT)
    seen = 0
    for _connection in range(MANY + FEW):
        seen = server.syslog.wait_for(FAILED, after=seen)
    lines = [line for line in server.syslog.lines if FAILED in line]
    last = [number for number, line in enumerate(lines) if other.link_local("eth1") in line]
    assert len(last) == FEW
    assert last[-1] < MANY // 2
    connect = f"{server.link_local('eth1')}:{PORT}"
    assert fetch(other, ours(), keys, connect=connect, interface="eth1") is not None
