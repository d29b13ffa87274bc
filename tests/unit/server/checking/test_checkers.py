# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkers are real processes here; each test waits for what becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mandos import process
from mandos.errors import MachineError
from mandos.server.checking import processes as checkers_module
from mandos.server.checking.processes import Checkers, Run


class Supervisor:
    """Has commands run and keeps what becomes of them."""

    def __init__(self, commands: dict[str, str]) -> None:
        self.commands = commands
        self.begun: list[Run] = []
        self.ended: list[tuple[Run, int]] = []
        self.words: list[str] = []
        self.news = asyncio.Event()
        self.most = 0
        self.refusals = 0

    def command(self, run: Run) -> str:
        """What to run."""
        return self.commands[run.client]

    def began(self, run: Run, command: str) -> None:
        """It runs."""
        assert command == self.commands[run.client]
        self.begun.append(run)
        self.most = max(self.most, len(self.begun) - len(self.ended))
        self.news.set()

    def refused(self) -> None:
        """None could be started."""
        self.refusals += 1
        self.news.set()

    def completed(self, run: Run, _command: str, wait_status: int, words: str) -> None:
        """It has ended."""
        self.words.append(words)
        self.ended.append((run, wait_status))
        self.news.set()

    async def until(self, begun: int = 0, ended: int = 0) -> None:
        """Wait until so many have begun and ended."""
        while len(self.begun) < begun or len(self.ended) < ended:
            self.news.clear()
            await self.news.wait()


@asynccontextmanager
async def running(
    commands: dict[str, str], limit: int = 8
) -> AsyncIterator[tuple[Checkers, Supervisor]]:
    """Checkers that are closed again, with nothing left behind."""
    before, children = _descriptors(), _children()
    supervisor = Supervisor(commands)
    checkers = Checkers(supervisor, limit)
    yield checkers, supervisor
    await checkers.close()
    assert len(checkers) == 0
    assert _children() <= children
    assert _descriptors() <= before


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def _children() -> set[str]:
    """This process's children, zombies too: proc_pid_task_tid_children(5)."""
    paths = Path("/proc/self/task").glob("*/children")
    return {child for path in paths for child in path.read_text(encoding="ascii").split()}


@pytest.mark.parametrize(
    ("command", "status"), [("true", 0), ("exit 3", 3 << 8), ("kill -TERM $$", signal.SIGTERM)]
)
async def test_status_is_that_of_wait(command: str, status: int) -> None:
    """An exit status or a signal, as wait(2) has it."""
    async with running({"a": command}) as (checkers, supervisor):
        checkers.want(Run("a", 1))
        await supervisor.until(ended=1)
        assert supervisor.ended == [(Run("a", 1), status)]
        assert supervisor.begun == [Run("a", 1)]


async def test_no_more_at_once_than_allowed() -> None:
    """The others wait their turn, in order."""
    names = [str(number) for number in range(20)]
    async with running(dict.fromkeys(names, "true"), limit=3) as (checkers, supervisor):
        for name in names:
            checkers.want(Run(name, 1))
        await supervisor.until(ended=20)
        assert supervisor.most <= 3
        assert [run.client for run in supervisor.begun] == names


async def test_stopped_run_takes_all_it_has_started_with_it(tmp_path: Path) -> None:
    """Children and grandchildren end, even when they ignore SIGTERM; nothing is reported."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    command = f"exec 9>{pipe}; trap '' TERM; (trap '' TERM; echo >&9; sleep 1000) & sleep 1000"
    async with running({"a": command}) as (checkers, supervisor):
        closed = asyncio.Event()
        checkers.want(Run("a", 1))
        await supervisor.until(begun=1)
        await _readable(reading)
        assert os.read(reading, 10) == b"\n"
        asyncio.get_running_loop().add_reader(reading, _at_end, reading, closed)
        checkers.stop(Run("a", 1))
        await closed.wait()
    os.close(reading)
    assert supervisor.ended == []


async def _readable(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    await ready.wait()
    loop.remove_reader(descriptor)


def _at_end(descriptor: int, closed: asyncio.Event) -> None:
    if not os.read(descriptor, 10):
        asyncio.get_running_loop().remove_reader(descriptor)
        closed.set()


async def test_stopped_run_that_waits_never_begins() -> None:
    """It leaves the queue; the next one comes."""
    commands = {"a": "sleep 1000", "b": "true", "c": "true"}
    async with running(commands, limit=1) as (checkers, supervisor):
        for name in commands:
            checkers.want(Run(name, 1))
        await supervisor.until(begun=1)
        checkers.stop(Run("b", 1))
        checkers.stop(Run("a", 1))
        await supervisor.until(ended=1)
        assert [run.client for run in supervisor.begun] == ["a", "c"]


async def test_hanging_checkers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that hangs does not keep the others from running, and is still ended."""
    monkeypatch.setattr(checkers_module, "_LONG", 0.0)
    commands = {"a": "sleep 1000", "b": "sleep 1000", "c": "true"}
    async with running(commands, limit=1) as (checkers, supervisor):
        for name in commands:
            checkers.want(Run(name, 1))
        await supervisor.until(begun=3, ended=1)
        checkers.stop(Run("a", 1))


