# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks into an unpacked image: its keys, its programs, and its age and permissions outside."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from mandos.boot.image.local_files import CONFIGURATION, PROGRAMS
from mandos.check.findings import Finding, Link, Verdict, renewal
from mandos.errors import MandosError
from mandos.key_source import KeyFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mandos.key_source import KeySource

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
    """The programs and the keys in the image; ``keys`` is the folder of the machine's own."""
    yield from _programs(tree, name)
    yield from _keys(KeyFolder(tree / CONFIGURATION.relative_to("/")), name, keys)


def _programs(tree: Path, name: str) -> Iterator[Finding]:
    folder = tree / PROGRAMS.relative_to("/")
    missing = [row[0] for row in _PROGRAMS if not any((folder / file).is_file() for file in row)]
    if missing:
        yield Finding(
            Link.PROGRAMS, Verdict.BROKEN,
            f"the image lacks {', '.join(str(PROGRAMS / file) for file in missing)}", name,
            "no Mandos server is asked at boot; the password has to be typed",
            f"{renewal(name)}; if this stays, install Mandos again: docs/installing.md",
        )  # fmt: skip
    else:
        yield Finding(Link.PROGRAMS, Verdict.OK, "the image has the Mandos client", name)


def _keys(given: KeySource, name: str, keys: Path) -> Iterator[Finding]:
    own = KeyFolder(keys)
    missing = given.missing()
    try:
        other = [] if missing or own.missing() else given.differing(own)
    except MandosError as error:
        yield Finding(
            Link.KEYS, Verdict.BROKEN, str(error), name, "the client ends at once", renewal(name)
        )
        return
    if missing:
        text = f"the image lacks the keys {', '.join(missing)}"
    elif own.missing():
        return  # a finding of its own
    elif other and any(not given.differing(kept) for kept in _kept(keys)):
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


def _kept(keys: Path) -> Iterator[KeySource]:
    folders = (KeyFolder(rotation_folder(keys) / name) for name in _ROTATION)
    yield from (folder for folder in folders if not folder.missing())
