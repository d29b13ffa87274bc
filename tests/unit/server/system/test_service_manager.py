# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3), against sockets of our own."""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from mandos.errors import AdministratorError
from mandos.server.system.service_manager import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OWN_PID = str(os.getpid())
#: Starts a program with one descriptor as number 3, and its own number as LISTEN_PID.
LISTENER = """
import os, socket, sys
from mandos.errors import AdministratorError
from mandos.server.system.service_manager import ServiceManager
os.dup2(int(sys.argv[1]), 3)
environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[2], "LISTEN_FDNAMES": "a"}
try:
    manager = ServiceManager.from_environment(environ)
except AdministratorError as error:
    sys.exit("\\n".join(error.lines()))
inheritable = [os.get_inheritable(number) for number in manager.passed_sockets]
print(manager.passed_sockets, inheritable, environ)
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A manager's socket, and what NOTIFY_SOCKET says about it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        name = str(tmp_path / "notify")
        if request.param == "abstract":
            name = f"@mandos-test-{secrets.token_hex(8)}"
        hearing.bind(name.replace("@", "\0"))
        hearing.settimeout(10)
        yield hearing, name


TELLINGS: dict[str, tuple[Callable[[ServiceManager], None], bytes]] = {
    "ready": (lambda us: us.ready("serving 2 clients"), b"READY=1\nSTATUS=serving 2 clients"),
    "status": (lambda us: us.status("no link"), b"STATUS=no link"),
    "stopping": (lambda us: us.stopping(), b"STOPPING=1"),
    "watchdog": (lambda us: us.watchdog(), b"WATCHDOG=1"),
}


@pytest.mark.parametrize(("tell", "message"), TELLINGS.values(), ids=TELLINGS.keys())
def test_messages(
    manager: tuple[socket.socket, str], tell: Callable[[ServiceManager], None], message: bytes
) -> None:
    """Each thing that there is to say is one datagram."""
    hearing, name = manager
    us = ServiceManager.from_environment({"NOTIFY_SOCKET": name})
    tell(us)
    us.close()
    assert hearing.recv(4096) == message


def test_reloading_says_when(manager: tuple[socket.socket, str]) -> None:
    """A reload carries the monotonic clock in microseconds, sd_notify(3)."""
    hearing, name = manager
    us = ServiceManager.from_environment({"NOTIFY_SOCKET": name})
    before = time.monotonic_ns() // 1000
    us.reloading()
    us.close()
    told = dict(line.split("=") for line in hearing.recv(4096).decode().splitlines())
    assert told["RELOADING"] == "1"
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("two\nREADY=1\r\nlines\t here ", "two READY=1 lines here"),
        ("é" * 1000, "é" * 512),
        ("a" + "é" * 1000, "a" + "é" * 511),
        ("lone \ud800 half", "lone ? half"),
    ],
    ids=["lines", "long", "cut within a character", "not UTF-8"],
)
def test_status_is_one_short_line(
    manager: tuple[socket.socket, str], text: str, status: str
) -> None:
    """No status, whatever client's name is in it, can say anything else to the manager."""
    hearing, name = manager
    us = ServiceManager.from_environment({"NOTIFY_SOCKET": name})
    us.status(text)
    us.close()
    assert hearing.recv(4096).decode() == f"STATUS={status}"


def _tell_everything(us: ServiceManager) -> None:
    us.ready("here")
    us.status("well")
    us.reloading()
    us.watchdog()
    us.stopping()


@pytest.mark.parametrize("name", ["", "/nonexistent/notify", "vsock:2:1234", "@", "/" + "x" * 200])
def test_nobody_hears(name: str) -> None:
    """Without a manager, or with an address that leads nowhere, telling does nothing."""
    us = ServiceManager.from_environment({"NOTIFY_SOCKET": name} if name else {})
    _tell_everything(us)
    us.close()
    _tell_everything(us)


def test_a_manager_that_vanishes(manager: tuple[socket.socket, str], tmp_path: Path) -> None:
    """Its socket gone, the server goes on; a manager that comes back is told again."""
    hearing, name = manager
    us = ServiceManager.from_environment({"NOTIFY_SOCKET": name})
    us.ready("before")
    hearing.close()
    _tell_everything(us)
    (tmp_path / "notify").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(name.replace("@", "\0"))
        us.status("after")
        us.close()
        assert again.recv(4096) == b"STATUS=after"


def test_a_manager_that_does_not_listen(manager: tuple[socket.socket, str]) -> None:
    """A full queue costs half a second at most, not the server."""
    _hearing, name = manager
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
        filling.setblocking(False)  # noqa: FBT003 - its only parameter
        with pytest.raises(BlockingIOError):
            for _ in itertools.count():
                filling.sendto(b"WATCHDOG=1", name.replace("@", "\0"))
    us = ServiceManager.from_environment({"NOTIFY_SOCKET": name})
    assert us._socket is not None
    assert us._socket.gettimeout() == 0.5
    us.watchdog()  # returns
    us.close()


def test_the_environment_is_cleaned() -> None:
    """Checkers must not speak in the server's name, nor think that its sockets are theirs."""
    ours = {
        "NOTIFY_SOCKET": "/nonexistent", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1",
        "LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x",
    }  # fmt: skip
    environ = ours | {"PATH": "/bin"}
    ServiceManager.from_environment(environ).close()
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": OWN_PID}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "me"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval: float | None) -> None:
    """Half of the manager's time, if it is meant for this process."""
    assert ServiceManager.from_environment(environ).watchdog_interval == interval


def _passing(passed: socket.socket | int, count: str = "1") -> subprocess.CompletedProcess[str]:
    descriptor = passed if isinstance(passed, int) else passed.fileno()
    return subprocess.run(
        [sys.executable, "-c", LISTENER, str(descriptor), count],
        pass_fds=(descriptor,), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("address", "family"), [("::1", socket.AF_INET6), ("127.0.0.1", socket.AF_INET)]
)
def test_a_listening_socket_is_taken(address: str, family: socket.AddressFamily) -> None:
    """It is number 3, checkers do not inherit it, and nothing stays in the environment."""
    with socket.create_server((address, 0), family=family) as listening:
        done = _passing(listening)
    assert (done.stdout, done.stderr) == ("(3,) [False] {}\n", "")


def test_no_socket_is_passed() -> None:
    """A manager may pass none, and sockets of another process are not ours."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        assert _passing(listening, "0").stdout == "() [] {}\n"
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert ServiceManager.from_environment(environ).passed_sockets == ()


@pytest.mark.parametrize("count", ["2", "", "one", "-1", "9" * 5000])
def test_not_one_socket(count: str) -> None:
    """Several sockets, or nonsense, are refused with a hint."""
    environ = {"LISTEN_PID": OWN_PID, "LISTEN_FDS": count}
    with pytest.raises(AdministratorError, match="sockets, not one") as failure:
        ServiceManager.from_environment(environ)
    assert "ListenStream=" in str(failure.value.hint)


def test_not_a_listening_socket(tmp_path: Path) -> None:
    """A connection, a datagram socket, a local socket, a file and nothing at all are refused."""
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as listening,
        socket.create_connection(listening.getsockname()[:2]) as connected,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local,
        (tmp_path / "file").open("w") as file,
    ):
        local.bind(str(tmp_path / "local"))
        local.listen()
        for passed in (connected, datagrams, local):
            assert "is no listening TCP socket\nhint: " in _passing(passed).stderr
        assert "passed no open socket: Socket operation" in _passing(file.fileno()).stderr
