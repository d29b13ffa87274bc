# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the password to encrypt from the terminal, standard input or a file.

Its bytes are encrypted exactly as they are; a password that would not arrive whole is refused.
"""

from __future__ import annotations

import os
import sys
import termios
from pathlib import Path

from mandos import passwords
from mandos.errors import AdministratorError

_WHOLE = "to encrypt bytes as they are, use --passfile"
_STDIN = 0
_PIECE = 4096  # a terminal's longest line, its end included: termios(3), "Canonical mode"
_LOCAL_FLAGS = 3  # the index of c_lflag: termios.tcgetattr()
_CONTROL = frozenset((*range(0x20), 0x7F))


def ask() -> bytes:
    """Ask twice on the terminal, or read a line of standard input when that is none.

    Only the end of the line is not part of the password.  Raises AdministratorError.
    """
    password = _typed() if sys.stdin.isatty() else _piped()
    if not password:
        raise AdministratorError("the password is empty", "nothing was encrypted")
    return _checked(password)


def read(file: str) -> bytes:
    """Read the password from a file, or from standard input for ``-``; nothing is stripped."""
    try:
        password = _standard_input(passwords.LIMIT) if file == "-" else _limited(Path(file))
    except OSError as error:
        raise AdministratorError(f"cannot read {file}: {error.strerror}") from error
    if not password:
        raise AdministratorError(f"the password file {file} is empty", "nothing was encrypted")
    return _checked(password, f"{file}: ")


def remarks(password: bytes) -> list[str]:
    """Warnings for the administrator about a password that can be encrypted."""
    found = []
    if b"\0" in password:
        found.append(
            "warning: the password has a NUL byte: an image by initramfs-tools hands it on whole, "
            "but systemd, in most images by dracut, cannot"
        )
    if password.endswith(b"\n"):
        found.append("note: the password ends with a line break, which belongs to the password")
    if _CONTROL.intersection(password):
        found.append(
            "note: the password has control characters, such as a tab or a line break, which most "
            "prompts at boot do not take from the keyboard"
        )
    return found


def _checked(password: bytes, prefix: str = "") -> bytes:
    if len(password) > passwords.LIMIT:
        message = f"{prefix}{passwords.too_long()}"
        raise AdministratorError(message, f"nothing was encrypted; {passwords.LONGER_KEYS}")
    return password


def _typed() -> bytes:
    first, second = (_line(prompt) for prompt in ("Enter password: ", "Repeat password: "))
    if first != second:
        raise AdministratorError("the two passwords differ", "nothing was encrypted")
    return first


def _line(prompt: str) -> bytes:
    """The typed line, without echo: every byte before the end of the line, in any encoding."""
    found = termios.tcgetattr(_STDIN)
    unseen = list(found)
    unseen[_LOCAL_FLAGS] &= ~termios.ECHO
    try:
        termios.tcsetattr(_STDIN, termios.TCSAFLUSH, unseen)
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = bytearray()
        while not line.endswith(b"\n") and (piece := os.read(_STDIN, _PIECE)):
            line += piece
    finally:
        termios.tcsetattr(_STDIN, termios.TCSAFLUSH, found)
        sys.stderr.write("\n")
    return bytes(line).removesuffix(b"\n")


def _piped() -> bytes:
    """One line, or the same line twice, as a script answers a prompt that asks twice."""
    twice = 2 * (passwords.LIMIT + 1)
    lines = set(_standard_input(twice).removesuffix(b"\n").split(b"\n"))
    if len(lines) > 1 and max(map(len, lines)) <= passwords.LIMIT:
        raise AdministratorError(
            "standard input has lines that differ; expected one password, or the same one twice",
            _WHOLE,
        )
    return max(lines, key=len)


def _standard_input(limit: int) -> bytes:
    return sys.stdin.buffer.read(limit + 1)


def _limited(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(passwords.LIMIT + 1)
