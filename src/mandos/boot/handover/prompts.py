# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the waiting prompts of Debian's cryptsetup-initramfs, and answers them.

Its program askpass reads from the console and from a FIFO, and takes the first answer.  It makes
the FIFO when it starts to wait, opens it for reading, and takes everything up to the end of file
as the password (observed with cryptsetup 2.6.1).  The disk's name is in its environment:
crypttab(5), "CRYPTTAB_NAME".
"""

from __future__ import annotations

import errno
import os

from mandos.boot.handover.rules import Prompt

FIFO = "/lib/cryptsetup/passfifo"
_PROGRAM = "/cryptsetup/askpass"
_NAME = b"CRYPTTAB_NAME="


def waiting() -> list[Prompt]:
    """Every prompt that waits for a password now.

    A prompt that is only just starting is none yet: the kernel has replaced its program and not
    yet filled in its environment, so the disk is unknown.  It opens the FIFO later.  A prompt's
    own child runs the same program until it starts plymouth(8); it is no prompt.
    """
    found: dict[int, tuple[int, str]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is expensive at boot
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/exe").endswith(_PROGRAM):  # noqa: PTH115 - likewise
                    found[int(name)] = (parent_of(name), _disk(name))
            except OSError:
                continue  # a thread of the kernel, or it has just ended
    return [
        Prompt(process, disk)
        for process, (parent, disk) in found.items()
        if disk and parent not in found
    ]


def question(prompt: Prompt) -> str:
    """The text that the prompt shows; empty when the prompt has gone."""
    try:
        words = _read(f"/proc/{prompt.process}/cmdline").split(b"\0")
    except OSError:
        return ""
    return os.fsdecode(words[1]) if len(words) > 1 else ""


def give(password: bytes, fifo: str) -> bool:
    """Write a password to the FIFO; False when no process reads it (yet, or any more)."""
    try:
        writing = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENXIO, errno.ENOENT}:
            return False
        raise
    try:
        os.set_blocking(writing, True)
        rest = memoryview(password)
        while rest:
            rest = rest[os.write(writing, rest) :]
    except BrokenPipeError:
        return False
    finally:
        os.close(writing)
    return True


def parent_of(process: str) -> int:
    """The parent of a process, from its number in /proc: proc_pid_stat(5).  Raises OSError."""
    # The fourth field, after the name in parentheses.
    return int(_read(f"/proc/{process}/stat").rpartition(b") ")[2].split()[1])


def _disk(process: str) -> str:
    """The name of the disk; the text of the prompt when there is none; empty: not known yet."""
    environment = _read(f"/proc/{process}/environ")
    if not environment:
        return ""
    for variable in environment.split(b"\0"):
        if variable.startswith(_NAME):
            return os.fsdecode(variable[len(_NAME) :])
    return os.fsdecode(_read(f"/proc/{process}/cmdline"))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is expensive at boot
        return file.read()
