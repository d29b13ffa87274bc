# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note that a rotation leaves on the disk after each step, so that the next run goes on."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from mandos import keyfiles
from mandos.errors import AdministratorError
from mandos.rotation import folders
from mandos.rotation.slots import Change, Slot
from mandos.section_note import Note

if TYPE_CHECKING:
    from pathlib import Path

_COMMENT = "# mandos-keygen --rotate reads and writes this file."


class Phase(Enum):
    """How far a rotation has come; the value stands in the file."""

    #: The new keys are made.  The images and the folder of the keys have the old ones.
    OFFERED = "offered"
    #: A server has proved that it serves the new keys.  They go into the folder and the images.
    INSTALLING = "installing"
    #: The images have the new keys and passed the check.  The old ones are kept.
    INSTALLED = "installed"
    #: The old keys are removed; there is no way back.
    ENDING = "ending"
    #: The old keys go into the folder and the images again.
    RETURNING = "returning"


class State(NamedTuple):
    """A rotation: its phase, the client's name, both pairs of keys.

    ``boot_id`` is the boot in which the images got the new keys, empty before.  ``changes`` are
    those of the disks, if there is a new password, too.
    """

    phase: Phase
    name: str
    old: Note
    new: Note
    boot_id: str = ""
    changes: tuple[Change, ...] = ()


def write(path: Path, state: State) -> None:
    """Replace the file.  Raises OSError."""
    values = {
        "phase": state.phase.value,
        "name": state.name,
        "old_key_id": state.old.key_id,
        "old_fingerprint": state.old.fingerprint,
        "new_key_id": state.new.key_id,
        "new_fingerprint": state.new.fingerprint,
        "boot_id": state.boot_id,
        "slots": " ".join(map(_word, state.changes)),
    }
    lines = [_COMMENT, *(f"{name} = {value}" for name, value in values.items())]
    folders.write(path, ("\n".join(lines) + "\n").encode())


def read(path: Path) -> State | None:
    """The rotation that has begun; None when there is none.  Raises AdministratorError."""
    if not path.exists():
        return None
    found = keyfiles.read_note(str(path))
    try:
        old, new = (
            Note(found[f"{age}_key_id"], found[f"{age}_fingerprint"]) for age in ("old", "new")
        )
        changes = tuple(map(_change, found["slots"].split()))
        return State(Phase(found["phase"]), found["name"], old, new, found["boot_id"], changes)
    except (KeyError, ValueError) as error:
        raise AdministratorError(
            f"{path} is damaged: {error}",
            "the folder beside it has the other keys; move it away to begin anew",
        ) from error


def _word(change: Change) -> str:
    """A change as the file has it: UUID:SLOT=SALT,SLOT=SALT:SLOT=SALT, the new slot at last."""
    old = ",".join(f"{slot.number}={slot.salt}" for slot in change.old)
    return f"{change.uuid}:{old}:{change.new.number}={change.new.salt}"


def _change(word: str) -> Change:
    uuid, old, new = word.split(":")
    return Change(uuid, tuple(map(_slot, old.split(","))), _slot(new))


def _slot(word: str) -> Slot:
    number, salt = word.split("=")
    return Slot(int(number), salt)
