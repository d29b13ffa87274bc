# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of disabled clients: a second copy, in case the database is lost or damaged.

A text file with a name on each line and a checksum at the end, replaced as a whole.  A name is in
it before the database calls its client disabled, and until after it calls the client enabled.

Beside it is a file of the same content that is made in advance and written in place: when the disk
is full there is still room to say that a client is disabled.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

from mandos.errors import MandosError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_TITLE = "# mandos: disabled clients, version 1"
_END = "# end "
#: Bytes that are kept free for the list: room for ten thousand names.
_RESERVED = 256 << 10


class WitnessError(MandosError):
    """The list is there, but it cannot be trusted."""


def write(path: Path, names: Collection[str]) -> None:
    """Replace the list; it is on disk when this returns.  Raises OSError."""
    _replace(path, _written(names))


def write_unknown(path: Path) -> None:
    """Mark the disabled clients as unknown: ``read`` will not trust this list."""
    _replace(path, f"{_TITLE}\n# unknown\n".encode())


def _written(names: Collection[str]) -> bytes:
    text = "".join(f"{line}\n" for line in (_TITLE, *sorted(names)))
    return text.encode() + _ending(text)


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


def reserve(path: Path) -> None:
    """Reserve disk space for a list, unless it is reserved already.  Raises OSError."""
    if not path.exists():
        _replace(path, bytes(_RESERVED))


def write_reserved(path: Path, names: Collection[str]) -> None:
    """Write the list into its reserved space, which needs no further disk space.

    It is on disk when this returns.  Raises OSError, also when there is not enough room.
    """
    data = _written(names)
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if len(data) > size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        file.write(data.ljust(size, b"\0"))
        file.flush()
        os.fsync(file.fileno())


def clear_reserved(path: Path) -> None:
    """Empty the room again, once the list itself is written.  Raises OSError."""
    with path.open("r+b") as file:
        file.write(bytes(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())


def read_reserved(path: Path) -> frozenset[str]:
    """The names in the reserve; none when it is empty or missing.

    Raises OSError, or WitnessError after a crash in the middle of a write.
    """
    try:
        data = path.read_bytes().rstrip(b"\0")
    except FileNotFoundError:
        return frozenset()
    return _parsed(path, data) if data else frozenset()


def read(path: Path) -> frozenset[str]:
    """The names in the list.  Raises FileNotFoundError, OSError or WitnessError."""
    return _parsed(path, path.read_bytes())


def _parsed(path: Path, data: bytes) -> frozenset[str]:
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