async def test_closing_ends_all_at_once() -> None:
    """Also those that wait, and those that do not want to end."""
    commands = {str(number): "trap '' TERM; sleep 1000" for number in range(5)}
    async with running(commands, limit=3) as (checkers, supervisor):
        for name in commands:
            checkers.want(Run(name, 1))
        await supervisor.until(begun=3)
    assert supervisor.ended == []
    assert len(supervisor.begun) == 3


async def test_machine_without_processes_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that cannot start a process is no client's fault: the run waits, and then runs."""
    monkeypatch.setattr(checkers_module, "_RETRY", 0.0)
    left = 3

    def spawn(command: tuple[str, ...], env: dict[str, str], *, output: int | None = None) -> int:
        nonlocal left
        left -= 1
        if left >= 0:
            raise MachineError("Resource temporarily unavailable")
        return process.spawn(command, env, output=output)

    monkeypatch.setattr(checkers_module, "spawn", spawn)
    async with running({"a": "true", "b": "true"}) as (checkers, supervisor):
        checkers.want(Run("a", 1))
        checkers.want(Run("b", 1))
        await supervisor.until(ended=2)
        assert supervisor.refusals == 3
    assert left == -2


async def test_last_words_are_kept() -> None:
    """The end of what it prints, of output and error alike, in one line that cannot harm a log."""
    loud = "yes x | head -c 3000000; printf 'one\\n\\n\\033[31mtwo\\n' >&2; exit 3"
    async with running({"a": loud, "b": "true"}) as (checkers, supervisor):
        checkers.want(Run("a", 1))
        await supervisor.until(ended=1)
        checkers.want(Run("b", 1))
        await supervisor.until(ended=2)
        assert supervisor.ended == [(Run("a", 1), 3 << 8), (Run("b", 1), 0)]
        assert supervisor.words[0].endswith(r"x / x / one / \x1b[31mtwo")
        assert len(supervisor.words[0]) == 300
        assert supervisor.words[1] == ""


async def test_what_a_checker_leaves_behind_does_not_hold_it_up() -> None:
    """A program in the background may keep the output open; the checker has ended all the same."""
    async with running({"a": "echo gone; sleep 3 & exit 1"}) as (checkers, supervisor):
        checkers.want(Run("a", 1))
        await supervisor.until(ended=1)
        assert supervisor.words == ["gone"]


async def test_checker_has_no_input_no_terminal_and_no_signals_of_ours() -> None:
    """It reads /dev/null, prints to a pipe, leads a session, and SIGPIPE kills it again."""
    test = (
        'test "$(readlink /proc/$$/fd/0)" = /dev/null'
        ' && test "$(readlink /proc/$$/fd/1 /proc/$$/fd/2 | sort -u | cut -d: -f1)" = pipe'
        ' && test "$(cut -d" " -f6 /proc/$$/stat)" = $$'
        " && ! ls /proc/$$/fd/3 && kill -PIPE $$"
    )
    async with running({"a": test}) as (checkers, supervisor):
        checkers.want(Run("a", 1))
        await supervisor.until(ended=1)
        assert supervisor.ended == [(Run("a", 1), signal.SIGPIPE)]


async def test_checker_has_nothing_of_the_environment_but_path_and_language(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing of the service manager's, and nothing of the user's who started the server."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("LC_TIME", "C.UTF-8")
    async with running({"a": f"env >{tmp_path}/env"}) as (checkers, supervisor):
        checkers.want(Run("a", 1))
        await supervisor.until(ended=1)
    lines = (tmp_path / "env").read_text(encoding="utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines)
    allowed = {"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "PWD", "SHELL", "TZ", "USER"}
    assert {name for name in values if not name.startswith("LC_")} <= allowed
    assert values["LC_TIME"] == "C.UTF-8"
    assert values["PATH"] == os.environ["PATH"]


async def test_checker_inherits_no_descriptor() -> None:
    """Not even one that was left open for the server on purpose, such as its listening socket."""
    reading, writing = os.pipe()
    high = os.dup2(writing, 40)
    os.set_inheritable(high, True)  # noqa: FBT003 - that is its signature
    process.keep_descriptors()
    async with running({"a": "test ! -e /proc/$$/fd/40"}) as (checkers, supervisor):
        checkers.want(Run("a", 1))
        await supervisor.until(ended=1)
    assert supervisor.ended == [(Run("a", 1), 0)]
    for descriptor in (reading, writing, high):
        os.close(descriptor)


async def test_most_urgent_checker_goes_first() -> None:
    """The order in which they were wanted decides only between equals; a stopped one is passed."""
    commands = dict.fromkeys("abcde", "true")
    async with running(commands, limit=1) as (checkers, supervisor):
        for name, urgency in (("a", 9.0), ("b", 5.0), ("c", 1.0), ("d", 5.0), ("e", 0.0)):
            checkers.want(Run(name, 1), urgency)
        checkers.stop(Run("e", 1))
        await supervisor.until(ended=4)
    assert [run.client for run in supervisor.begun] == ["c", "b", "d", "a"]
