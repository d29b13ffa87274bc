# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an image has to say that this machine's password is signed.

A client with the note ``signed-secret`` uses no unsigned password.  So the note goes into an image
only when the keys in the image are those that have signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos import section_note
from mandos.errors import MandosError
from mandos.key_source import KeyFolder

if TYPE_CHECKING:
    from pathlib import Path


def is_valid(folder: Path) -> bool:
    """Whether the note in this folder names the keys in it."""
    note = section_note.read(folder, section_note.SIGNED)
    if note is None:
        return False
    try:
        return note == KeyFolder(folder).names()
    except MandosError:
        return False  # such keys are a problem that setup_check reports
