# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that share one PostgreSQL, or one server with its own SQLite, and their accidents.

Each server is a host with two cables: clients ask over one, and the other leads to the primary and
its synchronous standby.  The clients' host is the switch of both networks, where the primary runs.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.bus import start_system_bus
from harness.crowd import enlist
from harness.families import ours
from harness.history import BLUR
from harness.history_plan import APPROVED_ONLY, CLIENTS, DELAYED
from harness.host import Host
from harness.patience import Patience
from harness.postgresql import Cluster, uri
from harness.process import PATIENCE

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.process import Process

PORT = 4711
FAKE_TIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
#: Seconds of an approval or a denial.
APPROVAL_DURATION = 5.0 + BLUR
#: A client whose file is missing is dead, one with a second file answers late.
CLIENTS_CONF = """[DEFAULT]
timeout = PT6S
extended_timeout = PT7S
interval = PT1S
approval_duration = PT7S
checker = test ! -e {alive}/%%(name)s.slow || sleep 1.5; test -e {alive}/%%(name)s

"""
_OPTIONS = {
    APPROVED_ONLY: "approval_delay = PT2S\napproved_by_default = no\n",
    DELAYED: "approval_delay = PT1S\n",
}
_CLIENTS_NETWORK, _DATABASE_NETWORK = "fd00:aa::{}", "fd00:bb::{}"
_STANDBY, _SWITCH = 200, 100


class SharedServer:
    """A server of ours on a host of its own, started as often as a test likes."""

    def __init__(self, world: World, name: str, number: int) -> None:
        self.name = name
        self.host = world.stack.enter_context(Host(name))
        self.address = _CLIENTS_NETWORK.format(number)
        self._world = world
        self.process: Process | None = None
        self.paused = False
        self.log: list[str] = []
        start_system_bus(self.host)
        world.plug(self.host, "eth0", "clients", self.address)
        self.database_port = world.plug(
            self.host, "eth1", "database", _DATABASE_NETWORK.format(number)
        )
        self._prepare()

    def _prepare(self) -> None:
        etc, state = self.host.path("/run/etc"), self.host.path("/run/state")
        etc.mkdir()
        state.mkdir(0o700)
        shutil.chown(state, "_mandos", "_mandos")
        lines = ["[DEFAULT]", f"server_name = {self.name}"]
        if uri := self._world.uri:
            lines += [f"state = {uri}", f"without_database = PT{self._world.alone}S"]
        for name, text in (
            ("mandos.conf", "\n".join(lines) + "\n"),
            ("clients.conf", self._world.clients_conf),
        ):
            (etc / name).touch(0o640)
            (etc / name).write_text(text, encoding="utf-8")

    def launch(self) -> None:
        """Start it and wait for nothing; without effect when it runs."""
        if self.process is not None and self.process.running:
            return
        if self.process is not None:
            self.log += self.process.lines
        self.paused = False
        self.process = self.host.start(
            *(ours().server, "--foreground", "--no-zeroconf", "--port", str(PORT)),
            *("--configdir", "/run/etc", "--statedir", "/run/state", "--debuglevel", "DEBUG"),
        )

    @property
    def serves(self) -> bool:
        """Whether it runs and serves on the network and on the bus."""
        if self.process is None or not self.process.running:
            return False
        lines = self.process.log
        return "on port" in lines and "on the system bus as" in lines

    def serve(self) -> None:
        """Return when it serves; start it again when it ends before, for lack of its database."""
        patience = Patience(PATIENCE)
        while not self.serves:
            assert not patience.is_over(), self.report("does not serve")
            self.launch()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self.process is not None:
            self.process.signal(signal.SIGKILL)
            self.process.wait()

    def pause(self) -> None:
        """Stop it (SIGSTOP), as a machine that hangs."""
        if self.process is not None:
            self.process.signal(signal.SIGSTOP)
            self.paused = True

    def resume(self) -> None:
        """Go on after ``pause``."""
        if self.process is not None and self.paused:
            self.process.signal(signal.SIGCONT)
        self.paused = False

    def report(self, problem: str) -> str:
        """``problem`` with all that it has logged, for a failed assertion."""
        lines = [*self.log, *(self.process.lines if self.process else ())]
        return "\n".join([f"{problem}: server {self.name}", "--- its log", *lines, "---"])


