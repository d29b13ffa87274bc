# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The race of the plugins, with real processes: small shell scripts that do whatever they like."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mandos.boot.runner.plugin import Plugin
from mandos.boot.runner.race import Pace, Race
from mandos.boot.runner.relay import Relay
from mandos.errors import MachineError
from mandos.process import launch
from mandos.program import Ended

#: No test waits for these: a plugin starts again at once, and is killed almost at once.
QUICK = Pace(pause=0.0, grace=0.2)
LIMIT = 1 << 12
#: Ignores the wish that it may end, and says when it does so.
STUBBORN = "trap '' TERM; echo stubborn >&2; exec sleep 1000"


class Track:
    """Races over scripts in a folder of their own; what was said, and who is still there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.debugged: list[str] = []
        self.pids: list[int] = []
        self.wakeup, self.wake = os.pipe()
        self.reading, self.errors = os.pipe()

    def plugin(self, name: str, script: str) -> Plugin:
        """A plugin that is this shell script; its folder is the working directory."""

        def start(standard: tuple[int | None, int | None, int | None]) -> int:
            command = ["/bin/sh", "-c", f"cd {self.folder}; {script}"]
            self.pids.append(launch(command, standard=standard))
            return self.pids[-1]

        return Plugin(name, start, LIMIT)

    def run(self, scripts: Mapping[str, str], console: str = "exit 1") -> bytes:
        """Race until there is a password; nobody may be left then."""
        race = Race(
            [self.plugin(name, script) for name, script in scripts.items()],
            self.plugin("console", console),
            self.wakeup,
            (Relay(self.errors), self.said.append, self.debugged.append),
            QUICK,
        )
        try:
            return bytes(race.run())
        finally:
            race.close()
            assert [pid for pid in self.pids if Path(f"/proc/{pid}").exists()] == []

    @property
    def heard(self) -> list[str]:
        """The lines that went to standard error."""
        os.set_blocking(self.reading, False)
        return os.read(self.reading, 1 << 16).decode().splitlines()

    def close(self) -> None:
        """Close the track's own descriptors."""
        for descriptor in (self.wakeup, self.wake, self.reading, self.errors):
            os.close(descriptor)


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def track(tmp_path: Path) -> Iterator[Track]:
    """A track; all descriptors that a race opens must be closed after it."""
    made = Track(tmp_path)
    before = _descriptors()
    yield made
    assert _descriptors() <= before
    made.close()


def test_the_first_success_counts(track: Track) -> None:
    """The fast one, whatever the name; what the failed ones printed is dropped."""
    scripts = {
        "a-slow": "exec sleep 1000",
        "b-fails": "printf lost; exit 1",
        "c-dies": "printf lost; kill -9 $$",
        "d-wins": "sleep 0.1; printf 'won\\n'",
    }
    assert track.run(scripts) == b"won\n"
    assert track.said == []


@pytest.mark.parametrize("number", [9, 11, 6])
def test_a_plugin_that_was_killed_is_started_again(track: Track, number: int) -> None:
    """By the kernel for want of memory, or by its own fault; what it printed is forgotten."""
    script = f"printf x; [ -e tried ] && exit 0; touch tried; kill -{number} $$"
    assert track.run({"killed": script}) == b"x"
    assert track.debugged.count(f"killed ended with status -{number}") == 1


def test_a_plugin_that_was_asked_to_end_is_not(track: Track) -> None:
    """Whoever sends SIGTERM means it."""
    scripts = {"asked": "touch asked.$$; kill -15 $$", "wins": "sleep 3; printf won"}
    assert track.run(scripts) == b"won"
    assert track.debugged.count("asked ended with status -15") == 1


def test_an_empty_password_is_one(track: Track) -> None:
    """Exit status 0 counts, also when nothing was printed."""
    assert track.run({"empty": "exit 0", "slow": "exec sleep 1000"}) == b""


def test_a_temporary_failure_is_tried_again(track: Track) -> None:
    """Exit status 75; what was printed the first time is forgotten."""
    script = "printf x; [ -e tried ] && exit 0; touch tried; exit 75"
    assert track.run({"later": script}) == b"x"
    assert track.debugged.count("later ended with status 75") == 1


def test_another_failure_is_final(track: Track) -> None:
    """Then the console is asked."""
    assert track.run({"fails": "echo run >>runs; exit 1"}, "printf typed") == b"typed"
    assert (track.folder / "runs").read_text() == "run\n"


