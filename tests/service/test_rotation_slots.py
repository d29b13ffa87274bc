# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The slots of a rotation with a new disk password, on real LUKS devices.

A rotation empties the slots of the old password, and no slot that got another one meanwhile.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from mandos.errors import AdministratorError, MachineError
from mandos.rotation import slots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mandos.rotation.slots import Change

Numbers = tuple[tuple[int, ...], int]


@pytest.mark.parametrize(
    "options",
    [
        ("--type=luks1", "--pbkdf-force-iterations=1000"),
        ("--type=luks2", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"),
        ("--type=luks2", "--pbkdf=argon2id", "--pbkdf-memory=32", "--pbkdf-force-iterations=4"),
    ],
    ids=["LUKS1", "LUKS2-pbkdf2", "LUKS2-argon2id"],
)
def test_slots(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Planned, added twice, one time after a mistyped one, and either of them removed."""
    disk, old, new = tmp_path / "disk", b"old\n", bytes(range(256))
    with disk.open("wb") as file:
        file.truncate(24 << 20)
    key = tmp_path / "key"
    key.write_bytes(old)
    command = ["cryptsetup", "luksFormat", "--batch-mode", *options, f"--key-file={key}", str(disk)]
    subprocess.run(command, check=True)
    changes = slots.plan([disk], old)
    last = 7 if "--type=luks1" in options else 31
    assert _numbers(changes) == [((0,), last)]
    _add_password(disk, key, b"of a person")  # while the rotation waits
    assert not slots.are_new([disk], changes, new)
    for password in (b"mistyped", new, new):
        changes = slots.add([disk], changes, old, password, lambda _: None)
        assert slots.are_new([disk], changes, password)
        assert slots.opens(disk, 0, old)
    assert not slots.are_new([disk], changes, b"mistyped")
    assert slots.opens(disk, 1, b"of a person")
    if "--type=luks2" in options:
        header = subprocess.run(["cryptsetup", "luksDump", disk], capture_output=True, check=True)
        kind = options[1].partition("=")[2].encode()
        assert len(re.findall(rb"PBKDF: +" + kind, header.stdout)) == 2 + (
            kind == b"pbkdf2"  # the person's
        ), header.stdout
    with pytest.raises(MachineError):
        slots.remove_old([disk], changes, old)  # it would be the last one that old opens
    slots.remove_new([disk], changes, old)
    slots.remove_new([disk], changes, old)
    changes = slots.add([disk], changes, old, new, lambda _: None)
    slots.remove_old([disk], changes, new)
    slots.remove_old([disk], changes, new)
    assert not slots.opens(disk, 0, old)
    assert slots.are_new([disk], changes, new)
    assert slots.opens(disk, 1, b"of a person")


def _numbers(changes: Sequence[Change]) -> list[Numbers]:
    return [(tuple(slot.number for slot in one.old), one.new.number) for one in changes]


def _add_password(disk: Path, key: Path, password: bytes, *words: str) -> None:
    """Add a password as a person does it: into the first free slot."""
    _give("luksAddKey", disk, key, password, *words)


def _give(action: str, disk: Path, key: Path, password: bytes, *words: str) -> None:
    """Add or change a password."""
    new = key.with_name("new-key")
    new.write_bytes(password)
    subprocess.run(
        ["cryptsetup", action, "--batch-mode", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000",
         *words, f"--key-file={key}", str(disk), str(new)],
        check=True,
    )  # fmt: skip


def _luks(disk: Path, kind: str, *passwords: bytes) -> Path:
    """Make a LUKS device whose slots have these passwords, from 0 on."""
    with disk.open("wb") as file:
        file.truncate(24 << 20)
    common = ["--batch-mode", "--pbkdf-force-iterations=1000"]
    common += ["--pbkdf=pbkdf2"] if kind == "luks2" else []
    keys = []
    for number, password in enumerate(passwords):
        keys.append(disk.with_name(f"{disk.name}-key{number}"))
        keys[-1].write_bytes(password)
    first = f"--key-file={keys[0]}"
    subprocess.run(["cryptsetup", "luksFormat", f"--type={kind}", *common, first, disk], check=True)
    for key in keys[1:]:
        subprocess.run(["cryptsetup", "luksAddKey", *common, first, disk, key], check=True)
    return disk


def test_slots_of_two_disks(tmp_path: Path) -> None:
    """Each has its own free slot; a run that was ended between both is repeated, in any order."""
    old, new, other = b"old", b"new", b"of a person"
    one = _luks(tmp_path / "one", "luks2", old)
    two = _luks(tmp_path / "two", "luks1", other, old)
    changes = slots.plan([one, two], old)
    noted: list[tuple[Change, ...]] = []
    assert _numbers(changes) == [((0,), 31), ((1,), 7)]
    with pytest.raises(AdministratorError, match="no disk that is opened at boot"):
        slots.add([one], changes, old, new, noted.append)
    assert _numbers(noted[-1]) == _numbers(changes)
    assert [bool(change.new.salt) for change in noted[-1]] == [True, False]
    assert [slots.opens(disk, at, new) for disk, at in ((one, 31), (two, 7))] == [True, False]
    assert not slots.are_new([two, one], changes, new)
    changes = slots.add([two, one], changes, old, new, noted.append)
    assert slots.are_new([two, one], changes, new)
    assert [slots.opens(disk, at, old) for disk, at in ((one, 0), (two, 1))] == [True, True]
    with pytest.raises(AdministratorError, match="no disk that is opened at boot"):
        slots.remove_old([one], changes, new)
    slots.remove_old([two, one], changes, new)
    assert [slots.opens(disk, at, old) for disk, at in ((one, 0), (two, 1))] == [False, False]
    assert [slots.opens(disk, at, new) for disk, at in ((one, 31), (two, 7))] == [True, True]
    assert slots.opens(two, 0, other)


def test_disk_without_a_free_slot(tmp_path: Path) -> None:
    """LUKS1 has eight slots; the message says how to empty one."""
    disk, key = tmp_path / "disk", tmp_path / "key"
    with disk.open("wb") as file:
        file.truncate(24 << 20)
    key.write_bytes(b"old")
    common = ("--batch-mode", "--pbkdf-force-iterations=1000", f"--key-file={key}", str(disk))
    subprocess.run(["cryptsetup", "luksFormat", "--type=luks1", *common], check=True)
    for number in range(7):
        (tmp_path / "other").write_bytes(b"other %d" % number)
        subprocess.run(["cryptsetup", "luksAddKey", *common, tmp_path / "other"], check=True)
    with pytest.raises(AdministratorError, match="no free key slot"):
        slots.plan([disk], b"old")


KINDS = pytest.mark.parametrize("kind", ["luks1", "luks2"])
OLD, NEW, PERSON = b"old", b"new", b"of a person"


def _kill(disk: Path, slot: int, password: bytes) -> None:
    command = ["cryptsetup", "luksKillSlot", "--batch-mode", "--key-file=-", str(disk), str(slot)]
    subprocess.run(command, input=password, check=True)


def _used(disk: Path, *passwords: bytes) -> list[list[int]]:
    """The slots that each of these passwords opens."""
    last = 8 if b"Version:       \t1\n" in _dump(disk) else 32
    header = range(last)
    return [[at for at in header if slots.opens(disk, at, word)] for word in passwords]


def _dump(disk: Path) -> bytes:
    command = ["cryptsetup", "luksDump", str(disk)]
    return subprocess.run(command, capture_output=True, check=True).stdout


@KINDS
def test_old_password_in_several_slots(tmp_path: Path, kind: str) -> None:
    """It opens the disk no more, and a password between its slots still does."""
    disk = _luks(tmp_path / "disk", kind, OLD, PERSON, OLD)
    changes = slots.plan([disk], OLD)
    last = 7 if kind == "luks1" else 31
    assert _numbers(changes) == [((0, 2), last)]
    changes = slots.add([disk], changes, OLD, NEW, lambda _: None)
    assert slots.remove_old([disk], changes, NEW) == []
    assert _used(disk, OLD, PERSON, NEW) == [[], [1], [last]]


def test_slot_that_opens_no_data(tmp_path: Path) -> None:
    """An unbound slot with the old password is none of the disk's."""
    disk = _luks(tmp_path / "disk", "luks2", OLD)
    _add_password(disk, tmp_path / "disk-key0", OLD, "--unbound", "--key-size=256")
    assert _numbers(slots.plan([disk], OLD)) == [((0,), 31)]


@KINDS
def test_old_slot_that_a_person_fills_anew(tmp_path: Path, kind: str) -> None:
    """A recovery password in the emptied slot stays, and the last message names the slot."""
    disk = _luks(tmp_path / "disk", kind, OLD)
    changes = slots.add([disk], slots.plan([disk], OLD), OLD, NEW, lambda _: None)
    _kill(disk, 0, NEW)
    (tmp_path / "key").write_bytes(NEW)
    _add_password(disk, tmp_path / "key", PERSON)
    (line,) = slots.remove_old([disk], changes, NEW)
    assert line.startswith(f"slot 0 of {disk} has got another password during the rotation")
    assert line.endswith(f"cryptsetup luksKillSlot {disk} 0")
    assert _used(disk, OLD, PERSON) == [[], [0]]


@KINDS
@pytest.mark.parametrize("password", [PERSON, OLD])
def test_old_password_that_a_person_changes(tmp_path: Path, kind: str, password: bytes) -> None:
    """In the slot of the old one, which is neither emptied then nor forgotten."""
    disk = _luks(tmp_path / "disk", kind, OLD)
    changes = slots.add([disk], slots.plan([disk], OLD), OLD, NEW, lambda _: None)
    _give("luksChangeKey", disk, tmp_path / "disk-key0", password, "--key-slot=0")
    assert len(slots.remove_old([disk], changes, NEW)) == 1
    assert _used(disk, password) == [[0]]


@KINDS
def test_new_slot_that_a_person_changes(tmp_path: Path, kind: str) -> None:
    """The way back leaves it, and so does another new password, which gets another slot."""
    disk = _luks(tmp_path / "disk", kind, OLD)
    last = 7 if kind == "luks1" else 31
    changes = slots.add([disk], slots.plan([disk], OLD), OLD, NEW, lambda _: None)
    (tmp_path / "key").write_bytes(NEW)
    _give("luksChangeKey", disk, tmp_path / "key", PERSON, f"--key-slot={last}")
    (line,) = slots.remove_new([disk], changes, OLD)
    assert line.startswith(f"slot {last} of {disk} has got another password")
    noted: list[tuple[Change, ...]] = []
    changes = slots.add([disk], changes, OLD, b"another", noted.append)
    assert _numbers(noted[0]) == _numbers(changes) == [((0,), last - 1)]
    assert noted[0][0].new.salt == ""  # the number is known before the slot has the password
    assert _used(disk, OLD, PERSON, b"another") == [[0], [last], [last - 1]]
    assert slots.remove_old([disk], changes, b"another") == []
    assert _used(disk, OLD, PERSON, b"another") == [[], [last], [last - 1]]


@KINDS
def test_planned_slot_that_a_person_fills(tmp_path: Path, kind: str) -> None:
    """Before the rotation does; nothing empties it."""
    disk = _luks(tmp_path / "disk", kind, OLD)
    changes = slots.plan([disk], OLD)
    last = changes[0].new.number
    _add_password(disk, tmp_path / "disk-key0", PERSON, f"--key-slot={last}")
    assert len(slots.remove_new([disk], changes, OLD)) == 1
    changes = slots.add([disk], changes, OLD, NEW, lambda _: None)
    assert _used(disk, OLD, PERSON, NEW) == [[0], [last], [last - 1]]
