# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server has told anybody is true for ever: killed at any moment, it remembers.

The server is killed by SIGKILL while clients fetch secrets, checkers run and fail, and
administrators change clients in the files and over D-Bus.  Acknowledged is what it has logged as a
record, answered over D-Bus, or said by "configuration read again"; and what a client has got.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import secrets
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.bus import start_system_bus
from harness.crowd import ask, enlist, start_crowd
from harness.disk import Disk, Record, read_disk
from harness.families import ours
from harness.fleet import PORT, Fleet, clients_conf, kill_after
from harness.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.process import Process

pytestmark = pytest.mark.peer

#: Kills of each test process; there are four.
KILLS = 50
#: Kills of a server with many clients.
MANY_KILLS, MANY = 12, 1000
#: Longest lives of a server that is killed, in seconds: from its start, and while it serves.
YOUNG, OLD = 0.5, 0.4
#: How many are killed in their youth.
YOUNG_SHARE = 0.3
_ADMINISTRATORS = Path(__file__).parent / "harness" / "administrators.py"
_DEFAULTS = "[DEFAULT]\ninterval = PT1S\ntimeout = PT10M\nchecker = exec true\n\n"
#: The records that strangers cannot provoke, as log lines have them.
_LINES = {
    "enabled": r"client (\S+) is enabled",
    "disabled": r"client (\S+) is disabled: ",
    "added": r"client (\S+) is (?:new|back)",
    "removed": r"client (\S+) is removed",
    "changed": r"client (\S+) has new settings: ",
    "secret-sent": r"sent the secret of client (\S+) to \S+ on \S+$",  # without sums
}


def _logged(process: Process) -> list[tuple[str, str]]:
    """Kind and client of every record that a server has logged, in order."""
    found = []
    for line in process.lines:
        for kind, pattern in _LINES.items():
            if match := re.search(f" (?:INFO|WARNING): {pattern}", line):
                found.append((kind, match[1]))
    return found


class Version(NamedTuple):
    """What one version of the files says: who is switched on, and which guests there are."""

    switched: frozenset[str]
    guests: frozenset[str]


