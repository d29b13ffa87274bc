# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the password to seal comes from: the terminal, standard input or a file."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from mandos.errors import AdministratorError

#: The largest key file of cryptsetup(8), 8 MiB; in bytes.
LIMIT = 8 << 20

_WHOLE = "to seal bytes as they are, use --passfile"


def ask() -> bytes:
    """Ask twice on the terminal, or read a line of standard input when that is none.

    White space at both ends is not part of the password, as in the reference.
    Raises AdministratorError.
    """
    password = _typed() if sys.stdin.isatty() else _piped(_standard_input())
    if not password:
        raise AdministratorError("the password is empty", "nothing was sealed")
    return password


def read(file: str) -> bytes:
    """Read the password from a file, or from standard input for ``-``; nothing is stripped."""
    try:
        password = _standard_input() if file == "-" else _limited(Path(file))
    except OSError as error:
        raise AdministratorError(f"cannot read {file}: {error.strerror}") from error
    if not password:
        raise AdministratorError(f"the password file {file} is empty", "nothing was sealed")
    if len(password) > LIMIT:
        raise AdministratorError(f"{file} is longer than {LIMIT} bytes", "nothing was sealed")
    return password


def _typed() -> bytes:
    first, second = (
        getpass.getpass(prompt).strip().encode(errors="surrogateescape")
        for prompt in ("Enter password: ", "Repeat password: ")
    )
    if first != second:
        raise AdministratorError("the two passwords differ", "nothing was sealed")
    return first


def _piped(data: bytes) -> bytes:
    """One line, or the same line twice, as a script answers a prompt that asks twice."""
    lines = {line.strip() for line in data.strip().split(b"\n")}
    if len(lines) > 1:
        raise AdministratorError("standard input has lines that differ", _WHOLE)
    return lines.pop()


def _standard_input() -> bytes:
    return sys.stdin.buffer.read(LIMIT + 1)


def _limited(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LIMIT + 1)
