# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two notes beside a client's keys, which ``mandos-keygen --password`` writes; both name the keys.

``last-section`` says for which keys a section was printed last.  ``mandos-image`` compares it with
the keys that go into an image: a server that has the section of other keys refuses this machine at
boot.  This note goes into no image.

``signed-secret`` says that the password in that section is signed by these keys.  ``mandos-image``
puts it into an image that has the same keys, and the client then uses no unsigned password.

The notes have no secret in them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mandos import keyfiles

if TYPE_CHECKING:
    from pathlib import Path

#: The names of the notes in the folder of the keys.
NAME = "last-section"
SIGNED = keyfiles.SIGNED_SECRET
_COMMENTS = {
    NAME: "mandos-keygen --password printed its last section for these keys.",
    SIGNED: "The password in that section is signed; the client uses no unsigned one without\n"
    "# --no-signed-only.  For a change, make the image anew: mandos-client(8mandos).",
}
_MODE = 0o600


class Note(NamedTuple):
    """The key ID of the TLS key, and the fingerprint of the OpenPGP key."""

    key_id: str
    fingerprint: str


def write(folder: Path, note: Note, name: str = NAME) -> None:
    """Write the note of this name about these keys.  Raises OSError."""
    new = folder / f".{name}.new"
    new.unlink(missing_ok=True)
    new.touch(mode=_MODE, exist_ok=False)
    new.write_text(
        f"# {_COMMENTS[name]}\nkey_id = {note.key_id}\nfingerprint = {note.fingerprint}\n",
        encoding="ascii",
    )
    descriptor = os.open(new, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # a loss of power must not leave an empty note
    finally:
        os.close(descriptor)
    new.replace(folder / name)


def read(folder: Path, name: str = NAME) -> Note | None:
    """The keys that the note of this name is about; None when there is no readable note."""
    found = keyfiles.read_note(str(folder / name))
    if not (found.get("key_id") and found.get("fingerprint")):
        return None
    return Note(found["key_id"].lower(), found["fingerprint"].upper())
