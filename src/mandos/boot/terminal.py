# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a person for a password on a terminal, and words the question.

However the question ends, the terminal is left as it was found.  Typed text that was not yet read
is then thrown away, so that no half of a password reaches the next reader.
"""

from __future__ import annotations

import fcntl
import os
import termios

from mandos import passwords
from mandos.errors import MachineError
from mandos.lean_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_STDIN = 0
_STDERR = 2
_PIECE = 4096  # a terminal's longest line, its end included: termios(3), "Canonical mode"
_LOCAL_FLAGS = 3  # the index of c_lflag: termios.tcgetattr()


def disk_prompt(environment: Mapping[str, str], *, nameless: str) -> str:
    """The question that the initial RAM disk's askpass would show for a disk of crypttab(5).

    ``nameless`` is asked when the environment names no disk.  Debian's cryptsetup sets
    CRYPTTAB_SOURCE and CRYPTTAB_NAME; before 2:2.0.3 it set cryptsource and crypttarget.
    """
    source = environment.get("CRYPTTAB_SOURCE", environment.get("cryptsource"))
    name = environment.get("CRYPTTAB_NAME", environment.get("crypttarget"))
    if source is None and name is None:
        return nameless
    words = ["Unlocking the disk"]
    words += [] if source is None else [source]
    words += [] if name is None else [f"({name})"]
    return f"{' '.join(words)}\nEnter passphrase"


def ask(prompt: str, terminal: int = _STDIN) -> bytes:
    """Show ``prompt``, return the line that is typed, unseen and without its newline.

    An end of file (Ctrl-D) after some characters ends the line too; without any it is asked again.
    So is it after a line that is longer than a password may be, of which the terminal could have
    cut the end.
    After SIGCONT, the prompt is shown again: a program that wrote to the terminal sends it.
    Raises MachineError when there is no terminal, or none any more.
    """
    try:
        found = termios.tcgetattr(terminal)
    except termios.error as error:
        raise MachineError("there is no terminal to ask on") from error
    unseen = list(found)
    unseen[_LOCAL_FLAGS] &= ~termios.ECHO
    screen = _screen(terminal)
    former = signal.signal(signal.SIGCONT, lambda _number, _frame: _show(screen, prompt))
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, unseen)
        answer = _answer(prompt, terminal, screen)
    except (OSError, termios.error) as error:
        raise MachineError("the terminal went away") from error
    finally:
        _restore(terminal, found)
        signal.signal(signal.SIGCONT, former or signal.SIG_DFL)
        _show(screen, "\n")
    return answer


def _answer(prompt: str, terminal: int, screen: int) -> bytes:
    """Lines until one is short enough."""
    while len(answer := _line(prompt, terminal, screen)) > passwords.LIMIT:
        _show(screen, f"\n{passwords.too_long()}; type another one.\n")
    return answer


def _line(prompt: str, terminal: int, screen: int) -> bytes:
    line = bytearray()
    _show(screen, prompt)
    while not line.endswith(b"\n"):
        piece = os.read(terminal, _PIECE)
        if not piece and line:
            return bytes(line)
        if not piece:
            termios.tcgetattr(terminal)  # raises when it has hung up: else this would never end
            _show(screen, "\n" + prompt)
        line += piece
    return bytes(line[:-1])


def _screen(terminal: int) -> int:
    """The descriptor to write the prompt to: the terminal when it is open for writing too.

    Standard error may be a pipe to plugin-runner, which works in lines.
    """
    mode = fcntl.fcntl(terminal, fcntl.F_GETFL) & os.O_ACCMODE
    return terminal if mode == os.O_RDWR else _STDERR


def _show(screen: int, text: str) -> None:
    try:  # noqa: SIM105 - contextlib is expensive at boot
        os.write(screen, text.encode(errors="surrogateescape"))
    except OSError:
        pass  # a password can be typed blindly too


def _restore(terminal: int, attributes: list[int | list[bytes | int]]) -> None:
    try:
        termios.tcflush(terminal, termios.TCIFLUSH)
        termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    except termios.error:
        pass  # it has hung up: nothing is left to restore
