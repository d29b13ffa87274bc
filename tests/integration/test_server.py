# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program mandos as its users start it: what it says when something is wrong, how it ends."""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ask
from programs import MANDOS, Program

from mandos.errors import PeerError
from mandos.tls.keys import generate_tls_key

CAP_NET_RAW = 13  # capabilities(7)
SECTION = f"[foo]\nkey_id = {'ab' * 32}\nsecret = {base64.b64encode(b'sealed').decode()}\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A configuration directory with one client; the server's user can get below it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        conf = folder / "clients.conf"
        conf.write_text(SECTION)
        conf.chmod(0o600)
        yield folder


def _fails(folder: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [MANDOS, "--foreground", "--configdir", folder, "--statedir", folder / "state", *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_server(folder: Path, number: signal.Signals) -> None:
    """It says that it ends, and why, with status 0."""
    with Program(folder, "--no-zeroconf", "--port", "0", "--socket", "0") as refused:
        assert refused.process.wait(30) == 78
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as inherited:
        options = ("--no-zeroconf", "--socket", str(inherited.fileno()))
        with Program(folder, *options, descriptors=(inherited.fileno(),)) as server:
            server.wait_for("serving 1 clients")
            assert server.end(number) == 0


def test_inherited_socket_is_served(folder: Path) -> None:
    """A socket that a supervisor opened takes connections; its port is the one that is told."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as inherited:
        port = inherited.getsockname()[1]
        options = ("--no-zeroconf", "--socket", str(inherited.fileno()))
        with Program(folder, *options, descriptors=(inherited.fileno(),)) as server:
            assert f"on port {port}" in server.wait_for("serving")
            with socket.create_connection(("::1", port)) as sock:
                sock.sendall(b"HELO\r\n")
                server.wait_for("does not start with a number")


def test_port_that_is_taken(folder: Path) -> None:
    """The message names the port and how to find who has it."""
    with socket.create_server(("::", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        status, said = _fails(folder, "--no-zeroconf", "--port", str(port))
    assert status == 69
    assert f"cannot listen on any address port {port}: Address already in use" in said
    assert "ss -ltnp" in said


def test_address_that_is_not_here(folder: Path) -> None:
    """An address of no interface is the machine's refusal, with a hint."""
    status, said = _fails(folder, "--no-zeroconf", "--port", "1", "--address", "2001:db8::1")
    assert status == 69
    assert "no interface of this machine has that address" in said


def test_interface_that_is_not_there_is_waited_for(folder: Path) -> None:
    """As in the reference it is not fatal: the server listens, and announces when it can."""
    with Program(folder, "--interface", "nosuch0") as server:
        server.wait_for("cannot bind to the network interface nosuch0")
        server.wait_for("serving 1 clients")
        server.wait_for("the network interface nosuch0 does not exist; waiting for it")
        assert server.end() == 0


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        (("--priority", "NONSENSE", "--port", "0"), 78, "bad priority string 'NONSENSE'"),
        (("--no-zeroconf",), 78, "without Zeroconf clients cannot find out the port"),
        (("--socket", "99"), 78, "--socket 99 is not an open socket"),
        (("--nonsense",), 64, "--nonsense"),
        (("--configdir", "/nonexistent"), 78, "/nonexistent/clients.conf does not exist"),
    ],
)
def test_bad_settings_end_the_server(
    folder: Path, options: tuple[str, ...], status: int, complaint: str
) -> None:
    """Each with its own message, what to do, and the exit status of sysexits.h."""
    got, said = _fails(folder, *options)
    assert got == status
    assert complaint in said


def test_all_problems_of_the_clients_file_are_shown(folder: Path) -> None:
    """A line for each, with the program's name in front."""
    (folder / "clients.conf").write_text("[a]\ntimeout = x\n[b]\n")
    status, said = _fails(folder, "--port", "0")
    assert status == 78
    assert all(line.startswith("mandos: ") for line in said.splitlines())
    assert "[a] timeout: 'x' is not a duration" in said
    assert "[b] secret (or secfile) is missing" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
