# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real server under attacks that aim at its time: a stolen client gets nothing by them.

Beside the stolen client there is a healthy one, which stays enabled.  The tests assert an order of
events and of records; the times are short, and no test depends on the speed of the machine.
"""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.peers import PORT, fetch, start_client
from harness.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.families import Family
    from harness.host import Link
    from harness.keys import Credentials

    Keys = Callable[[Family], Credentials]

pytestmark = pytest.mark.peer

ETC, STATE, ALIVE = "/run/attacked/etc", "/run/attacked/state", "/run/attacked/alive"
TIMES = "timeout = PT3S\nextended_timeout = PT3S\ninterval = PT1S\n"
WELL = "[well]\nkey_id = {}\nsecret = aGVsbG8=\nchecker = true\n".format("ab" * 32) + TIMES
#: Opens connections without end, says nothing on them, and replaces those that are closed.
SILENT = """
import select, socket, sys
(*_rest, address), *_others = socket.getaddrinfo(*sys.argv[1:3], socket.AF_INET6)
count = int(sys.argv[3])
held = {}
while True:
    while len(held) < count:
        sock = socket.socket(socket.AF_INET6)
        sock.setblocking(False)
        sock.connect_ex(address)
        held[sock.fileno()] = sock
    for number in select.select(list(held), [], [], 0.05)[0]:
        held.pop(number).close()
