# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of every kind, packed by the real cpio and the real compressors, are unpacked."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from mandos.check.archive import ArchiveError, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="not installed: cpio")


def _program(*command: str) -> Callable[[bytes], bytes]:
    def compress(data: bytes) -> bytes:
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    return compress


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": _program("zstd", "-19", "-q"),
    "lz4": _program("lz4", "-l", "-q"),
    "lzop": _program("lzop"),
}


def _tree(folder: Path) -> Path:
    """A tree with all kinds of members that images have."""
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "bin").symlink_to("usr/bin")
    (folder / "usr/bin/busybox").write_bytes(os.urandom(5000))
    (folder / "usr/bin/busybox").chmod(0o755)
    for applet in ("ls", "sh"):
        (folder / "usr/bin" / applet).hardlink_to(folder / "usr/bin/busybox")
    (folder / "conf").mkdir(mode=0o700)
    (folder / "conf/key").write_text("secret", encoding="ascii")
    (folder / "conf/key").chmod(0o600)
    (folder / "empty").touch()
    return folder


def _pack(folder: Path, *options: str) -> bytes:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    done = subprocess.run(
        ["cpio", "--create", "--format=newc", "--quiet", *options],
        input="\n".join([".", *names, ""]).encode(), cwd=folder, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout


def _facts(folder: Path) -> dict[str, object]:
    """Everything that matters of a tree."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if path.is_symlink():
            found[str(path.relative_to(folder))] = str(path.readlink())
        else:
            data = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(folder))] = (mode, data)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree that is to be packed."""
    (tmp_path / "source").mkdir()
    return _tree(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@needs_cpio
@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("early", [False, True], ids=["alone", "after-microcode"])
def test_image_of_every_compression(
    source: Path, target: Path, tmp_path: Path, name: str, *, early: bool
) -> None:
    """As the kernel does it: an early archive in front, zero bytes between, any compression."""
    if name in ("zstd", "lz4", "lzop") and shutil.which(name) is None:
        pytest.skip(f"not installed: {name}")
    first = b""
    if early:
        (tmp_path / "early").mkdir()
        (tmp_path / "early/microcode.bin").write_bytes(b"m" * 100)
        first = _pack(tmp_path / "early").ljust(4096, b"\0")
    image = tmp_path / "initrd"
    image.write_bytes(first + COMPRESSORS[name](_pack(source)))
    unpack(image, target)
    expected = _facts(source)
    if early:
        expected["microcode.bin"] = _facts(tmp_path / "early")["microcode.bin"]
    assert _facts(target) == expected


@needs_cpio
def test_later_archives_replace_files_of_earlier_ones(
    source: Path, target: Path, tmp_path: Path
) -> None:
    """As the kernel unpacks one over the other; a link to a folder is followed inside."""
    (tmp_path / "later/bin").mkdir(parents=True)
    (tmp_path / "later/bin/sh").write_bytes(b"another")
    image = tmp_path / "initrd"
    only_sh = subprocess.run(
        ["cpio", "--create", "--format=newc", "--quiet"],
        input=b"bin/sh\n", cwd=tmp_path / "later", capture_output=True, check=True,
    ).stdout  # fmt: skip
    image.write_bytes(gzip.compress(_pack(source)) + b"\0" * 512 + gzip.compress(only_sh))
    unpack(image, target)
    assert (target / "usr/bin/sh").read_bytes() == b"another"
    assert (target / "usr/bin/busybox").read_bytes() == (source / "usr/bin/busybox").read_bytes()


@needs_cpio
def test_names_that_lead_outside_are_left_out(source: Path, target: Path, tmp_path: Path) -> None:
    """Neither dots nor a link lead out of the folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (source / "way").symlink_to(outside)
    (source / "up").symlink_to("../../../../../../../../" + str(outside))
    packed = _pack(source)
    evil = _renamed(b"conf/key", b"way/evil", packed) + _renamed(b"conf/key", b"../evilx", packed)
    (tmp_path / "initrd").write_bytes(packed + evil + _renamed(b"conf/key", b"up/evilx", packed))
    unpack(tmp_path / "initrd", target)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "evilx").exists()


def _renamed(old: bytes, new: bytes, archive: bytes) -> bytes:
    assert len(old) == len(new)
    assert old + b"\0" in archive
    return archive.replace(old + b"\0", new + b"\0")


@needs_cpio
@pytest.mark.parametrize("name", ["none", "gzip", "xz", "bzip2"])
def test_image_that_is_cut_off(source: Path, target: Path, tmp_path: Path, name: str) -> None:
    """A full /boot leaves the first part of an image."""
    whole = COMPRESSORS[name](_pack(source))
    (tmp_path / "initrd").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(
        ArchiveError, match=r"cannot be unpacked: .*(cut off|no end|begins no file)"
    ):
        unpack(tmp_path / "initrd", target)


@pytest.mark.parametrize(
    "data", [b"no image at all", b"\x1f\x8bno gzip", b"070701" + b"z" * 200, b"070701"]
)
def test_garbage_is_refused(target: Path, tmp_path: Path, data: bytes) -> None:
    """With a message, and never with another exception."""
    (tmp_path / "initrd").write_bytes(data)
    with pytest.raises(ArchiveError, match="cannot be unpacked"):
        unpack(tmp_path / "initrd", target)


def test_missing_image(target: Path, tmp_path: Path) -> None:
    """The reason is named."""
    with pytest.raises(ArchiveError, match="cannot be read: No such file"):
        unpack(tmp_path / "initrd", target)


def _member(name: str, mode: int, data: bytes = b"", inode: int = 1, links: int = 1) -> bytes:
    """A member of a cpio archive of the "new ASCII format"."""
    encoded = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


END = _member("TRAILER!!!", 0)


def test_folder_in_the_place_of_a_link(target: Path, tmp_path: Path) -> None:
    """The link is replaced; the folder outside that it names keeps its permissions."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    image = tmp_path / "image"
    link = _member("x", stat.S_IFLNK | 0o777, str(outside).encode())
    image.write_bytes(link + _member("x", stat.S_IFDIR | 0o755) + END)
    unpack(image, target)
    assert not (target / "x").is_symlink()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700


def test_hard_link_to_a_link(target: Path, tmp_path: Path) -> None:
    """Nothing is written through a link that took the place of a file."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"as it was")
    image = tmp_path / "image"
    image.write_bytes(
        _member("a", stat.S_IFREG | 0o644, b"", 7, 2)
        + _member("a", stat.S_IFLNK | 0o777, str(outside).encode(), 8)
        + _member("b", stat.S_IFREG | 0o644, b"changed", 7, 2)
        + END
    )
    with pytest.raises(ArchiveError, match="the same file as a link"):
        unpack(image, target)
    assert outside.read_bytes() == b"as it was"


def test_archive_that_is_compressed_many_times(target: Path, tmp_path: Path) -> None:
    """It ends with an error, however deep it is."""
    data = END
    for _time in range(50):
        data = gzip.compress(data)
    image = tmp_path / "image"
    image.write_bytes(data)
    with pytest.raises(ArchiveError, match="compressed more than"):
        unpack(image, target)
