# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin password-prompt on terminals, ours beside the reference's; and askpass-fifo."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.boot import install_boot_programs, reference_plugin
from harness.console import Terminal
from harness.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.boot import BootPrograms

pytestmark = pytest.mark.peer

#: Every environment that makes a difference to the prompt.
DISKS: list[dict[str, str]] = [
    {},
    {"CRYPTTAB_SOURCE": "/dev/sda5", "CRYPTTAB_NAME": "root"},
    {"CRYPTTAB_SOURCE": "/dev/sda5"},
    {"CRYPTTAB_NAME": "root"},
    {"cryptsource": "/dev/sdb", "crypttarget": "data"},
    {"CRYPTTAB_SOURCE": "", "CRYPTTAB_NAME": ""},
]
OPTIONS: list[list[str]] = [[], ["--prefix=host:"], ["-p", "host", "--prompt", "Say"]]
#: Keys that end the question, and what is printed then.
ANSWERS = [
    (b"correct horse\n", b"correct horse"),
    (b"\n", b""),
    (b"no newline\x04\x04", b"no newline"),
    (b"wrong\x15right\n", b"right"),
    (b"  blanks \t\n", b"  blanks \t"),
    (b"umlaut \xc3\xa4\xff\n", b"umlaut \xc3\xa4\xff"),
]


@pytest.fixture(scope="module")
def programs(_possible: None) -> Iterator[BootPrograms]:
    """A host with our early-boot programs, where no plymouthd runs."""
    with Host("console") as host:
        yield install_boot_programs(host)


@pytest.fixture(scope="module")
def prompt(programs: BootPrograms) -> str:
    """Our password-prompt."""
    return programs.plugin("prompt.d", "password-prompt")


def test_what_is_typed_cannot_be_read_by_the_same_user(programs: BootPrograms, prompt: str) -> None:
    """Other plugins run as nobody, too: the memory of this one is root's (proc(5))."""
    with Terminal(programs.host, "setpriv", "--reuid=65534", "--clear-groups", prompt) as terminal:
        terminal.wait_for(b": $")
        found = [
            path.parent
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if prompt.encode() in path.read_bytes().split(b"\0")[:3]
            and b"Uid:\t65534" in (path.parent / "status").read_bytes()
        ]
        assert found
        assert {(path / "mem").stat().st_uid for path in found} == {0}
        terminal.type(b"x\n")
        assert terminal.finish() == (0, b"x"), terminal.report("no answer")


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("disk", DISKS, ids=str)
def test_the_same_prompt_as_the_reference(
    programs: BootPrograms, prompt: str, disk: dict[str, str], options: list[str]
) -> None:
    """For every disk and option, the terminal shows the same, byte for byte."""
    shown = []
    for program in (prompt, reference_plugin("password-prompt")):
        with Terminal(programs.host, program, *options, environment=disk) as terminal:
            terminal.wait_for(b": $")
            terminal.type(b"x\n")
            assert terminal.finish() == (0, b"x"), terminal.report("no answer")
            shown.append(terminal.shown)
    assert shown[0] == shown[1]


@pytest.mark.parametrize(("keys", "printed"), ANSWERS)
def test_what_is_typed_is_printed_unseen(
    programs: BootPrograms, prompt: str, keys: bytes, printed: bytes
) -> None:
    """Nothing of the answer can be seen, nothing is added to it, and the terminal echoes again."""
    with Terminal(programs.host, prompt) as terminal:
        terminal.wait_for(b": $")
        assert not terminal.echoes()
        terminal.type(keys)
        assert terminal.finish() == (0, printed), terminal.report("no answer")
        assert terminal.echoes()
        assert terminal.shown == b"Enter passphrase to unlock the disk: \r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_leaves_the_terminal_as_it_was(
    programs: BootPrograms, prompt: str, number: signal.Signals
) -> None:
    """Nothing is printed, and half a password does not reach the terminal's next reader."""
    with Terminal(programs.host, prompt) as terminal:
        terminal.wait_for(b": $")
        terminal.type(b"half a pass")
        programs.host.run("true")  # the kernel has taken the keys in long before this ends
        terminal.signal(number)
        assert terminal.finish() == (128 + number, b"")
        assert terminal.echoes()
        terminal.type(b"\n")
        os.set_blocking(terminal.slave, False)
        assert os.read(terminal.slave, 100) == b"\n"