class Ledger:
    """Calls over D-Bus, as the administrators tell of them, in their order."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._read = 0
        self.asked: list[tuple[int, str, str]] = []
        self.acknowledged: set[int] = set()
        self._void: set[int] = set()

    def update(self) -> None:
        """Read on."""
        lines = self._process.lines[self._read :]
        self._read += len(lines)
        for line in lines:
            word, number, *rest = line.split()
            if word == "ask":
                client, member = rest
                self.asked.append((int(number), client, member))
            elif word == "ack":
                self.acknowledged.add(int(number))
            elif word == "void":
                self._void.add(int(number))
            else:
                assert line == f"lost {number} org.freedesktop.DBus.Error.NoReply"

    def end(self) -> None:
        """No more calls."""
        self._process.end()

    def possible(self, client: str, *members: str) -> list[tuple[int, str]]:
        """The last acknowledged call of these members, and all that were made after it.

        Without an acknowledged one the first is (0, ""): nothing may have happened.
        """
        calls = [(0, "")]
        for number, name, member in self.asked:
            if name == client and member in members and number not in self._void:
                calls = [*([] if number in self.acknowledged else calls), (number, member)]
        return calls

    def count(self, client: str, member: str) -> int:
        """How often a member was called."""
        asked = [number for number, *call in self.asked if call == [client, member]]
        return len(set(asked) - self._void)


GROUPS = {
    # name: how many, and their options
    "steady": (4, ""),
    "hanging": (1, "checker = sleep 1000\n"),
    "dying": (4, "checker = exec false\ntimeout = PT1S\n"),
    "dead": (2, "enabled = no\n"),
    "switched": (4, ""),
    "guest": (4, ""),
    "managed": (4, "host = file\n"),
    "leaving": (6, "host = file\n"),
}
#: Why clients may be disabled: what was begun but not acknowledged ends with the client disabled.
INTERRUPTED = "state lost"
_CAUSES = {
    "dying": ("timeout", INTERRUPTED),
    "switched": ("configuration", INTERRUPTED),
    "managed": ("administrator", INTERRUPTED),
    "leaving": (INTERRUPTED,),
}
_ORDERS = {
    "managed": "Enable,Disable,Host,Host",
    "dying": "Enable",
    "leaving": "RemoveClient",
}


@dataclass
class Trial:
    """A server that is killed again and again, and all that others know of it."""

    fleet: Fleet
    chance: random.Random
    crowd: Process
    ledger: Ledger
    sections: dict[str, str]
    versions: list[Version] = field(default_factory=list)
    acknowledged: int = 0
    last: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    enabled: dict[str, bool] = field(default_factory=dict)
    interrupted: set[str] = field(default_factory=set)
    overdue: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    got: int = 0

    def live(self) -> None:
        """One server's life, and what is left of it."""
        server = self.fleet.launch()
        if self.chance.random() < YOUNG_SHARE:
            killer = kill_after(self.chance.uniform(0, YOUNG), server)
        else:
            server.wait_for("serving")
            killer = kill_after(self.chance.uniform(0, OLD), server)
            self._administer(server)
        killer.join()
        assert server.wait() == -signal.SIGKILL, server.report("it ended by itself")
        assert "internal error" not in server.log, server.report("a defect")
        assert self.crowd.running, self.crowd.report("the crowd has gone")
        self.check(server)

    def _administer(self, server: Process) -> None:
        """Change the files and have them read, until the server is killed."""
        said = 0
        while True:
            self.configure()
            with contextlib.suppress(OSError):
                server.signal(signal.SIGHUP)
            try:
                said = server.wait_for("configuration read again", after=said)
            except AssertionError:
                return  # it was killed
            self.acknowledged = len(self.versions) - 1

    def configure(self) -> None:
        """Write another version of the files."""
        version = Version(self._some("switched"), self._some("guest"))
        number = len(self.versions)
        self.versions.append(version)
        text = _DEFAULTS + "".join(self._section(name, number) for name in self.sections)
        self.fleet.configure(text)

    def _some(self, group: str) -> frozenset[str]:
        return frozenset(name for name in _members(group) if self.chance.random() < 0.5)

    def _section(self, name: str, number: int) -> str:
        version, section = self.versions[number], self.sections[name]
        group = name.rstrip("0123456789")
        if group == "guest" and name not in version.guests:
            return ""
        if group == "switched":
            section += f"enabled = {'yes' if name in version.switched else 'no'}\n"
        if group in ("steady", "switched"):
            section += f"host = v{number}\n"
        return section

    def check(self, server: Process) -> None:
        """Nothing that was acknowledged is lost; nothing happened without a cause."""
        self.ledger.update()
        disk = read_disk(self.fleet.state, self.last)
        logged, kept = _logged(server), [(record.kind, record.client) for record in disk.records]
        assert kept[: len(logged)] == logged, server.report("a record is lost")
        self.overdue |= disk.overdue
        for record in disk.records:
            self._follow(record)
        assert disk.enabled == self.enabled
        assert {name for name, enabled in disk.enabled.items() if not enabled} <= disk.witness
        self._check_files(disk)
        self._check_calls(disk)
        self._check_secrets({name for kind, name in kept if kind == "secret-sent"})

    def finish(self, keys: Path) -> None:
        """Ask everybody once more, in peace; and see that there has been something to forget."""
        self.crowd.end()
        self.ledger.end()
        self.fleet.start()
        outcomes = ask(self.fleet.host, PORT, keys, *self.sections)
        self.fleet.process.end()
        self.check(self.fleet.process)
        dying = set(_members("dying"))  # may have expired since
        enabled = {name for name, enabled in self.enabled.items() if enabled}
        got = {name for name, outcome in outcomes.items() if outcome == "got"}
        assert got - dying == enabled - dying
        kinds = Counter[str]()
        for (kind, _name), number in self.counts.items():
            kinds[kind] += number
        print(f"{dict(kinds)}, {len(self.ledger.acknowledged)} calls, {self.acknowledged} reloads")  # noqa: T201 - pytest shows it with a failure
        assert kinds.keys() == _LINES.keys()
        assert self.ledger.acknowledged
        assert self.acknowledged

    def _follow(self, record: Record) -> None:
        """Do what a record says; each must have had a cause."""
        self.last = record.number
        self.counts[record.kind, record.client] += 1
        name, group = record.client, record.client.rstrip("0123456789")
        if record.kind == "added":
            assert name not in self.enabled
            assert not (group == "leaving" and self.counts["removed", name])
            self.enabled[name] = self._begins_enabled(name)
        elif record.kind == "removed":
            assert group in ("guest", "leaving")
            del self.enabled[name]
        elif record.kind == "enabled":
            self._follow_enabled(record, group)
        elif record.kind == "disabled":
            assert self.enabled[name]
            assert record.detail in _CAUSES.get(group, ())
            self.enabled[name] = False
            if record.detail == INTERRUPTED:
                self.interrupted.add(name)
        elif record.kind == "secret-sent":
            assert self.enabled[name], f"{name} is disabled and got its secret"
        else:
            assert record.kind == "changed"

    def _follow_enabled(self, record: Record, group: str) -> None:
        name = record.client
        assert not self.enabled[name] or name in self.overdue  # on a slow machine
        if group == "switched":
            assert record.detail == "configuration"
        else:
            assert record.detail == "administrator"
            assert self.counts["enabled", name] <= self.ledger.count(name, "Enable")
        self.enabled[name] = True
        self.interrupted.discard(name)

    def _begins_enabled(self, name: str) -> bool:
        """What the first version says that a client is in."""
        group = name.rstrip("0123456789")
        return group != "dead" and (group != "switched" or name in self.versions[0].switched)

    def _check_files(self, disk: Disk) -> None:
        """All is as one version of the files has it: the last acknowledged one or a later."""
        if not disk.enabled:
            assert not self.acknowledged
            return
        numbers = {
            int(disk.settings[name]["host"][1:])
            for name in _members("steady") + _members("switched")
        }
        assert len(numbers) == 1, "a reload is done by half"
        (number,) = numbers
        assert number >= self.acknowledged
        version = self.versions[number]
        assert {name for name in _members("guest") if name in disk.enabled} == version.guests
        switched = {name for name in _members("switched") if disk.enabled[name]}
        assert switched | (self.interrupted & version.switched) == version.switched

    def _check_calls(self, disk: Disk) -> None:
        """What an administrator was told is done is done."""
        for name in _members("managed") if disk.enabled else ():
            switching = self.ledger.possible(name, "Enable", "Disable")
            assert disk.enabled[name] in {member != "Disable" for _number, member in switching}
            named = self.ledger.possible(name, "Host")
            hosts = {f"bus-{number}" if number else "file" for number, _member in named}
            assert disk.settings[name]["host"] in hosts
        for name in _members("leaving"):
            if (0, "") not in self.ledger.possible(name, "RemoveClient"):
                assert name not in disk.enabled

    def _check_secrets(self, sent: set[str]) -> None:
        """Nobody has a secret from a server without a record of it; nobody has another's.

        The crowd may be heard after the end of the server that it asked.  Each server has a record
        of the first secret that it sends to a client; a kill may lose the count of the others.
        """
        words = [line.split() for line in self.crowd.lines[self.got :]]
        self.got += len(words)
        assert not [name for outcome, name in words if outcome == "wrong"]
        assert {name for outcome, name in words if outcome == "got"} <= sent | self.sent
        self.sent = sent