class World:
    """The servers, their database if they share one, and the clients; all end with ``stack``.

    ``alone`` is how many seconds the servers go on without the database.
    """

    def __init__(
        self, stack: ExitStack, names: tuple[str, ...], *, shared: bool, alone: int = 0
    ) -> None:
        self.alone = alone
        self.stack = stack
        self.folder = Path(tempfile.mkdtemp(prefix="mandos-history-"))
        stack.callback(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.keys, self.alive = self.folder / "keys", self.folder / "alive"
        self.keys.mkdir()
        self.alive.mkdir()
        sections = [enlist(self.keys, name) + _OPTIONS.get(name, "") for name in CLIENTS]
        self.clients_conf = CLIENTS_CONF.format(alive=self.alive) + "\n".join(sections)
        for name in CLIENTS:
            self.live(name)
        self.switch = stack.enter_context(Host("switch"))
        self._numbers = itertools.count(1)
        for bridge, network in (("clients", _CLIENTS_NETWORK), ("database", _DATABASE_NETWORK)):
            self._ip("link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
            self._ip("link", "set", bridge, "up")
            self.switch.give_addresses(network.format(_SWITCH), interface=bridge)
        self.primary: Cluster | None = None
        self.standby: Cluster | None = None
        self.clusters: list[Cluster] = []
        self.uri = ""
        self._clock = self.folder / "clock"
        if shared:
            self._make_database()
        self.servers = {
            name: SharedServer(self, name, number) for number, name in enumerate(names, 1)
        }
        self.asker = self._start_asker()

    def _ip(self, *words: str) -> None:
        self.switch.run("ip", *words)

    def plug(self, host: Host, card: str, bridge: str, address: str) -> str:
        """Lay a cable from a host to the switch; returns the port at the switch."""
        port = f"port{next(self._numbers)}"
        host.lay_cable(card, self.switch, port)
        self._ip("link", "set", port, "master", bridge, "up")
        host.run("ip", "link", "set", card, "up")
        host.give_addresses(address, interface=card)
        return port

    def _make_database(self) -> None:
        host = self.stack.enter_context(Host("standby"))
        self.plug(host, "eth0", "database", _DATABASE_NETWORK.format(_STANDBY))
        self.jump(0)
        fake = {
            "LD_PRELOAD": str(FAKE_TIME), "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        self.primary = self.stack.enter_context(
            Cluster(
                host=self.switch, address=_DATABASE_NETWORK.format(_SWITCH), fsync=False,
                settings={"wal_receiver_timeout": "5s", "wal_retrieve_retry_interval": "200ms"},
                environment=fake if FAKE_TIME.exists() else {},
            )
        )  # fmt: skip
        database = self.primary.database("mandos")
        self.standby = self.stack.enter_context(
            self.primary.standby(
                host=host, address=_DATABASE_NETWORK.format(_STANDBY), synchronous=True
            )
        )
        self.clusters = [self.primary, self.standby]
        self.uri = uri(self.clusters, database.role, database.password, database.name)

    def _start_asker(self) -> Process:
        program = Path(__file__).with_name("asker_program.py")
        folder = Path(__file__).parent.parent
        asker = self.switch.start(
            *(str(Path(ours().server).with_name("python")), str(program)),
            *(str(PORT), str(self.keys), "8"),
            environment={"PYTHONPATH": str(folder)},
        )
        asker.wait_for("^ready$")
        return asker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    # Clients

    def live(self, name: str) -> None:
        """Have a client answer its checks."""
        (self.alive / name).touch()

    def die(self, name: str) -> None:
        """Have a client answer no check."""
        (self.alive / name).unlink(missing_ok=True)

    def slow(self, name: str) -> None:
        """Have a client answer late, but in time."""
        (self.alive / f"{name}.slow").touch()

    # Accidents

    def partition(self, server: SharedServer) -> None:
        """Cut a server off from the database, silently: its interface stays up."""
        self._ip("link", "set", server.database_port, "nomaster")

    def join(self, server: SharedServer) -> None:
        """End a partition."""
        self._ip("link", "set", server.database_port, "master", "database")

    def jump(self, seconds: float) -> None:
        """Set the clock of the primary so far off the machine's (faketime(1))."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"{seconds:+.0f}", encoding="ascii")
        os.replace(new, self._clock)  # noqa: PTH105 - in one step

    def lose_primary(self, seconds: float) -> None:
        """End the primary (SIGKILL), and promote the standby so much later."""
        assert self.primary is not None
        assert self.standby is not None
        self.primary.kill()
        time.sleep(seconds)
        self.standby.promote()
        self.primary, self.standby = self.standby, None