"""
#: Strangers of all other kinds, and how the log shows what they do.
HOSTILE = Path(__file__).parent / "harness" / "hostile_program.py"
KINDS = {
    "keys": "the exponent of the peer's RSA key has 40",
    "unknown": "no client has the key ID",
    "messages": "the peer sent its part in too many pieces",
}
REFUSED = "refused .*: client alpha: (not checked in time|disabled)"


class Attacked:
    """A server with a healthy client and one that can be stolen, as often as it is started."""

    def __init__(self, link: Link, keys: Credentials, stack: ExitStack) -> None:
        self.host, self.link, self.keys = link.server, link, keys
        self.seen = len(self.host.syslog.lines)
        self._stack = stack
        self.host.run("mkdir", "-p", ETC)
        self.host.path(ALIVE).touch()
        section = f"{keys.section}\nchecker = test -e {ALIVE}\n{TIMES}\n{WELL}"
        path = self.host.path(f"{ETC}/clients.conf")
        path.touch(mode=0o640)
        self.host.run("chgrp", "_mandos", f"{ETC}/clients.conf")
        path.write_text(section, encoding="utf-8")

    def start(self, *launcher: str) -> Process:
        """Start the server; return when it serves."""
        process = self._stack.enter_context(
            self.host.start(
                *(*launcher, ours().server, "--foreground", "--no-dbus", "--no-zeroconf"),
                *("--configdir", ETC, "--statedir", STATE, "--port", str(PORT)),
            )
        )
        self.wait_for("serving 2 clients")
        return process

    def wait_for(self, pattern: str) -> None:
        """Wait for a line of the log after those already waited for."""
        self.seen = self.host.syslog.wait_for(pattern, after=self.seen)

    def steal(self) -> None:
        """From now on the client answers no check."""
        self.host.path(ALIVE).unlink()

    @property
    def address(self) -> str:
        """What a client of the same link gives to --connect."""
        return f"{self.host.link_local()}:{PORT}"

    def serves(self) -> bool:
        """Whether the client gets its secret now."""
        return fetch(self.link.client, ours(), self.keys, connect=self.address) is not None

    def refuses(self) -> None:
        """See the client refused, and in the end disabled; the healthy one is not."""
        before = len(self.host.syslog.lines)
        with start_client(self.link.client, ours(), self.keys, connect=self.address):
            self.wait_for(REFUSED)
            self.seen = before
            if not any("client alpha is disabled" in line for line in self.log):
                self.wait_for("client alpha is disabled: timeout")
        assert not any("sent the secret" in line for line in self.host.syslog.lines[before:])
        assert not any("client well is disabled" in line for line in self.log)

    @property
    def log(self) -> list[str]:
        """What the server has logged."""
        return list(self.host.syslog.lines[self._begin :])

    @contextmanager
    def strangers(self, kind: str, count: int = 8) -> Iterator[None]:
        """Have strangers of a kind connect all the time."""
        where = f"{self.host.link_local()}%eth0"
        program = (sys.executable, str(HOSTILE), kind, where, str(PORT), str(count))
        path = {"PYTHONPATH": str(Path(__file__).parent)}
        with self.link.client.start(*program, environment=path) as stranger:
            self.wait_for(KINDS[kind])
            yield
            assert stranger.running, stranger.report("the stranger gave up")
            assert "Traceback" not in stranger.log

    @contextmanager
    def full_process_table(self, server: Process) -> Iterator[None]:
        """Let the server start no process: fork(2), EAGAIN."""
        with self._injected(server, "clone,clone3,fork,vfork", "error=EAGAIN"):
            self.wait_for("cannot start checkers, will try again: .*temporarily unavailable")
            yield

    @contextmanager
    def slow_disk(self, server: Process) -> Iterator[None]:
        """Let each write take 3.5 seconds: more than the server waits for a record."""
        with self._injected(server, "fsync,fdatasync", "delay_enter=3500ms"):
            yield

    @contextmanager
    def _injected(self, server: Process, calls: str, fault: str) -> Iterator[None]:
        """Let these system calls of the server have a fault: strace(1), "Tampering"."""
        (pid,) = server.pids
        options = ("--quiet=attach,exit", f"--trace={calls}", f"--inject={calls}:{fault}")
        with Process(("strace", "--follow-forks", *options, "--attach", str(pid))) as strace:
            while "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text(encoding="ascii"):
                assert strace.running, strace.report("strace cannot attach")
                self.host.run("sleep", "0.05")
            yield
            assert strace.running or not server.running, strace.report("strace has ended")

    _begin = 0

    def begin(self) -> None:
        """Forget what others have logged before."""
        self._begin = len(self.host.syslog.lines)


@pytest.fixture
def attacked(link: Link, keys_of: Keys) -> Iterator[Attacked]:
    """Files of a server that is not started yet."""
    with ExitStack() as stack:
        stack.callback(link.server.run, "rm", "-r", "/run/attacked")
        server = Attacked(link, keys_of(ours()), stack)
        server.begin()
        yield server


def test_server_that_is_stopped_again_and_again(attacked: Attacked) -> None:
    """As by work that a stranger makes it do: each stall was once time that did not count."""
    server = attacked.start()
    assert attacked.serves()
    attacked.steal()
    for _stall in range(4):
        server.signal(signal.SIGSTOP)
        attacked.host.run("sleep", "2.5")  # what is tested is that time passes
        server.signal(signal.SIGCONT)
        attacked.host.run("sleep", "0.1")
    attacked.refuses()


def test_server_that_is_killed_again_and_again(attacked: Attacked) -> None:
    """Each restart once gave a whole timeout to a client that was well when it was last checked."""
    server = attacked.start()
    assert attacked.serves()
    for _crash in range(2):
        server.signal(signal.SIGKILL)
        server.wait()
        attacked.host.path(ALIVE).unlink(missing_ok=True)
        attacked.host.run("sleep", "3.5")  # longer than the timeout
        server = attacked.start()
    attacked.refuses()


def test_healthy_clients_survive_a_long_end_of_the_server(attacked: Attacked) -> None:
    """Both are alive when it comes back: they stay enabled, and are served once checked."""
    server = attacked.start()
    assert attacked.serves()
    server.signal(signal.SIGKILL)
    server.wait()
    attacked.host.run("sleep", "3.5")
    attacked.start()
    with start_client(attacked.link.client, ours(), attacked.keys, connect=attacked.address):
        attacked.wait_for("sent the secret of client alpha")
    assert not any("is disabled" in line for line in attacked.log)


def test_server_without_free_descriptors(attacked: Attacked) -> None:
    """Silent connections took all; no checker started, and nobody was judged."""
    attacked.start("prlimit", "--nofile=256:256")
    assert attacked.serves()
    where = f"{attacked.host.link_local()}%eth0"
    silent = (sys.executable, "-I", "-c", SILENT, where, str(PORT), "400")
    with attacked.link.client.start(*silent) as stranger:
        attacked.wait_for("more than 128 connections at once")
        attacked.steal()
        attacked.wait_for("client alpha is disabled: timeout")
        assert not stranger.log
        with start_client(attacked.link.client, ours(), attacked.keys, connect=attacked.address):
            attacked.wait_for("refused .*: client alpha: disabled")
    assert not any("client well is disabled" in line for line in attacked.log)
    assert not any("Too many open files" in line for line in attacked.log)


@pytest.mark.parametrize("kind", KINDS)
def test_server_under_strangers(attacked: Attacked, kind: str) -> None:
    """While they attack, a client that is well is served, and one that is stolen is disabled."""
    attacked.start()
    with attacked.strangers(kind):
        assert attacked.serves()
        attacked.steal()
        attacked.wait_for("client alpha is disabled: timeout")
        attacked.refuses()


NEEDS_STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="not installed: strace")


@NEEDS_STRACE
def test_server_that_can_start_no_process(attacked: Attacked) -> None:
    """Nobody is served, nobody is disabled however long it lasts; then each has one check."""
    server = attacked.start()
    assert attacked.serves()
    with attacked.full_process_table(server):
        attacked.wait_for("the time of client well is over, but it was not checked")
        attacked.steal()
        attacked.host.run("sleep", "14")  # longer than a check may wait for its turn: 10 s
        with start_client(attacked.link.client, ours(), attacked.keys, connect=attacked.address):
            attacked.wait_for("refused .*: client alpha: not checked in time")
        assert not any("is disabled" in line for line in attacked.log)
    attacked.wait_for("client well stays enabled though it was not checked in time: .* found alive")
    attacked.refuses()


@NEEDS_STRACE
def test_server_with_a_slow_disk(attacked: Attacked) -> None:
    """A secret waits for its record, three seconds at most; the clients' time goes on."""
    server = attacked.start()
    with attacked.slow_disk(server):
        assert attacked.serves()
        attacked.wait_for("the disk takes more than 3 s to record a secret sent")
        attacked.wait_for("sent the secret of client alpha")  # a line comes after its record
        attacked.steal()
        attacked.wait_for("client alpha is disabled: timeout")
        attacked.refuses()


@NEEDS_STRACE
def test_server_that_is_killed_while_the_disk_is_slow(attacked: Attacked) -> None:
    """The disk may not know yet that the client is disabled: it needs a check all the same."""
    server = attacked.start()
    assert attacked.serves()
    with attacked.slow_disk(server):
        attacked.steal()
        attacked.host.run("sleep", "3.5")  # longer than the timeout
        server.signal(signal.SIGKILL)
        server.wait()
    attacked.start()
    attacked.refuses()