def test_the_console_waits_while_there_is_hope(track: Track) -> None:
    """A person is not asked while a plugin runs, or has failed for the first time only."""
    script = "[ -e tried ] && { printf x; exit 0; }; touch tried; exit 75"
    assert track.run({"later": script}, "printf typed") == b"x"
    assert "asking on the console" not in track.debugged


def test_the_console_is_asked_beside_one_that_fails_for_now(track: Track) -> None:
    """After three temporary failures; the plugin can still win, the question is withdrawn."""
    script = "echo >>tries; [ $(wc -l <tries) -gt 5 ] || exit 75; printf x"
    console = "trap 'kill $!; echo withdrawn >&2; exit 1' TERM; sleep 1000 & wait"
    assert track.run({"later": script}, console) == b"x"
    assert "asking on the console" in track.debugged
    assert "console: withdrawn" in track.heard


def test_nobody_has_a_password(track: Track) -> None:
    """Neither plugins nor the console."""
    with pytest.raises(MachineError, match="no plugin had a password"):
        track.run({"fails": "exit 1"})
    with pytest.raises(MachineError, match="no plugin had a password"):
        track.run({})


def test_one_that_ignores_the_wish_to_end_is_killed(track: Track) -> None:
    """After the grace; it is told by name, and it cannot hold up the password."""
    scripts = {"stubborn": STUBBORN, "wins": "sleep 0.3; printf won"}
    assert track.run(scripts) == b"won"
    assert track.said == ["stubborn does not end: killed"]


def test_a_hanging_grandchild_holds_nobody_up(track: Track) -> None:
    """What a plugin left behind may keep its pipes open: what it printed itself counts."""
    assert track.run({"leaves": "sleep 3 & printf won"}) == b"won"


def test_too_much_output_is_no_password(track: Track) -> None:
    """The plugin is killed, not believed; the console is asked."""
    endless = "while :; do echo 0123456789012345678901234567890123456789; done"
    assert track.run({"endless": endless}, "printf typed") == b"typed"
    assert track.said == [f"endless: printed more than {LIMIT} bytes; killed"]


def test_too_much_output_of_one_that_has_ended(track: Track) -> None:
    """It succeeded before its output was read: that is no password either, nor an empty one."""
    plugin = track.plugin("quick", f"head -c {LIMIT + 1} /dev/zero")
    plugin.start()
    assert select.select([plugin.process], [], [], 30)[0]
    with pytest.raises(MachineError, match="printed more than"):
        plugin.read_output()
    assert plugin.reap() == 65
    assert plugin.take() == b""
    plugin.close()


def test_output_up_to_the_bound_comes_whole(track: Track) -> None:
    """To the last byte, through a pipe."""
    assert track.run({"large": f"head -c {LIMIT} /dev/zero"}) == bytes(LIMIT)


def test_a_plugin_that_cannot_be_started_is_told(track: Track) -> None:
    """And the others run."""

    def fail(_standard: object) -> int:
        raise MachineError("cannot run it: No such file or directory")

    race = Race(
        [Plugin("broken", fail), track.plugin("wins", "printf won")],
        track.plugin("console", "exit 1"),
        track.wakeup,
        (Relay(track.errors), track.said.append, track.debugged.append),
        QUICK,
    )
    assert race.run() == b"won"
    race.close()
    assert track.said == ["broken: cannot run it: No such file or directory"]


def test_a_signal_ends_the_race(track: Track) -> None:
    """The number that arrives is told upward; everybody is ended."""
    os.write(track.wake, bytes([15]))
    with pytest.raises(Ended) as caught:
        track.run({"hangs": "exec sleep 1000", "stubborn": STUBBORN})
    assert caught.value.number == 15


def test_what_plugins_complain_is_heard(track: Track) -> None:
    """Line by line with their names, to the last word before their end."""
    track.run({"a": "echo one >&2; printf last >&2; exit 1", "b": "sleep 0.2; echo two >&2"})
    assert track.heard == ["a: one", "a: last", "b: two"]


def test_chatter_without_end_holds_nobody_up(track: Track) -> None:
    """A plugin that complains all the time, to a reader that does not read."""
    scripts = {"chatter": "while :; do echo nonsense; done >&2", "wins": "sleep 0.2; printf won"}
    assert track.run(scripts) == b"won"
