# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an image has to say that this machine's password is signed.

A client with the note ``signed-secret`` uses no unsigned password.  So the note goes into an image
only when the keys in the image are those that have signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos import section_note
from mandos.client import settings as client_settings
from mandos.errors import MandosError
from mandos.keyfiles import read_key_file
from mandos.openpgp import sealing
from mandos.section_note import Note
from mandos.tls import keys as tls_keys

if TYPE_CHECKING:
    from pathlib import Path


def is_valid(folder: Path) -> bool:
    """Whether the note in this folder names the keys in it."""
    note = section_note.read(folder, section_note.SIGNED)
    if note is None:
        return False
    try:
        key_id = tls_keys.key_id_of_private_pem(read_key_file(str(folder / "tls-privkey.pem")))
        fingerprint = sealing.fingerprint(read_key_file(str(folder / "seckey.txt")))
    except MandosError:
        return False  # such keys are a problem that setup_check reports
    return note == Note(key_id, fingerprint)


def remark(folder: Path, client_options: list[str]) -> str | None:
    """The consequence of the note for this image, unless options of the client decide it."""
    given, _errors = client_settings.COMMAND_LINE.parse_lenient(client_options)
    if "signed-only" in given or "no-signed-only" in given or not is_valid(folder):
        return None
    return (
        f"{folder / section_note.SIGNED} says that this machine's password is signed: at boot no"
        " unsigned one is used; if the server has one that was sealed without mandos-keygen, write"
        " --options-for=mandos-client:--no-signed-only into plugin-runner.conf"
    )
