# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals and messages of the early-boot programs; each test is a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from mandos import process, program

START = "import os, signal, sys\nfrom mandos import program\n"
SIGNALS = sorted(program.ENDING_SIGNALS)


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + code], capture_output=True, text=True, check=False
    )


def test_children_do_not_run_our_handlers() -> None:
    """The module that starts processes blocks, and resets, all signals that have a handler."""
    assert set(process._ENDING_SIGNALS) == set(program.ENDING_SIGNALS)


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_raises_and_later_ones_do_nothing(number: int) -> None:
    """The program unwinds once, undisturbed."""
    done = _run(
        "program.raise_on_signals()\n"
        f"try:\n    signal.raise_signal({number})\n"
        "except program.Ended as end:\n"
        f"    for other in {SIGNALS}:\n        signal.raise_signal(other)\n"
        "    print(end.number)\n"
    )
    assert (done.returncode, done.stdout) == (0, f"{number}\n")


def test_signals_arrive_on_a_descriptor() -> None:
    """Each as its number, in order; reading it never blocks."""
    done = _run(
        "wakeup = program.wake_on_signals()\n"
        f"for number in {SIGNALS}:\n    signal.raise_signal(number)\n"
        "print(list(os.read(wakeup, 9)))\n"
        "try:\n    os.read(wakeup, 9)\nexcept BlockingIOError:\n    print('none left')\n"
    )
    assert done.stdout == f"{SIGNALS}\nnone left\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_program_ends_by_the_first_signal(number: int) -> None:
    """Its parent sees the signal, and the end of work that was under way."""
    done = _run(
        "wakeup = program.wake_on_signals()\n"
        f"signal.raise_signal({number})\nsignal.raise_signal(signal.SIGTERM)\n"
        "print('tidied up', flush=True)\nprogram.end_by_signal(wakeup)\n"
    )
    assert (done.returncode, done.stdout) == (-number, "tidied up\n")


def test_program_without_a_signal_goes_on() -> None:
    """No signal came, so the exit status is the program's own."""
    done = _run("program.end_by_signal(program.wake_on_signals())\nsys.exit(7)\n")
    assert done.returncode == 7


def test_messages_can_hold_any_name() -> None:
    """Bytes of a file's name that are no UTF-8 are shown as escapes."""
    done = _run("program.speaker('agent')('cannot read ' + os.fsdecode(b'/\\xff'))\n")
    assert done.stderr == "agent: cannot read /\\udcff\n"


def test_message_without_a_reader_does_not_end_the_program() -> None:
    """The person, or the program that read standard error, has gone."""
    done = _run("os.close(2)\nprogram.speaker('agent')('hello')\nprint('done')\n")
    assert done.stdout == "done\n"


def test_signal_names() -> None:
    """Messages name the signal as the manual pages do."""
    for number, name in program.ENDING_SIGNALS.items():
        assert signal.Signals(number).name == name
