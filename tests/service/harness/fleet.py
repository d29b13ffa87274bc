# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers with many clients: their files, how long they take, what they use, what they remember.

The files are on the machine's disk, since waiting for it is part of the truth.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.bus import start_system_bus
from harness.host import Host
from harness.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.families import Family
    from harness.process import Process

PORT = 4711
#: Bytes of a secret as mandos-keygen makes them with its own defaults.
SECRET_SIZE = 1400
_SERVES = {"reference": "Now listening on address", "ours": r"serving \d+ clients on port"}
#: Seconds that a start or an end may take: those of the reference with many clients.
_PATIENCE = 600.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """Bytes of memory that a process has, its share of them, and the most it ever had."""

    resident: int
    share: int
    peak: int

    def __str__(self) -> str:
        return " ".join(f"{size / 1e6:.0f}" for size in self)


class Processor(NamedTuple):
    """Seconds of processor time: of a process itself, and of its children that have ended."""

    own: float
    children: float


def clients_conf(count: int, *defaults: str) -> str:
    """So many clients with secrets of the usual size, and these lines for all of them."""
    chance = random.Random(count)  # noqa: S311 - the same clients every time
    sections = ["\n".join(("[DEFAULT]", *defaults)) + "\n"]
    for number in range(count):
        name = f"client-{number:05}.example.org"
        key_id = hashlib.sha256(name.encode()).hexdigest()
        secret = base64.encodebytes(chance.randbytes(SECRET_SIZE)).decode().splitlines()
        owner = f"[{name}]\nhost = ::1\nkey_id = {key_id}\nfingerprint = {key_id[:40]}\n"
        sections.append(owner + "\n\t".join(["secret =", *secret]) + "\n")
    return "\n".join(sections)


class Fleet:
    """A server of either family on a host, as often as it is started, and its many clients."""

    def __init__(
        self,
        host: Host,
        family: Family,
        folder: Path,
        clients: str,
        options: Sequence[str] = ("--no-dbus",),
    ) -> None:
        self.host = host
        self.etc, self.state = folder / "etc", folder / "state"
        self._family = family
        self._options = options
        self._begin = 0
        self._process: Process | None = None
        self.etc.mkdir()
        (self.etc / "mandos.conf").write_text("[DEFAULT]\n", encoding="ascii")
        self.state.mkdir(0o700)
        shutil.chown(self.state, "_mandos", "_mandos")
        self.configure(clients)

    def configure(self, clients: str) -> None:
        """Write clients.conf, so that a reload can read it too; nobody sees half of it."""
        new = self.etc / "clients.conf.new"
        new.touch(0o640)
        shutil.chown(new, group="_mandos")
        new.write_text(clients, encoding="ascii")
        new.replace(self.etc / "clients.conf")

    def launch(self) -> Process:
        """Start it and wait for nothing."""
        self._begin = len(self.host.syslog.lines) if self._silent else 0
        self._process = self.host.start(
            *(self._family.server, "--foreground", "--no-zeroconf", "--port", str(PORT)),
            *("--configdir", str(self.etc), "--statedir", str(self.state)),
            # The reference does not tell otherwise when it serves.
            *("--debuglevel", "INFO", *self._options),
        )
        return self._process

    def start(self) -> float:
        """Start it; returns the seconds until it serves."""
        begin = time.perf_counter()
        self.launch()
        self.wait_for(_SERVES[self._family.name], _PATIENCE)
        return time.perf_counter() - begin

    def stop(self) -> float:
        """End it by SIGTERM; returns the seconds until it has ended."""
        begin = time.perf_counter()
        status = self.process.terminate(_PATIENCE)
        took = time.perf_counter() - begin
        assert status == 0, self.process.report(f"exit status {status}")
        self._process = None
        return took

    def forget(self) -> None:
        """Remove its state, while it does not run."""
        for path in self.state.iterdir():
            path.unlink()

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> None:
        """Return when it has logged a line that matches."""
        self._voice.wait_for(pattern, after=self._begin, seconds=seconds)

    @property
    def log(self) -> list[str]:
        """What it has logged since it was started."""
        return self._voice.lines[self._begin :]

    @property
    def memory(self) -> Memory:
        """What it has now: proc_pid_status(5), and smaps_rollup in proc(5)."""
        status = _sizes(self._proc / "status")
        rollup = _sizes(self._proc / "smaps_rollup")
        return Memory(status["VmRSS"], rollup["Pss"], status["VmHWM"])

    @property
    def processor(self) -> Processor:
        """What it has used so far: proc_pid_stat(5), fields 14 to 17."""
        fields = (self._proc / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        own, system, children, children_system = (int(field) / _TICKS for field in fields[11:15])
        return Processor(own + system, children + children_system)

    @property
    def _silent(self) -> bool:
        """Whether it says nothing in the foreground, but to syslog."""
        return self._family.name == "reference"

    @property
    def _voice(self) -> Process:
        return self.host.syslog if self._silent else self.process

    @property
    def process(self) -> Process:
        """The server's process."""
        assert self._process is not None, "the server has not been started"
        return self._process

    @property
    def _proc(self) -> Path:
        (pid,) = self.process.pids
        return Path(f"/proc/{pid}")


def _sizes(path: Path) -> dict[str, int]:
    """The bytes in lines such as ``VmRSS:  1234 kB``."""
    lines = path.read_text(encoding="ascii").splitlines()
    fields = [line.split() for line in lines if line.endswith(" kB")]
    return {name.rstrip(":"): int(size) * 1024 for name, size, _unit in fields}


def kill_after(seconds: float, process: Process) -> threading.Timer:
    """Kill a program (SIGKILL) so long after now, also if it has hardly begun by then."""

    def kill() -> None:
        while process.running and not process.pids:
            pass  # its launcher has not started it yet
        process.signal(signal.SIGKILL)

    killer = threading.Timer(seconds, kill)
    killer.start()
    return killer


@contextmanager
def fleet(family: Family, clients: str, options: Sequence[str] = ("--no-dbus",)) -> Iterator[Fleet]:
    """A server on a host of its own, not started yet; all ends with it."""
    with tempfile.TemporaryDirectory(prefix="mandos-fleet-") as folder, Host("server") as host:
        Path(folder).chmod(0o755)
        if family.name == "reference":
            start_system_bus(host)  # it does not start without one, not even with --no-dbus
        yield Fleet(host, family, Path(folder), clients, options)