def test_root_is_given_up(folder: Path) -> None:
    """Once it serves, all that is left of root is what lets checkers ping."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as inherited:
        options = ("--no-zeroconf", "--socket", str(inherited.fileno()))
        with Program(folder, *options, descriptors=(inherited.fileno(),)) as server:
            server.wait_for("serving")
            status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    users = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert len(set(users)) == 1
    assert pwd.getpwuid(int(users[0])).pw_name in ("_mandos", "mandos", "nobody")
    capabilities = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    assert int(capabilities.split()[1], 16) in (0, 1 << CAP_NET_RAW)


@pytest.mark.parametrize(
    ("boot", "kind", "line"),
    [
        ("", "overdue", "the time of 5 more clients is over without a check"),
        (
            str(uuid.UUID(int=1)),
            "forgiven",
            "5 more clients found alive late: still enabled",
        ),
    ],
)
def test_many_late_checks_do_not_flood_the_log(
    folder: Path, boot: str, kind: str, line: str
) -> None:
    """A hundred lines of a kind, and a sum; the audit trail has a record of each client."""
    template = "[{0}]\nkey_id = {0:064x}\nsecret = c2VhbGVk\nchecker = sleep 1000\n"
    clients = "".join(template.format(number) for number in range(1, 106))
    (folder / "clients.conf").write_text(clients)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as inherited:
        number = inherited.fileno()
        options = ("--no-zeroconf", "--no-dbus", "--socket", str(number))
        with Program(folder, *options, descriptors=(number,)) as server:
            server.wait_for("serving 105 clients")
            assert server.end() == 0
        with contextlib.closing(sqlite3.connect(folder / "state" / "mandos.db")) as database:
            database.execute("UPDATE life SET expires = 1, last_checker_status = 0")
            database.commit()
        if boot:
            (folder / "state" / "boot-id").write_text(boot)
        with Program(folder, *options, descriptors=(number,)) as server:
            server.wait_for("serving 105 clients")
            server.process.terminate()
            assert server.process.stderr
            lines = server.process.stderr.readlines()
    assert sum(line in said for said in lines) == 1
    with contextlib.closing(sqlite3.connect(folder / "state" / "mandos.db")) as database:
        found = database.execute("SELECT count(*) FROM audit WHERE kind = ?", (kind,)).fetchone()
    assert found == (105,)


class Manager:
    """A service manager that keeps the last status that it was told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        (folder / "notify").chmod(0o777)
        self._socket.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))

    def wait_for(self, text: str) -> None:
        """Wait for a status that holds this text."""
        while text not in self._socket.recv(4096).decode():
            pass

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


def test_attack_is_named_in_the_log_and_in_the_status(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand bad connections and fifty unknown keys: some lines, one warning, one sum."""
    manager = Manager(folder, monkeypatch)
    key = generate_tls_key("ed25519")
    inherited = socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=100)
    port, number = inherited.getsockname()[1], inherited.fileno()
    options = ("--no-zeroconf", "--no-dbus", "--socket", str(number))
    with (
        contextlib.closing(manager),
        inherited,
        Program(folder, *options, descriptors=(number,)) as server,
    ):
        server.wait_for("serving")
        for _ in range(50):
            with pytest.raises(PeerError):
                ask(("::1", port, 0), key)
        server.wait_for("no client has the key ID")
        for _ in range(1000):
            with socket.create_connection(("::1", port)) as sock:
                sock.sendall(b"x\n")
                sock.recv(1)
        manager.wait_for("under attack, or clients are broken: ")
        assert server.process.stderr
        server.process.terminate()
        lines = server.process.stderr.readlines()
    assert not any("no client has the key ID" in line for line in lines)
    assert sum("does not start with a number" in line for line in lines) <= 100
    (warning,) = [line for line in lines if "WARNING: under attack" in line]
    assert re.search(r": (9\d\d|1000) failed connections.* most .* from ::1 on lo", warning)
    (total,) = [line for line in lines if "no client has these keys" in line]
    assert "refused 49 more requests in a minute" in total
    assert len(lines) <= 110
