# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key slots of LUKS devices: finds, adds and removes the slot of a password.

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
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_TIME = 300.0  # seconds; the slowest machines need minutes to derive keys
_NO_PASSWORD = 2  # cryptsetup(8), RETURN CODES
_UNLOCKED = re.compile(r"Key slot (\d+) unlocked")
#: Both formats, as luksDump prints them; a LUKS1 header has eight slots, one of LUKS2 has 32.
_LUKS1_SLOT = re.compile(r"^Key Slot (\d+): (ENABLED|DISABLED)\n((?:\t.*\n)*)", re.MULTILINE)
_LUKS2_SLOTS = re.compile(r"^Keyslots:\n(.*?)^\S", re.MULTILINE | re.DOTALL)
_LUKS2_SLOT = re.compile(r"^  (\d+): .*\n((?:\t.*\n)*)", re.MULTILINE)
_LUKS2_NUMBER = 32
#: The costs of a slot in luksDump, and the options that give them to another one.
_COSTS = {
    "PBKDF": "--pbkdf",
    "Iterations": "--pbkdf-force-iterations",
    "Time cost": "--pbkdf-force-iterations",
    "Memory": "--pbkdf-memory",
    "Threads": "--pbkdf-parallel",
}


class Change(NamedTuple):
    """The change of one disk: its LUKS UUID, the slot of the old password, and that of the new."""

    uuid: str
    old: int
    new: int


class _Header(NamedTuple):
    """The slots of a device that are in use, with the options for one like it, and the others."""

    used: dict[int, list[str]]
    free: list[int]


def plan(devices: Sequence[Path], old: bytes) -> tuple[Change, ...]:
    """Choose the last free slot on each device.  Raises MandosError.

    Other programs take the first one, so a password that an administrator adds meanwhile gets
    another slot than ours.
    """
    found = []
    for device in devices:
        free = _header(device).free
        if not free:
            raise AdministratorError(
                f"{device} has no free key slot for a new password",
                f"remove one that is not needed: cryptsetup luksKillSlot {device} NUMBER",
            )
        found.append(Change(_uuid(device), _slot_of(device, old), free[-1]))
    return tuple(found)


def add(devices: Sequence[Path], changes: Sequence[Change], old: bytes, new: bytes) -> None:
    """Put the new password into the planned slots; harmless when it is there.

    A slot that has another password is one of ours, of a run that was killed: it was free when it
    was planned.  Raises MandosError.
    """
    for device, change in _pairs(devices, changes):
        if opens(device, change.new, new):
            continue
        header = _header(device)
        if change.new in header.used:
            _kill(device, change.new, old)
        with _in_memory(new) as file:
            like_the_old = header.used.get(change.old, [])
            _cryptsetup(
                "luksAddKey", *like_the_old, f"--key-slot={change.new}", str(device), file,
                password=old,
            )  # fmt: skip


def are_new(devices: Sequence[Path], changes: Sequence[Change], password: bytes) -> bool:
    """Whether this password opens the new slot of each device.  Raises MandosError."""
    return all(opens(device, change.new, password) for device, change in _pairs(devices, changes))


def remove_old(devices: Sequence[Path], changes: Sequence[Change], new: bytes) -> None:
    """Remove the old slots; harmless when they are gone.  Raises MandosError.

    cryptsetup refuses unless the new password opens another slot.
    """
    for device, change in _pairs(devices, changes):
        if change.old in _header(device).used:
            _kill(device, change.old, new)


def remove_new(devices: Sequence[Path], changes: Sequence[Change], old: bytes) -> None:
    """Remove the new slots; harmless when they are not there.  Raises MandosError."""
    for device, change in _pairs(devices, changes):
        if change.new in _header(device).used:
            _kill(device, change.new, old)


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


def _slot_of(device: Path, password: bytes) -> int:
    done = _run("open", "--test-passphrase", "--verbose", str(device), password=password)
    found = _UNLOCKED.search(done.require_success().decode())
    if found is None:
        raise AdministratorError(f"cryptsetup does not say which slot of {device} it opened")
    return int(found[1])


def _header(device: Path) -> _Header:
    text = _cryptsetup("luksDump", str(device)).decode(errors="replace")
    if rows := _LUKS1_SLOT.findall(text):
        used = {int(number): _like(lines) for number, word, lines in rows if word == "ENABLED"}
        return _Header(used, [int(number) for number, word, _ in rows if word == "DISABLED"])
    part = _LUKS2_SLOTS.search(text)
    slots = _LUKS2_SLOT.findall(part[1]) if part else []
    used = {int(number): _like(lines) for number, lines in slots}
    return _Header(used, [number for number in range(_LUKS2_NUMBER) if number not in used])


def _like(lines: str) -> list[str]:
    """The options of cryptsetup that make a slot with the costs of this one."""
    pairs = (line.strip().partition(":") for line in lines.splitlines())
    return [f"{_COSTS[name]}={value.strip()}" for name, _colon, value in pairs if name in _COSTS]


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
