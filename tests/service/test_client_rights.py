# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what while the client runs, as the kernel tells it in /proc: proc_pid_status(5).

And the one thing that it promises to whoever started it: status 0 for a password written whole.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.boot import install_boot_programs
from harness.families import ours
from harness.host import Host
from harness.keys import make_credentials
from harness.patience import Patience
from harness.peers import PORT, client_command, start_server
from harness.process import PATIENCE
from mandos import passwords

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.keys import Credentials
    from harness.vm.boot import Site

pytestmark = pytest.mark.peer

OURS = ours()
#: The tables of the sockets that reach a network, each with the numbers of those that are open.
NETWORK_TABLES = (
    *("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6"),
    *("raw", "raw6", "icmp", "icmp6", "packet"),
)
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")
#: Takes questions to a name server, and answers none.
MUTE_NAME_SERVER = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("192.0.2.1", 53))
print("listening", flush=True)
while sock.recv(512):
    print("asked", flush=True)
"""


class Part:
    """One process of a client."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        pairs = (line.partition(":") for line in text.splitlines())
        self.status = {name: value.split() for name, _colon, value in pairs}

    @property
    def user(self) -> list[int]:
        """Real, effective, saved and file system's user and then group."""
        return [int(number) for number in self.status["Uid"] + self.status["Gid"]]

    @property
    def cannot_be_traced(self) -> bool:
        """Whether its memory is root's alone, whoever its user is: proc(5)."""
        return Path(f"/proc/{self.pid}/mem").stat().st_uid == 0

    @property
    def rights(self) -> set[int]:
        """All capabilities that it has or can get, but for those of root's files."""
        return {int(self.status[name][0], 16) for name in CAPABILITIES}

    @property
    def children(self) -> list[Part]:
        """The processes that it has started."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [Part(int(pid)) for pid in path.read_text(encoding="ascii").split()]

    @property
    def sockets(self) -> set[str]:
        """The numbers of its sockets, of whatever kind."""
        targets = set()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since
                targets.add(str(descriptor.readlink()))
        return {one[8:-1] for one in targets if one.startswith("socket:[")}

    @property
    def reaches_a_network(self) -> bool:
        """Whether it holds a socket of the Internet's protocols, or one that sees packets."""
        words: set[str] = set()
        for table in NETWORK_TABLES:
            path = Path(f"/proc/{self.pid}/net/{table}")
            if path.exists():
                words.update(path.read_text(encoding="ascii").split())
        return not words.isdisjoint(self.sockets)


def _settled(pid: int, user: int, number: int) -> tuple[Part, list[Part]]:
    """The client and its parts, once it searches, they are so many, and all but one are this user.

    Libraries are loaded with root's rights, before anything is read from a network.
    """
    patience = Patience(PATIENCE)
    while True:
        client = Part(pid)
        parts = client.children
        unprivileged = [part for part in parts if part.user == [user] * 8]
        if (len(parts), len(unprivileged)) == (number, number - 1) and client.reaches_a_network:
            return client, parts
        assert not patience.is_over(), [part.status for part in (client, *parts)]


@pytest.fixture
def client(site: Site, stack: ExitStack) -> Host:
    """The client's host, plugged in."""
    host = stack.enter_context(Host("client"))
    site.cable(host)
    host.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
    return host


def _look_at(client: Part, parts: list[Part], user: int) -> None:
    """Only one part keeps root, and that one has nothing to do with a network."""
    (root_helper,) = [part for part in parts if part.user != [user] * 8]
    assert root_helper.user == [0] * 8
    assert root_helper.rights != {0}
    assert root_helper.sockets
    assert not root_helper.reaches_a_network
    for part in (client, *parts):
        assert part.status["Groups"] == []
        assert part.cannot_be_traced
        if part is not root_helper:
            assert part.user == [user] * 8
            assert part.rights == {0}


