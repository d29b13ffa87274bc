# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin askpass-fifo: takes the password from a FIFO (manual page askpass-fifo(8mandos)).

Programs that let an administrator unlock the disk from afar, such as cryptroot-unlock, write to
the FIFO of the initial RAM disk's askpass.  It is root's; root's rights are laid aside in between.
"""

from __future__ import annotations

import os
import select
import stat

from mandos import passwords
from mandos.errors import MachineError
from mandos.options import CommandLine
from mandos.program import TooLongError, print_password, run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from mandos.options import ParsedOptions
    from mandos.program import Say

    _Result = TypeVar("_Result")

FIFO = "/lib/cryptsetup/passfifo"
_PIECE = 1 << 16
_CANNOT = "askpass-fifo is set-user-ID root where it is installed"

COMMAND_LINE = CommandLine(
    "askpass-fifo", f"Prints the password that is written to the FIFO {FIFO}.", ()
)


def main(arguments: Sequence[str] | None = None, fifo: str = FIFO) -> int:
    """Run askpass-fifo; returns the exit status."""

    def work(_given: ParsedOptions, _say: Say) -> int:
        return _work(fifo)

    return run_program(COMMAND_LINE, work, arguments)


def _work(fifo: str) -> int:
    root = os.geteuid()
    made: tuple[int, int] | None = None
    try:
        os.seteuid(os.getuid())
        made = _as_user(root, lambda: _make(fifo))
        return print_password(_read_password(lambda: _as_user(root, lambda: _open(fifo))))
    finally:
        if made is not None:
            _as_user(root, lambda: _remove(fifo, made))


def _as_user(user: int, act: Callable[[], _Result]) -> _Result:
    """Do something with the effective user of the program's start."""
    aside = os.geteuid()
    os.seteuid(user)
    try:
        return act()
    finally:
        os.seteuid(aside)


def _make(fifo: str) -> tuple[int, int] | None:
    """Make the FIFO; return its identity, or None when it existed already."""
    try:
        os.mkfifo(fifo, 0o600)
        return _identity(fifo)
    except FileExistsError:
        return None
    except OSError as error:
        raise MachineError(f"cannot make the FIFO {fifo}: {error.strerror}", _CANNOT) from error


def _identity(fifo: str) -> tuple[int, int]:
    found = os.lstat(fifo)
    return found.st_dev, found.st_ino


def _remove(fifo: str, made: tuple[int, int]) -> None:
    try:
        if _identity(fifo) == made:
            os.unlink(fifo)  # noqa: PTH108 - pathlib is expensive at boot
    except OSError:
        pass  # another program removed it


def _open(fifo: str) -> int:
    """Open for reading, without waiting for a writer."""
    try:
        descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise MachineError(f"cannot read {fifo}: {error.strerror}", _CANNOT) from error
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MachineError(f"{fifo} is not a FIFO", "remove it")
    return descriptor


def _read_password(opened: Callable[[], int]) -> bytes:
    """All bytes of the first writer that writes anything, to its end."""
    password = b""
    while not password:
        # After a writer that wrote nothing, only a new descriptor waits for the next one.
        descriptor = opened()
        try:
            password = _read_to_end(descriptor)
        finally:
            os.close(descriptor)
    return password


def _read_to_end(descriptor: int) -> bytes:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    read = bytearray()
    while True:
        poll.poll()
        try:
            piece = os.read(descriptor, _PIECE)
        except BlockingIOError:
            continue
        read += piece
        if len(read) > passwords.LIMIT:
            raise TooLongError
        if not piece:
            return bytes(read)
