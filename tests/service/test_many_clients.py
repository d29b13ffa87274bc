# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that was stopped, or has too much to do, blames no client; and it still misses nobody.

Checkers are real processes, which tell of themselves through a FIFO: tests wait for what they say.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.fleet import Fleet
from harness.host import Host
from harness.patience import is_readable
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.peer

_CLIENT = "[{}]\nkey_id = {:064x}\nsecret = aGVsbG8=\nchecker = {}\n{}\n"


class Fifo:
    """What checkers say, line by line, and whether any of them is left who has it open."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        path.chmod(0o622)
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writing = os.open(path, os.O_WRONLY)  # so that it does not end between two checkers
        self._rest = b""

    def line(self) -> str:
        """The next line."""
        while b"\n" not in self._rest:
            self._rest += self._more()
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def wait_for_end(self) -> None:
        """Return when all who had it open have gone."""
        os.close(self._writing)
        while self._more():
            pass

    def _more(self) -> bytes:
        assert is_readable(self._reading, PATIENCE), "no checker says or does more"
        return os.read(self._reading, 4096)


class Site:
    """A server's host, its folder, and what its checkers say."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.fifo = Fifo(folder / "fifo")
        self._clients: list[str] = []

    def add(self, name: str, checker: str, *options: str) -> None:
        """A client; ``FOLDER`` in its checker is this site's."""
        command = checker.replace("FOLDER", str(self.folder))
        lines = "".join(f"{option}\n" for option in options)
        self._clients.append(_CLIENT.format(name, len(self._clients) + 1, command, lines))

    def start(self, *options: str) -> Fleet:
        """A server with these clients, that serves."""
        clients = "".join(self._clients)
        server = Fleet(self.host, ours(), self.folder, clients, ("--no-dbus", *options))
        server.start()
        return server


@pytest.fixture
def site(_possible: None) -> Iterator[Site]:
    """A host, and a folder that the server's user may write to."""
    with tempfile.TemporaryDirectory(prefix="mandos-") as folder, Host("server") as host:
        Path(folder).chmod(0o755)
        yield Site(host, Path(folder))


def _disabled(server: Fleet) -> set[str]:
    lines = (line.partition("client ")[2].split() for line in server.log if "is disabled" in line)
    return {name for name, *_rest in lines}


@pytest.mark.parametrize("seconds", [4, 7])
def test_stopped_server_blames_nobody(site: Site, seconds: int) -> None:
    """Longer than every timeout: who is well stays enabled, who has vanished meanwhile does not."""
    well = [f"well{number}" for number in range(40)]
    times = ("timeout = PT3S", "interval = PT1S")
    for name in well:
        site.add(name, f"echo {name} >FOLDER/fifo", *times)
    site.add("gone", "test -e FOLDER/alive && echo gone >FOLDER/fifo", *times)
    (site.folder / "alive").touch()
    server = site.start()
    _all_have_been_checked(site.fifo, {*well, "gone"})
    server.process.signal(signal.SIGSTOP)
    site.host.run("sleep", str(seconds))  # what is tested is that time passes
    (site.folder / "alive").unlink()
    server.process.signal(signal.SIGCONT)
    server.wait_for("client gone is disabled: timeout")
    _all_have_been_checked(site.fifo, set(well))
    assert _disabled(server) == {"gone"}
    server.stop()


def _all_have_been_checked(fifo: Fifo, names: set[str], times: int = 2) -> None:
    """Wait until each has been checked so often since now."""
    checked = Counter[str]()
    while any(checked[name] < times for name in names):
        checked[fifo.line()] += 1


def test_overloaded_server_blames_nobody(site: Site) -> None:
    """One checker at a time, a round takes longer than every timeout: the wait does not count."""
    well = [f"well{number}" for number in range(12)]
    times = ("timeout = PT2S", "interval = PT1S")
    for name in well:
        site.add(name, f"echo {name} >FOLDER/fifo; sleep 0.3", *times)
    site.add("gone", "sleep 0.3; false", *times)
    server = site.start("--checkers", "1")
    _all_have_been_checked(site.fifo, set(well), 3)
    server.wait_for("client gone is disabled: timeout")
    assert _disabled(server) == {"gone"}
    server.stop()


def test_hanging_checker_keeps_nobody_enabled(site: Site) -> None:
    """It does not answer for its client, and ends with all that it has started."""
    hang = "exec 9>FOLDER/fifo; trap '' TERM; (trap '' TERM; echo up >&9; sleep 1000) & sleep 1000"
    site.add("hanging", hang, "timeout = PT2S", "interval = PT1S")
    server = site.start()
    assert site.fifo.line() == "up"
    server.wait_for("client hanging is disabled: timeout")
    site.fifo.wait_for_end()
    server.stop()


def test_end_of_the_server_is_that_of_its_checkers(site: Site) -> None:
    """Also of those that do not want to; and it does not wait for them."""
    for number in range(20):
        hang = f"exec 9>FOLDER/fifo; trap '' TERM; echo {number} >&9; sleep 1000"
        site.add(f"hanging{number}", hang, "timeout = PT5M", "interval = PT1S")
    server = site.start()
    _all_have_been_checked(site.fifo, {str(number) for number in range(20)}, 1)
    server.stop()
    site.fifo.wait_for_end()
