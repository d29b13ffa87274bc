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
import sqlite3
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.bus import start_system_bus
from harness.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.families import Family
    from harness.process import Process

PORT = 4711
#: Bytes of a secret as mandos-keygen makes them with its own defaults.
SECRET_SIZE = 1400
_SERVES = {"reference": "Now listening on address", "ours": r"serving \d+ clients on port"}
#: Seconds that anything may take before the benchmark is given up.
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
        (self.etc / "clients.conf").touch(0o600)
        (self.etc / "clients.conf").write_text(clients, encoding="ascii")
        self.state.mkdir(0o700)
        shutil.chown(self.state, "_mandos", "_mandos")

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
        self.wait_for(_SERVES[self._family.name])
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

    def wait_for(self, pattern: str) -> None:
        """Return when it has logged a line that matches."""
        self._voice.wait_for(pattern, after=self._begin, seconds=_PATIENCE)

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


@contextmanager
def database(state: Path) -> Iterator[sqlite3.Connection]:
    """Our server's database as a new start would find it, also after a kill; it must not run."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (*state.glob("mandos.db"), *state.glob("mandos.db-wal")):
            shutil.copy(path, folder)
        with closing(sqlite3.connect(f"{folder}/mandos.db")) as connection:
            yield connection


@contextmanager
def fleet(family: Family, clients: str, options: Sequence[str] = ("--no-dbus",)) -> Iterator[Fleet]:
    """A server on a host of its own, not started yet; all ends with it."""
    with tempfile.TemporaryDirectory(prefix="mandos-fleet-") as folder, Host("server") as host:
        Path(folder).chmod(0o755)
        if family.name == "reference":
            start_system_bus(host)  # it does not start without one, not even with --no-dbus
        yield Fleet(host, family, Path(folder), clients, options)
