# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes: programs that fail, hang or are missing, and work that may do us no harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from mandos import process
from mandos.errors import MachineError

MEGABYTE = 1 << 20


def test_a_program_gets_input_and_gives_output() -> None:
    """Bytes go in and come out as they are, both outputs apart."""
    done = process.run(["sh", "-c", "cat; echo said >&2"], input=b"a\0b\n", timeout=30)
    assert (done.status, done.stdout, done.stderr) == (0, b"a\0b\n", b"said\n")
    assert done.require_success() == b"a\0b\n"


def test_a_program_gets_the_environment_that_is_named() -> None:
    """``env`` is the whole environment."""
    done = process.run(["/usr/bin/env"], env={"ONLY": "this"}, timeout=30)
    assert done.stdout == b"ONLY=this\n"


@pytest.mark.parametrize(
    "words",
    [["true"], ["a b", ""], ["it's", '"$(x)"'], ["~", "*", "a=b"], ["ü", "-", "a\nb"]],
    ids=str,
)
def test_a_shell_takes_a_shown_command_apart_again(words: list[str]) -> None:
    """A command that failed is shown as one can paste it, whatever its words are."""
    shown = process.Completed(words, 1, b"", b"")
    with pytest.raises(MachineError) as caught:
        shown.require_success()
    text = str(caught.value).partition("status 1: ")[2]
    printed = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True
    )
    assert printed.stdout.decode().split("\0")[:-1] == words


def test_a_failure_can_be_pasted_and_hides_the_input() -> None:
    """The error quotes the command for a shell and says what the program said, not its input."""
    done = process.run(["sh", "-c", "echo 'no way' >&2; exit 3"], input=b"hidden", timeout=30)
    with pytest.raises(MachineError) as caught:
        done.require_success()
    assert caught.value.lines() == [
        """command failed with status 3: sh -c 'echo '"'"'no way'"'"' >&2; exit 3'""",
        "hint: no way",
    ]


def test_a_missing_program_is_named() -> None:
    """A program that cannot be started is an error of the machine."""
    with pytest.raises(MachineError, match=r"cannot run /nonexistent/program: No such file"):
        process.run(["/nonexistent/program"], timeout=30)


def test_a_program_that_takes_too_long_is_killed() -> None:
    """The time limit ends the program; the error holds neither input nor output."""
    with pytest.raises(MachineError, match=r"took longer than 0\.01 s: sleep 60") as caught:
        process.run(["sleep", "60"], timeout=0.01)
    assert caught.value.__cause__ is None


#: Ends well by SIGTERM, and so does the program that it has started; reports both.
PATIENT = """
trap 'wait; echo parent >>"$0"; exit' TERM
(trap 'echo child >>"$0"; exit' TERM; while :; do sleep 0.01; done) &
wait
"""


class _EndedError(BaseException):
    """Ends a call as a signal does."""


def _end_when(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)
    raise _EndedError


def test_a_program_gets_time_for_its_clean_up(tmp_path: Path) -> None:
    """It and the programs that it has started get SIGTERM, and the call waits for their end."""
    said = tmp_path / "said"
    with pytest.raises(MachineError, match="took longer"):
        process.run(["sh", "-c", PATIENT, str(said)], timeout=2, patience=30)
    assert said.read_text(encoding="ascii").split() == ["child", "parent"]


def test_a_program_that_does_not_end_is_killed() -> None:
    """The programs that it has started, too, when the patience is over."""
    stubborn = "trap '' TERM; sleep 60 & wait; sleep 60"
    began = time.monotonic()
    with pytest.raises(MachineError, match="took longer"):
        process.run(["sh", "-c", stubborn], timeout=0.2, patience=0.2)
    assert time.monotonic() - began < 50
    assert not _children()


def test_isolated_work_gets_time_for_its_clean_up(tmp_path: Path) -> None:
    """Its ``finally`` runs before the exception that ended the call goes on."""
    begun, cleaned = tmp_path / "begun", tmp_path / "cleaned"

    def work() -> bytes:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            begun.touch()
            time.sleep(60)
        finally:
            cleaned.touch()
        return b""

    with pytest.raises(_EndedError):
        process.run_isolated(
            work, memory=64 * MEGABYTE, size=1, timeout=30, patience=30,
            waiting=lambda: _end_when(begun),
        )  # fmt: skip
    assert cleaned.exists()


def _isolated(work: object, *, memory: int = 64 * MEGABYTE, timeout: float = 30) -> bytes:
    assert callable(work)
    return process.run_isolated(work, memory=memory, size=MEGABYTE, timeout=timeout)


def test_isolated_work_returns_its_bytes() -> None:
    """Output larger than a pipe's buffer comes back whole."""
    assert _isolated(lambda: os.getpid().to_bytes(8, "big")) != os.getpid().to_bytes(8, "big")
    assert _isolated(lambda: bytes(range(256)) * 4096) == bytes(range(256)) * 4096


