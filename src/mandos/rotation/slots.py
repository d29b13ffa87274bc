# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key slots of LUKS devices: finds, adds and removes the slots of a password.

Passwords go to cryptsetup(8) by its standard input and by files in memory alone.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mandos import process
from mandos.errors import AdministratorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_TIME = 300.0  # seconds; the slowest machines need minutes to derive keys
_NO_PASSWORD = 2  # cryptsetup(8), RETURN CODES
#: Both formats, as luksDump prints them; a LUKS1 header has eight slots, one of LUKS2 has 32.
_LUKS1_SLOT = re.compile(r"^Key Slot (\d+): (ENABLED|DISABLED)\n((?:\t.*\n)*)", re.MULTILINE)
_LUKS2_SLOTS = re.compile(r"^Keyslots:\n(.*?)^\S", re.MULTILINE | re.DOTALL)
_LUKS2_SLOT = re.compile(r"^  (\d+): (.*)\n((?:\t.*\n)*)", re.MULTILINE)
#: Other kinds are "luks2 (unbound)" and "reencrypt": these open no data.
_BOUND = "luks2"
_SALT = re.compile(r"^\tSalt:((?:\s+[0-9a-f]{2}\b)+)", re.MULTILINE)
_LUKS2_NUMBER = 32
#: The costs of a slot in luksDump, and the options that give them to another one.
_COSTS = {
    "PBKDF": "--pbkdf",
    "Iterations": "--pbkdf-force-iterations",
    "Time cost": "--pbkdf-force-iterations",
    "Memory": "--pbkdf-memory",
    "Threads": "--pbkdf-parallel",
}


class Slot(NamedTuple):
    """A slot's number, and the salt of its password in hexadecimal; empty if it is not known.

    Each change of the password makes another salt, so a slot with this one has not been changed.
    """

    number: int
    salt: str = ""


class Change(NamedTuple):
    """The change of one disk: its LUKS UUID, the slots of the old password, and that of the new."""

    uuid: str
    old: tuple[Slot, ...]
    new: Slot


class _Used(NamedTuple):
    """A slot that is in use: the options for one like it, its salt, and whether it opens data."""

    options: list[str]
    salt: str
    is_bound: bool = True


class _Header(NamedTuple):
    """The slots of a device that are in use, and the numbers of the others."""

    used: dict[int, _Used]
    free: list[int]

    def has(self, slot: Slot) -> bool:
        """Whether a slot has the password that it had when it was noted."""
        used = self.used.get(slot.number)
        return used is not None and used.salt == slot.salt != ""


def plan(devices: Sequence[Path], old: bytes) -> tuple[Change, ...]:
    """Find all slots of the old password, and choose the last free one.  Raises MandosError.

    Other programs take the first one, so a password that an administrator adds meanwhile gets
    another slot than ours.
    """
    found = []
    for device in devices:
        header = _header(device)
        free = _last_free(device, header)
        slots = tuple(
            Slot(number, used.salt)
            for number, used in header.used.items()
            if used.is_bound and opens(device, number, old)
        )
        if not slots or not all(slot.salt for slot in slots):
            raise AdministratorError(
                f"cryptsetup does not show the slot of {device} that has the old password",
                f"look at the output of cryptsetup luksDump {device}",
            )
        found.append(Change(_uuid(device), slots, Slot(free)))
    return tuple(found)


def add(
    devices: Sequence[Path],
    changes: Sequence[Change],
    old: bytes,
    new: bytes,
    note: Callable[[tuple[Change, ...]], object],
) -> tuple[Change, ...]:
    """Put the new password into the planned slots; harmless when it is there.

    Returns the changes with the salts of the new slots; ``note`` gets them after each disk, and
    before another slot is taken.  If a slot has a password that a run noted, that goes.  Any other
    one stays, and another slot is taken.  Raises MandosError.
    """
    made = list(changes)
    for place, (device, change) in enumerate(_pairs(devices, changes)):
        slot = change.new
        if not opens(device, slot.number, new):
            slot = _emptied(device, slot, old)
            made[place] = change._replace(new=slot)
            note(tuple(made))
            _fill(device, slot.number, change.old[0].number, old, new)
        salt = _header(device).used[slot.number].salt
        made[place] = change._replace(new=Slot(slot.number, salt))
        note(tuple(made))
    return tuple(made)


def are_new(devices: Sequence[Path], changes: Sequence[Change], password: bytes) -> bool:
    """Whether this password opens the new slot of each device.  Raises MandosError."""
    return all(
        opens(device, change.new.number, password) for device, change in _pairs(devices, changes)
    )


