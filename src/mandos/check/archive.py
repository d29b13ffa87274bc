# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks an initial RAM disk as the kernel does, into a folder.

An image is a row of cpio archives of the "new ASCII format", each of them compressed or not, with
zero bytes between them: cpio(5), and the kernel's Documentation/driver-api/early-userspace/
buffer-format.rst.  Device nodes are left out, and so are names that lead out of the folder.
"""

from __future__ import annotations

import bz2
import lzma
import os
import stat
import zlib
from typing import TYPE_CHECKING, NamedTuple

from mandos import process
from mandos.errors import MandosError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: An image that unpacks to more than this is refused, in bytes.
LIMIT = 2 << 30
#: Seconds that a program may take to decompress an image.
_TIME = 120.0
_MAGIC = (b"070701", b"070702")
_HEADER = 110
_FIELDS = 13
_TRAILER = "TRAILER!!!"
_NAME_LIMIT = 4096
_CHUNK = 1 << 20
#: Links that are followed for one name: path_resolution(7).
_LINK_LIMIT = 40
#: How often an archive may be compressed; real ones are once.
_DEEPEST = 4


class ArchiveError(MandosError):
    """The image cannot be unpacked: unknown, damaged, or too large."""


class Member(NamedTuple):
    """A file of a cpio archive: its name without leading slash, st_mode, and contents."""

    name: str
    mode: int
    data: memoryview
    #: Members with the same number are links to one file; the contents come with the last one.
    inode: tuple[int, int, int]
    links: int


def unpack(image: Path, folder: Path) -> None:
    """Write the files of an image into a folder; raises ArchiveError.

    Everything belongs to the caller and keeps its permissions; links are made as they are.
    """
    try:
        data = image.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{image} cannot be read: {error.strerror}") from error
    unpack_data(data, image, folder)


def unpack_data(data: bytes, image: Path, folder: Path) -> None:
    """Write the files of these bytes, which come from ``image``, as ``unpack`` does."""
    linked: dict[tuple[int, int, int], Path] = {}
    try:
        for archive in archives(data):
            linked.clear()
            for member in members(archive):
                _write(folder, member, linked)
    except (ArchiveError, OSError) as error:
        raise ArchiveError(f"{image} cannot be unpacked: {error}") from error


def archives(data: bytes) -> Iterator[memoryview]:
    """The cpio archives of an image, decompressed."""
    yield from _archives(memoryview(data), _DEEPEST)


def _archives(rest: memoryview, depth: int) -> Iterator[memoryview]:
    if not depth:
        raise ArchiveError(f"it is compressed more than {_DEEPEST} times")
    while rest := _after_zeros(rest):
        if bytes(rest[: len(_MAGIC[0])]) in _MAGIC:
            end = _end_of(rest)
            yield rest[:end]
            rest = rest[end:]
        else:
            unpacked, rest = _decompress(rest)
            yield from _archives(memoryview(unpacked), depth - 1)


def members(archive: memoryview) -> Iterator[Member]:
    """The files of one archive, the trailer excluded."""
    for member, _end in _walk(archive):
        if member.name == _TRAILER:
            return
        yield member


def _end_of(archive: memoryview) -> int:
    """Where the archive's trailer ends."""
    for member, end in _walk(archive):
        if member.name == _TRAILER:
            return end
    raise ArchiveError("the archive has no end")


def _walk(archive: memoryview) -> Iterator[tuple[Member, int]]:
    place = 0
    while place < len(archive):
        header = bytes(archive[place : place + _HEADER])
        if header[:6] not in _MAGIC:
            raise ArchiveError(f"byte {place} begins no file of a cpio archive")
        try:
            numbers = [int(header[6 + 8 * n : 14 + 8 * n], 16) for n in range(_FIELDS)]
        except ValueError:
            raise ArchiveError(f"the header at byte {place} is damaged") from None
        inode, mode, _uid, _gid, links, _time, size, major, minor = numbers[:9]
        length = numbers[11]
        begin = _aligned(place + _HEADER + length)
        end = begin + size
        if length > _NAME_LIMIT or end > len(archive):
            raise ArchiveError(f"the file at byte {place} is cut off")
        name = os.fsdecode(bytes(archive[place + _HEADER : place + _HEADER + length - 1]))
        yield Member(name, mode, archive[begin:end], (major, minor, inode), links), _aligned(end)
        place = _aligned(end)


def _aligned(place: int) -> int:
    return (place + 3) & ~3


def _after_zeros(data: memoryview) -> memoryview:
    place = 0
    while place < len(data) and not any(data[place : place + _CHUNK]):
        place += _CHUNK
    part = bytes(data[place : place + _CHUNK])
    return data[place + len(part) - len(part.lstrip(b"\0")) :]