def _children() -> set[str]:
    """Process IDs of this thread's children: proc_pid_children(5)."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def _raise() -> NoReturn:
    raise ValueError("the password is hunter2")


def _die() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def _hang() -> bytes:
    signal.pause()
    return b""


@pytest.mark.parametrize(
    "work",
    [_raise, _die, lambda: b"x" * (MEGABYTE + 1), lambda: b"x" * (512 * MEGABYTE)],
    ids=["raises", "dies", "returns too much", "takes too much memory"],
)
def test_isolated_work_fails_without_a_reason(
    work: object, capfd: pytest.CaptureFixture[str]
) -> None:
    """However the work fails, this process goes on and learns nothing that could be secret."""
    before = _children()
    with pytest.raises(MachineError) as caught:
        _isolated(work)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
    assert capfd.readouterr() == ("", "")
    assert _children() == before


def test_isolated_work_that_hangs_is_killed() -> None:
    """The time limit holds, and no child is left."""
    before = _children()
    with pytest.raises(MachineError, match="took too long"):
        _isolated(_hang, timeout=0.01)
    assert _children() == before


def test_importing_the_room_is_cheap() -> None:
    """Early boot pays for subprocess only when a program is run."""
    code = "import mandos.process, sys; print('subprocess' in sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def _status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_launched_program_has_the_descriptors_it_is_given(tmp_path: Path) -> None:
    """Also crosswise: our output can be its errors, and it inherits nothing else."""
    inherited = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inherited, True)  # noqa: FBT003 - the name says it
    with (tmp_path / "out").open("w+b") as out, (tmp_path / "err").open("w+b") as err:
        script = "ls /proc/self/fd; echo said >&2; cat"
        standard = (None, out.fileno(), err.fileno())
        assert _status(process.launch(["sh", "-c", script], standard=standard)) == 0
        out.seek(0)
        err.seek(0)
        # The fourth is the folder that ls reads.
        assert (out.read(), err.read()) == (b"0\n1\n2\n3\n", b"said\n")
    os.close(inherited)


def test_a_launched_program_starts_with_untouched_signals() -> None:
    """What we block or ignore is neither blocked nor ignored in it.

    The two signals that the C library keeps for itself (signal(7)) are as whoever started us had
    them: nobody can change those.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    formerly = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with tempfile.TemporaryFile() as out:
            script = "exec grep -E '^Sig(Blk|Ign):' /proc/self/status"
            child = process.launch(["sh", "-c", script], standard=(None, out.fileno(), None))
            assert _status(child) == 0
            out.seek(0)
            masks = [int(line.split()[1], 16) for line in out]
    finally:
        signal.signal(signal.SIGUSR1, formerly)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    changeable = sum(1 << number - 1 for number in signal.valid_signals())
    assert [mask & changeable for mask in masks] == [0, 0]


def test_a_launched_program_can_be_another_user(tmp_path: Path) -> None:
    """``prepare`` runs in the child only, with the environment not yet in force."""
    with (tmp_path / "out").open("w+b") as out:
        child = process.launch(
            ["/bin/sh", "-c", "pwd; echo $ONLY"],
            env={"ONLY": "this"},
            standard=(None, out.fileno(), None),
            prepare=lambda: os.chdir("/"),
        )
        assert _status(child) == 0
        out.seek(0)
        assert out.read() == b"/\nthis\n"
    assert Path.cwd() != Path("/")


@pytest.mark.parametrize(
    ("command", "prepare", "reason"),
    [
        ("/nonexistent/program", bool, "cannot run /nonexistent/program: No such file"),
        ("true", _raise, "cannot run true: ValueError"),
    ],
)
def test_a_program_that_cannot_be_launched_is_named(
    command: str, prepare: Callable[[], object], reason: str
) -> None:
    """The reason comes from the child, which is gone when the error is raised."""
    before = _children()
    with pytest.raises(MachineError, match=reason):
        process.launch([command], prepare=prepare)
    assert _children() == before


def test_launched_work_is_a_process_of_its_own(tmp_path: Path) -> None:
    """Its status is what it returns; it has the descriptors that it is given and no others."""
    inherited = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inherited, True)  # noqa: FBT003 - the name says it

    def work() -> int:
        os.write(1, str(len(os.listdir("/proc/self/fd"))).encode())  # noqa: PTH208 - short
        return 42

    with (tmp_path / "out").open("w+b") as out:
        assert _status(process.launch_work(work, standard=(None, out.fileno(), None))) == 42
        out.seek(0)
        assert out.read() == b"4"  # the fourth is the folder that is read
    os.close(inherited)


def test_launched_work_that_raises_fails_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing of this process runs on in it, and nothing is printed."""
    assert _status(process.launch_work(_raise)) == 1
    assert capfd.readouterr() == ("", "")


def test_launched_work_can_be_ended() -> None:
    """Handlers and wakeup descriptors of this process are not its own."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = process.launch_work(lambda: len(_hang()))
        os.kill(child, signal.SIGTERM)
        assert _status(child) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
