# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking on a terminal, without a program around it."""

from __future__ import annotations

import os
import pty
import termios

import pytest

from mandos import passwords
from mandos.boot.terminal import ask, disk_prompt
from mandos.errors import MachineError


@pytest.mark.parametrize(
    ("environment", "prompt"),
    [
        ({}, "Anything"),
        ({"CRYPTTAB_SOURCE": "/dev/sda5"}, "Unlocking the disk /dev/sda5\nEnter passphrase"),
        (
            {"CRYPTTAB_NAME": "root", "crypttarget": "older"},
            "Unlocking the disk (root)\nEnter passphrase",
        ),
        (
            {"cryptsource": "/dev/sda5", "CRYPTTAB_NAME": "root"},
            "Unlocking the disk /dev/sda5 (root)\nEnter passphrase",
        ),
    ],
)
def test_the_question_names_the_disk(environment: dict[str, str], prompt: str) -> None:
    """By the newer variables, else by the older ones."""
    assert disk_prompt(environment, nameless="Anything") == prompt


def test_what_was_typed_early_counts() -> None:
    """A person who could not wait for the prompt is not asked to type again."""
    master, slave = pty.openpty()
    os.write(master, b"typed early\n")
    assert ask("Password: ", slave) == b"typed early"
    shown = b""
    while not shown.endswith(b"Password: \r\n"):
        shown += os.read(master, 100)
    # The kernel takes keys in by itself, perhaps only when they are unseen already.
    assert shown in {b"typed early\r\nPassword: \r\n", b"Password: \r\n"}
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("size", [passwords.LIMIT + 1, 4095, 5000])
def test_a_line_that_is_too_long_is_asked_again(size: int) -> None:
    """Also one of which the terminal keeps only 4095 bytes: nothing is cut in silence."""
    master, slave = pty.openpty()
    for line in (b"x" * size, b"y" * passwords.LIMIT):
        os.write(master, line + b"\n")
    assert ask("Password: ", slave) == b"y" * passwords.LIMIT
    shown = b""
    while not shown.endswith(b"Password: \r\n"):
        shown += os.read(master, 10_000)
    assert b"the password has more than the 2048 bytes that systemd takes; type another" in shown
    os.close(master)
    os.close(slave)


def test_a_terminal_in_another_mode_is_left_in_it() -> None:
    """Every attribute is restored, not only the echo."""
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[0] &= ~termios.IXON
    attributes[6][termios.VERASE] = b"\x08"
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    os.write(master, b"x\n")
    ask("Password: ", slave)
    assert termios.tcgetattr(slave) == attributes
    os.close(master)
    os.close(slave)


def test_what_is_no_terminal_is_refused() -> None:
    """A file or a pipe."""
    null = os.open(os.devnull, os.O_RDWR)
    with pytest.raises(MachineError, match="no terminal"):
        ask("Password: ", null)
    os.close(null)


def test_a_terminal_that_has_hung_up_is_no_answer() -> None:
    """It does not ask for ever."""
    master, slave = pty.openpty()
    os.close(master)
    with pytest.raises(MachineError, match="terminal"):
        ask("Password: ", slave)
    os.close(slave)
