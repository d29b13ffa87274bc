# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks into an unpacked image: its keys, its programs, and its age and permissions outside."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from mandos.boot.image.local_files import CONFIGURATION, PROGRAMS
from mandos.check.findings import Finding, Link, Verdict, renewal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Keys without which the client cannot work; all others of the folder are compared as well.
_KEYS = ("seckey.txt", "tls-privkey.pem", "tls-pubkey.pem")
#: Programs of ours by generator: one of each row has to be in the image.
_PROGRAMS = (
    ("plugins.d/mandos-client",),
    ("plugin-runner",),
    ("mandos-handover", "password-agent", "plugin-runner"),
)
#: The folders of a rotation: those keys are kept, and servers may know them.
_ROTATION = ("previous", "next")


def outside(image: Path, name: str, sources: tuple[Path, ...]) -> Iterator[Finding]:
    """The image file itself: readable by root alone, and newer than what it was made of."""
    status = image.stat()
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid:
        yield Finding(
            Link.IMAGE, Verdict.WARNING, f"{image} can be read by others than root", name,
            "it has this machine's keys, which get the password from the server",
            f"run chown root: {image} && chmod 600 {image}",
        )  # fmt: skip
    newer = [path for path in sources if path.exists() and _is_newer(path, status.st_mtime)]
    if newer:
        yield Finding(
            Link.IMAGE, Verdict.WARNING,
            f"{image} is older than {', '.join(str(path) for path in newer)}", name,
            "the next boot does not see what was changed there",
            renewal(name),
        )  # fmt: skip


def _is_newer(path: Path, moment: float) -> bool:
    """Whether a file, or a file in this folder, was changed after the moment."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return any(file.lstat().st_mtime > moment for file in files)


def inside(tree: Path, name: str, keys: Path) -> Iterator[Finding]:
    """The programs and the keys in the image."""
    yield from _programs(tree, name)
    yield from _keys(tree, name, keys)


def _programs(tree: Path, name: str) -> Iterator[Finding]:
    folder = tree / PROGRAMS.relative_to("/")
    missing = [row[0] for row in _PROGRAMS if not any((folder / file).is_file() for file in row)]
    if missing:
        yield Finding(
            Link.PROGRAMS, Verdict.BROKEN,
            f"the image lacks {', '.join(str(PROGRAMS / file) for file in missing)}", name,
            "no Mandos server is asked at boot; the password has to be typed",
            f"install mandos-client, then {renewal(name)}",
        )  # fmt: skip
    else:
        yield Finding(Link.PROGRAMS, Verdict.OK, "the image has the Mandos client", name)


def _keys(tree: Path, name: str, keys: Path) -> Iterator[Finding]:
    folder = tree / CONFIGURATION.relative_to("/")
    missing = [key for key in _KEYS if not (folder / key).is_file()]
    other = [
        key for key in _KEYS
        if key not in missing and not _is_same(folder / key, keys / key)
    ]  # fmt: skip
    if missing:
        text = f"the image lacks the keys {', '.join(missing)}"
    elif other and any(_are_these(folder, kept) for kept in _kept(keys)):
        yield Finding(
            Link.KEYS, Verdict.WARNING, f"the image has the other keys of a rotation: {keys}", name,
            "the next boot uses those, and a server may know them still",
            "run mandos-keygen --rotate, which goes on",
        )  # fmt: skip
        return
    elif other:
        text = f"the image has other keys than {keys}: {', '.join(other)} differ"
    else:
        yield Finding(Link.KEYS, Verdict.OK, f"the image has the keys of {keys}", name)
        return
    yield Finding(
        Link.KEYS, Verdict.BROKEN, text, name,
        "the server does not know the keys that the next boot would show",
        renewal(name),
    )  # fmt: skip


def rotation_folder(keys: Path) -> Path:
    """The folder beside the keys that has the other ones until a rotation is over."""
    return keys.with_name(f"{keys.name}-rotation")


def _kept(keys: Path) -> Iterator[Path]:
    folders = (rotation_folder(keys) / name for name in _ROTATION)
    yield from (folder for folder in folders if all((folder / key).is_file() for key in _KEYS))


def _is_same(file: Path, other: Path) -> bool:
    """Whether two files have the same content; one that is not there has none."""
    return other.is_file() and file.read_bytes() == other.read_bytes()


def _are_these(folder: Path, kept: Path) -> bool:
    return all((folder / key).read_bytes() == (kept / key).read_bytes() for key in _KEYS)