def test_an_interrupt_key_ends_the_question(programs: BootPrograms, prompt: str) -> None:
    """Ctrl-C ends the program and the terminal echoes again."""
    with Terminal(programs.host, prompt) as terminal:
        terminal.wait_for(b": $")
        terminal.type(b"\x03")  # which meets the launcher too
        status, printed = terminal.finish()
        assert status != 0
        assert printed == b""
        assert terminal.echoes()


def test_an_end_of_file_alone_asks_again(programs: BootPrograms, prompt: str) -> None:
    """Ctrl-D on an empty line is no password."""
    with Terminal(programs.host, prompt) as terminal:
        terminal.wait_for(b": $")
        terminal.type(b"\x04")
        terminal.wait_for(b": $")
        terminal.type(b"y\n")
        assert terminal.finish() == (0, b"y")


def test_a_terminal_that_hangs_up_ends_the_question(programs: BootPrograms, prompt: str) -> None:
    """A terminal that is taken away gives no password."""
    with Terminal(programs.host, prompt) as terminal:
        terminal.wait_for(b": $")
        terminal.hang_up()
        status, printed = terminal.finish()
        assert status != 0
        assert printed == b""


def test_without_a_terminal_nobody_is_asked(programs: BootPrograms, prompt: str) -> None:
    """What is not a terminal is not read."""
    with programs.host.start("/bin/sh", "-c", f"echo secret | {prompt}") as asked:
        assert asked.wait() == 69
        assert asked.lines == ["password-prompt: there is no terminal to ask on"]


def test_a_full_disk_is_told(programs: BootPrograms, prompt: str) -> None:
    """An answer that cannot be written whole: an error without the answer, and no success."""
    with Terminal(programs.host, "/bin/sh", "-c", f"exec {prompt} >/dev/full") as terminal:
        terminal.wait_for(b": $")
        terminal.type(b"hunter2\n")
        assert terminal.finish()[0] == 74
        assert b"cannot write the password: No space left" in terminal.shown
        assert b"hunter2" not in terminal.shown


FIFO = "/run/passfifo"


@pytest.fixture(scope="module")
def askpass(programs: BootPrograms) -> str:
    """Our askpass-fifo, on a FIFO that the reference's cannot disturb."""
    return programs.plugin("fifo.d", "askpass-fifo", f'fifo="{FIFO}"')


def _send(programs: BootPrograms, text: str) -> None:
    programs.host.run("/bin/sh", "-c", f"until [ -p {FIFO} ]; do :; done; printf '{text}' >{FIFO}")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("correct horse", b"correct horse"),
        ("with newline\\n", b"with newline\n"),
        ("\\377\\000x", b"\xff\0x"),
    ],
)
def test_what_comes_by_the_fifo_is_printed(
    programs: BootPrograms, askpass: str, text: str, printed: bytes
) -> None:
    """All that one writer writes, exactly; a FIFO that was made is private, and removed after."""
    with programs.host.start(askpass) as reading:
        _send(programs, "")  # a writer that writes nothing is no password
        made = programs.host.path(FIFO).stat()
        assert (stat.S_ISFIFO(made.st_mode), stat.S_IMODE(made.st_mode)) == (True, 0o600)
        _send(programs, text)
        assert reading.wait() == 0, reading.report("no password")
        assert reading.stdout == printed
    assert not programs.host.path(FIFO).exists()


def test_a_fifo_that_was_there_stays(programs: BootPrograms, askpass: str) -> None:
    """Only what was made is removed; SIGTERM ends the waiting in silence."""
    os.mkfifo(programs.host.path(FIFO), 0o600)
    with programs.host.start(askpass) as reading:
        _send(programs, "")
        assert reading.terminate() == 143
        assert reading.log == ""
    assert programs.host.path(FIFO).is_fifo()
    programs.host.path(FIFO).unlink()


def test_what_is_no_fifo_is_not_read(programs: BootPrograms, askpass: str) -> None:
    """Another file in the FIFO's place is an error, and stays."""
    programs.host.path(FIFO).write_text("no password", encoding="ascii")
    with programs.host.start(askpass) as reading:
        assert reading.wait() == 69
        assert reading.lines == [
            f"askpass-fifo: {FIFO} is not a FIFO",
            "askpass-fifo: hint: remove it",
        ]
    programs.host.path(FIFO).unlink()