def _write(folder: Path, member: Member, linked: dict[tuple[int, int, int], Path]) -> None:
    path = _inside(folder, member.name)
    if path is None:
        return
    kind, permissions = stat.S_IFMT(member.mode), stat.S_IMODE(member.mode)
    if path.is_symlink():  # the kernel replaces it, too, and nothing is written through it
        path.unlink()
    if kind == stat.S_IFDIR:
        path.mkdir(exist_ok=True)
        path.chmod(permissions | stat.S_IRWXU)
    elif kind == stat.S_IFLNK:
        path.unlink(missing_ok=True)
        path.symlink_to(os.fsdecode(bytes(member.data)))
    elif kind == stat.S_IFREG:
        path.unlink(missing_ok=True)
        first = linked.setdefault(member.inode, path) if member.links > 1 else path
        if first != path:
            if first.is_symlink():
                raise ArchiveError(f"{member.name} is the same file as a link")
            path.hardlink_to(first)
        if first == path or member.data:
            path.write_bytes(member.data)
        path.chmod(permissions)


def _inside(folder: Path, name: str) -> Path | None:
    """The place of a member below the folder; None for the folder itself and for outside.

    Links on the way are followed as seen from inside of the image; missing folders are made.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        return None
    parent = folder
    links = 0
    waiting = parts[:-1]
    while waiting:
        part = waiting.pop(0)
        if part == "..":
            parent = parent if parent == folder else parent.parent
            continue
        path = parent / part
        if not path.is_symlink():
            path.mkdir(exist_ok=True)
            parent = path
            continue
        target = path.readlink()
        links += 1
        if links > _LINK_LIMIT:
            return None
        if target.is_absolute():
            parent = folder
        waiting[:0] = [step for step in target.parts if step != "/"]
    return parent / parts[-1]


def _decompress(data: memoryview) -> tuple[bytes, memoryview]:
    """Decompress what begins here; returns it and the rest after it."""
    for magic, decompress in _METHODS:
        if bytes(data[: len(magic)]) == magic:
            return decompress(data)
    raise ArchiveError(f"unknown compression, beginning with {bytes(data[:6]).hex()}")


class _ZlibAsOthers:
    """A gzip decompressor with the interface of bz2 and lzma."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes) -> bytes:
        return self._inner.decompress(data)


def _by(
    make: Callable[[], _ZlibAsOthers | bz2.BZ2Decompressor | lzma.LZMADecompressor],
) -> Callable[[memoryview], tuple[bytes, memoryview]]:
    def decompress(data: memoryview) -> tuple[bytes, memoryview]:
        stream = make()
        pieces: list[bytes] = []
        size = place = 0
        try:
            while not stream.eof and place < len(data):
                pieces.append(stream.decompress(bytes(data[place : place + _CHUNK])))
                place += _CHUNK
                size += len(pieces[-1])
                _refuse_large(size)
        except (zlib.error, OSError, lzma.LZMAError) as error:
            raise ArchiveError(f"damaged compression: {error}") from error
        if not stream.eof:
            raise ArchiveError("the compressed archive is cut off")
        left = len(stream.unused_data)
        return b"".join(pieces), data[min(place, len(data)) - left :]

    return decompress


def _by_program(*command: str) -> Callable[[memoryview], tuple[bytes, memoryview]]:
    """By a program that reads standard input; it takes all that follows as its own."""

    def decompress(data: memoryview) -> tuple[bytes, memoryview]:
        done = process.run(command, input=bytes(data), timeout=_TIME)
        if done.status:
            said = done.stderr.decode(errors="replace").strip() or f"status {done.status}"
            raise ArchiveError(said.splitlines()[-1])
        _refuse_large(len(done.stdout))
        return done.stdout, data[len(data) :]

    return decompress


def _refuse_large(size: int) -> None:
    if size > LIMIT:
        raise ArchiveError(f"it unpacks to more than {LIMIT >> 20} MiB")


#: How compressed archives begin: the kernel's lib/decompress.c names the same methods.
_METHODS = (
    (b"\x1f\x8b", _by(_ZlibAsOthers)),
    (b"\xfd7zXZ\0", _by(lzma.LZMADecompressor)),
    (b"]\0\0", _by(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE))),
    (b"BZh", _by(bz2.BZ2Decompressor)),
    (b"\x28\xb5\x2f\xfd", _by_program("zstd", "-dcq")),
    (b"\x02\x21\x4c\x18", _by_program("lz4", "-dcq")),
    (b"\x89LZO", _by_program("lzop", "-dcq")),
)
