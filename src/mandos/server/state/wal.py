# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges a SQLite database with its write-ahead log in memory, where nothing can be written.

SQLite itself needs to write beside a database before it reads a log.  The format of the log:
https://www.sqlite.org/fileformat2.html#walformat.  Pure: bytes in, bytes out.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
#: The magic number's last bit gives the byte order of the checksums.
_LITTLE, _BIG = 0x377F0682, 0x377F0683
_MASK = 0xFFFFFFFF
#: Bytes 18 and 19 of a database say whether it has a write-ahead log (2) or not (1).
_VERSIONS = slice(18, 20)


class _Frame(NamedTuple):
    """A page that was written, and the database's pages after it when it ends a transaction."""

    page: int
    pages: int
    data: bytes


def merged(database: bytes, log: bytes) -> bytes:
    """The database after all whole transactions of its log, as one that has no log.

    As in SQLite, a transaction at the end of the log that is not whole does not count.
    """
    image = bytearray(database)
    size = _HEADER.unpack_from(log)[2] if len(log) >= _HEADER.size else 0
    waiting: list[_Frame] = []
    for frame in _frames(log):
        waiting.append(frame)
        if frame.pages:
            _apply(image, waiting, size)
            del image[frame.pages * size :]
            waiting.clear()
    if len(image) >= _VERSIONS.stop:
        image[_VERSIONS] = b"\1\1"
    return bytes(image)


def _apply(image: bytearray, frames: list[_Frame], size: int) -> None:
    for frame in frames:
        begin = (frame.page - 1) * size
        image.extend(bytes(max(0, begin + size - len(image))))
        image[begin : begin + size] = frame.data


def _frames(log: bytes) -> Iterator[_Frame]:
    """The frames of a log up to the first that is not valid."""
    if len(log) < _HEADER.size:
        return
    magic, _version, size, _sequence, *salts, first, second = _HEADER.unpack_from(log)
    order = {_LITTLE: "<", _BIG: ">"}.get(magic)
    if order is None or not size:
        return
    sums = _checksum(order, log[:24], (0, 0))
    if sums != (first, second):
        return
    for start in range(_HEADER.size, len(log) - _FRAME.size - size + 1, _FRAME.size + size):
        page, pages, *own_salts, first, second = _FRAME.unpack_from(log, start)
        data = log[start + _FRAME.size : start + _FRAME.size + size]
        sums = _checksum(order, data, _checksum(order, log[start : start + 8], sums))
        if own_salts != salts or sums != (first, second) or not page:
            return
        yield _Frame(page, pages, data)


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    for one, other in struct.iter_unpack(f"{order}2I", data):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
