# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A note beside a client's keys: to which keys the section belongs that was printed last.

``mandos-keygen --password`` writes it, and ``mandos-image`` compares it with the keys that go into
an image: a server that has the section of other keys refuses this machine at boot.  The note has
no secret in it.  It is no key file and goes into no image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

#: The name of the note in the folder of the keys.
NAME = "last-section"
_MODE = 0o600
_LIMIT = 4096


class Note(NamedTuple):
    """The key ID of the TLS key, and the fingerprint of the OpenPGP key."""

    key_id: str
    fingerprint: str


def write(folder: Path, note: Note) -> None:
    """Remember that a section of these keys was printed.  Raises OSError."""
    new = folder / f".{NAME}.new"
    new.unlink(missing_ok=True)
    new.touch(mode=_MODE, exist_ok=False)
    new.write_text(
        "# mandos-keygen --password printed its last section for these keys.\n"
        f"key_id = {note.key_id}\nfingerprint = {note.fingerprint}\n",
        encoding="ascii",
    )
    new.replace(folder / NAME)


def read(folder: Path) -> Note | None:
    """The keys of the section that was printed last; None when there is no readable note."""
    try:
        with (folder / NAME).open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_LIMIT).splitlines()
    except OSError:
        return None
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    found = {name.strip(): value.strip() for name, _equals, value in pairs}
    if not (found.get("key_id") and found.get("fingerprint")):
        return None
    return Note(found["key_id"].lower(), found["fingerprint"].upper())