def remove_old(devices: Sequence[Path], changes: Sequence[Change], new: bytes) -> list[str]:
    """Remove the old slots; harmless when they are gone.  Raises MandosError.

    Returns a line for each slot that was changed meanwhile, and stays.  cryptsetup refuses unless
    the new password opens another slot.
    """
    return [
        line
        for device, change in _pairs(devices, changes)
        for slot in change.old
        for line in _remove(device, slot, new)
    ]


def remove_new(devices: Sequence[Path], changes: Sequence[Change], old: bytes) -> list[str]:
    """Remove the new slots, as remove_old does; harmless when they are not there."""
    return [
        line
        for device, change in _pairs(devices, changes)
        for line in _remove(device, change.new, old)
    ]


def opens(device: Path, slot: int, password: bytes) -> bool:
    """Whether a password opens this slot; false if the slot is empty.  Raises MachineError."""
    if slot not in _header(device).used:
        return False
    command = ("open", "--test-passphrase", f"--key-slot={slot}", str(device))
    done = _run(*command, password=password)
    if done.status == _NO_PASSWORD:
        return False
    done.require_success()
    return True


def _pairs(devices: Sequence[Path], changes: Sequence[Change]) -> Iterator[tuple[Path, Change]]:
    """Each change with its device, which may have another name after a boot."""
    by_uuid = {_uuid(device): device for device in devices}
    for change in changes:
        if change.uuid not in by_uuid:
            raise AdministratorError(
                f"no disk that is opened at boot has the LUKS UUID {change.uuid}",
                "it had when the rotation began",
            )
        yield by_uuid[change.uuid], change


def _last_free(device: Path, header: _Header) -> int:
    if not header.free:
        raise AdministratorError(
            f"{device} has no free key slot for a new password",
            f"remove one that is not needed: cryptsetup luksKillSlot {device} NUMBER",
        )
    return header.free[-1]


def _emptied(device: Path, slot: Slot, password: bytes) -> Slot:
    """The planned slot, emptied if a run has filled it; another one if anything else has."""
    header = _header(device)
    if header.has(slot):
        _kill(device, slot.number, password)
    elif slot.number in header.used:
        return Slot(_last_free(device, header))
    return Slot(slot.number)


def _fill(device: Path, slot: int, like: int, old: bytes, new: bytes) -> None:
    """Put a password into a free slot, with the costs of another one."""
    used = _header(device).used.get(like)
    options = used.options if used else []
    with _in_memory(new) as file:
        _cryptsetup("luksAddKey", *options, f"--key-slot={slot}", str(device), file, password=old)


def _remove(device: Path, slot: Slot, password: bytes) -> Iterator[str]:
    """Empty a slot; yields a line if it stays, since its password is not the one of the note."""
    header = _header(device)
    if header.has(slot):
        _kill(device, slot.number, password)
    elif slot.number in header.used:
        yield (
            f"slot {slot.number} of {device} has got another password during the rotation, and"
            f" stays: if that is not yours, run cryptsetup luksKillSlot {device} {slot.number}"
        )


def _header(device: Path) -> _Header:
    text = _cryptsetup("luksDump", str(device)).decode(errors="replace")
    if rows := _LUKS1_SLOT.findall(text):
        used = {int(number): _used(lines) for number, word, lines in rows if word == "ENABLED"}
        return _Header(used, [int(number) for number, word, _ in rows if word == "DISABLED"])
    part = _LUKS2_SLOTS.search(text)
    slots = _LUKS2_SLOT.findall(part[1]) if part else []
    used = {
        int(number): _used(lines)._replace(is_bound=kind == _BOUND) for number, kind, lines in slots
    }
    return _Header(used, [number for number in range(_LUKS2_NUMBER) if number not in used])


def _used(lines: str) -> _Used:
    """A slot with these lines of luksDump."""
    pairs = (line.strip().partition(":") for line in lines.splitlines())
    options = [f"{_COSTS[name]}={value.strip()}" for name, _, value in pairs if name in _COSTS]
    salt = _SALT.search(lines)
    return _Used(options, "".join(salt[1].split()) if salt else "")


def _uuid(device: Path) -> str:
    return _cryptsetup("luksUUID", str(device)).decode().strip()


def _kill(device: Path, slot: int, password: bytes) -> None:
    _cryptsetup("luksKillSlot", str(device), str(slot), password=password)


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """The name of a file in memory, which only root and this user can read: memfd_create(2)."""
    descriptor = os.memfd_create("password")
    try:
        os.write(descriptor, content)
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _cryptsetup(*words: str, password: bytes | None = None) -> bytes:
    return _run(*words, password=password).require_success()


def _run(*words: str, password: bytes | None = None) -> process.Completed:
    by_input = [] if password is None else ["--key-file=-"]
    return process.run(
        ["cryptsetup", "--batch-mode", *by_input, *words],
        input=password or b"", env={**os.environ, "LC_ALL": "C"}, timeout=_TIME,
    )  # fmt: skip
