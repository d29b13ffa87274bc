# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of disabled clients: a second witness, should the database be lost or damaged.

A text file with a name on each line and a checksum at the end, replaced as a whole.  A name is in
it before the database calls its client disabled, and until after it calls the client enabled.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from mandos.errors import MandosError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_TITLE = "# mandos: disabled clients, version 1"
_END = "# end "


class WitnessError(MandosError):
    """The list is there, but it cannot be trusted."""


def write(path: Path, names: Collection[str]) -> None:
    """Replace the list; it is on disk when this returns.  Raises OSError."""
    text = "".join(f"{line}\n" for line in (_TITLE, *sorted(names)))
    _replace(path, text.encode() + _ending(text))


def write_unknown(path: Path) -> None:
    """Say that nobody knows who is disabled: ``read`` will not trust this list."""
    _replace(path, f"{_TITLE}\n# unknown\n".encode())


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: Path) -> frozenset[str]:
    """The names in the list.  Raises FileNotFoundError, OSError or WitnessError."""
    data = path.read_bytes()
    start = data.rfind(_END.encode())
    try:
        text = data[: max(start, 0)].decode()
    except UnicodeDecodeError as error:
        raise WitnessError(f"{path} is damaged") from error
    title, *names = text.split("\n")
    if title != _TITLE or data[start:] != _ending(text):
        raise WitnessError(f"{path} is damaged")
    return frozenset(filter(None, names))


def _ending(text: str) -> bytes:
    return f"{_END}{hashlib.sha256(text.encode()).hexdigest()}\n".encode()