def _members(group: str) -> list[str]:
    return [f"{group}{number}" for number in range(GROUPS[group][0])]


@pytest.fixture
def site(_possible: None) -> Iterator[tuple[Host, Path]]:
    """A host with a bus, and a folder on the disk that the server's user may pass."""
    with tempfile.TemporaryDirectory(prefix="mandos-") as folder, Host("server") as host:
        Path(folder).chmod(0o755)
        (Path(folder) / "keys").mkdir()
        start_system_bus(host)
        yield host, Path(folder)


def _seed() -> int:
    """Another one each time, and told, so that a failure can be repeated: MANDOS_SEED=…."""
    seed = int(os.environ.get("MANDOS_SEED") or secrets.randbelow(1 << 32))
    print(f"repeat with MANDOS_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    return seed


def _trial(host: Host, folder: Path, chance: random.Random) -> Trial:
    sections = {
        name: enlist(folder / "keys", name) + options
        for group, (_number, options) in GROUPS.items()
        for name in _members(group)
    }
    orders = [f"{name}={_ORDERS[group]}" for group in _ORDERS for name in _members(group)]
    ledger = Ledger(host.start(sys.executable, str(_ADMINISTRATORS), *orders))
    crowd = start_crowd(host, PORT, folder / "keys")
    trial = Trial(Fleet(host, ours(), folder, "", options=()), chance, crowd, ledger, sections)
    trial.configure()
    return trial


@pytest.mark.parametrize("part", range(4))
def test_killed_at_any_moment_it_remembers(site: tuple[Host, Path], part: int) -> None:
    """Fifty times in a row: every record, setting, state and secret is accounted for."""
    trial = _trial(*site, random.Random(_seed() + part))  # noqa: S311 - not a secret
    for _kill in range(KILLS):
        trial.live()
    trial.finish(site[1] / "keys")


def _many(version: int) -> str:
    """A thousand clients, all of them different in every version."""
    return clients_conf(MANY, f"timeout = PT{100 + version}M")


def test_reload_is_whole_or_not_at_all(site: tuple[Host, Path]) -> None:
    """Killed while it takes over a thousand changes, it has all of them or none."""
    host, folder = site
    chance = random.Random(_seed())  # noqa: S311 - not a secret
    fleet = Fleet(host, ours(), folder, _many(0))
    for version in range(1, MANY_KILLS + 1):
        fleet.start()
        fleet.configure(_many(version))
        fleet.process.signal(signal.SIGHUP)
        kill_after(chance.uniform(0, OLD), fleet.process).join()
        fleet.process.wait()
        settings = read_disk(fleet.state).settings.values()
        timeouts = Counter(client["timeout"] // 60_000_000 - 100 for client in settings)
        assert timeouts in ({version - 1: MANY}, {version: MANY})


def test_start_is_whole_or_not_at_all(site: tuple[Host, Path]) -> None:
    """Killed while it writes a thousand clients for the first time, it knows all or none."""
    host, folder = site
    chance = random.Random(_seed())  # noqa: S311 - not a secret
    fleet = Fleet(host, ours(), folder, _many(0))
    for _kill in range(MANY_KILLS):
        kill_after(chance.uniform(0.1, 2 * YOUNG), fleet.launch()).join()
        fleet.process.wait()
        assert sum(read_disk(fleet.state).enabled.values()) in (0, MANY)
        fleet.forget()