def test_root_is_given_up_by_all_that_hear_from_a_network(
    site: Site, client: Host, keys: Credentials
) -> None:
    """Started by root, everybody but the network's keeper is nobody.

    There are: the client, the keeper, one who will open an answer, one who looks a name up.
    """
    server = site.host()
    server.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    names = server.start("/usr/bin/python3", "-IS", "-c", MUTE_NAME_SERVER)
    names.wait_for("^listening$")
    client.path("/run/resolv.conf").write_text("nameserver 192.0.2.1\noptions timeout:30\n")
    client.path("/run/nsswitch.conf").write_text("hosts: dns\n")
    for name in ("resolv.conf", "nsswitch.conf"):
        client.run("mount", "--bind", f"/run/{name}", f"/etc/{name}")
    command = [*client_command(client, OURS, keys), "--server", f"keeper.example:{PORT}"]
    with client.start("setpriv", "--groups=4,24", *command) as running:
        names.wait_for("^asked$")
        (pid,) = running.pids
        _look_at(*_settled(pid, 65534, 3), 65534)


@pytest.mark.parametrize("user", [65534, 1234])
def test_set_user_id_ends_as_the_real_user(client: Host, keys: Credentials, user: int) -> None:
    """As plugin-runner starts it, only its effective user being root, it ends as the real one."""
    programs = install_boot_programs(client)
    plugin = programs.plugin("rights.d", "mandos-client")
    options = client_command(client, OURS, keys)[1:]
    paired = [f"{name}={value}" for name, value in zip(options[::2], options[1::2], strict=True)]
    words = ",".join([*paired, "--debug"])
    command = (
        *(programs.runner, "--plugin-dir", programs.folder("rights.d")),
        *("--config-file=/dev/null", f"--options-for=mandos-client:{words}"),
        *(f"--userid={user}", f"--groupid={user}"),
    )
    with client.start(*command) as runner:
        runner.wait_for("bringing up the network interface eth0")
        (pid,) = runner.pids
        (started,) = [part for part in Part(pid).children if _runs(part, plugin)]
        _look_at(*_settled(started.pid, user, 2), user)


def _runs(part: Part, program: str) -> bool:
    return program in Path(f"/proc/{part.pid}/cmdline").read_text("utf-8").split("\0")


@pytest.fixture
def served(site: Site, client: Host, stack: ExitStack, keys: Credentials) -> str:
    """The address of a server."""
    del client
    return stack.enter_context(start_server(site.host(), OURS, keys.section)).address


def test_full_standard_output_is_a_temporary_failure(
    client: Host, served: str, keys: Credentials
) -> None:
    """Whoever started the client may start it again: EX_TEMPFAIL; the network is as before."""
    command = client_command(client, OURS, keys, served)
    script = '"$@" >/dev/full; echo "status $?"'
    assert client.run("sh", "-c", script, "sh", *command) == b"status 75\n"
    assert not client.is_up("eth0")


def test_reader_that_has_gone_is_a_temporary_failure(
    client: Host, served: str, keys: Credentials
) -> None:
    """No signal ends the client half way: it tells, tidies up and says that it failed."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [*client.entrance, *client_command(client, OURS, keys, served)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == 75
    assert b"cannot write the password: Broken pipe" in done.stderr
    assert not client.is_up("eth0")


@pytest.fixture(scope="module")
def large_keys(workshop: Host) -> Credentials:
    """Keys of a client with the longest password."""
    return make_credentials(workshop, OURS, "large", os.urandom(passwords.LIMIT))


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
def test_slow_reader_gets_the_whole_password(
    site: Site, client: Host, stack: ExitStack, large_keys: Credentials, *, blocking: bool
) -> None:
    """A pipe that is full when the password comes cuts nothing off."""
    server = stack.enter_context(start_server(site.host(), OURS, large_keys.section))
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    others = bytes(4096)
    os.write(writing, others)
    os.set_blocking(writing, blocking)
    command = [*client.entrance, *client_command(client, OURS, large_keys, server.address)]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE) as running:
        os.close(writing)
        server.wait_for("sent the secret of client large")
        with os.fdopen(reading, "rb") as pipe:
            got = pipe.read()
    assert running.returncode == 0
    assert got == others + large_keys.password
