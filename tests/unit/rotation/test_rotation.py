# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation that is killed at any change of the disk: each boot works, and later runs end well.

The disk is real; images are folders with the keys, and the server is the set of keys that it knows.
tests/service/test_rotation.py has real ones.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mandos import section_note
from mandos.admin.keygen.files import KeyDirectory, KeyOwner
from mandos.admin.keygen.main import new_files, parser
from mandos.errors import AdministratorError
from mandos.rotation import folders
from mandos.rotation.machine import Checked
from mandos.rotation.rotation import OVER, WAITING, Rotation, Step, Wishes
from mandos.rotation.slots import Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

    from _typeshed import TraceFunction

Files = dict[str, bytes]
OLD, NEW = b"the old password", b"the new password"


class Killed(BaseException):
    """The program ends here; only ``finally`` still runs, and that closes descriptors."""


class Killer:
    """Kills a run at the line ``at`` of those that change the disk, counted from 1."""

    FILES = (folders.__file__, section_note.__file__, __file__)

    def __init__(self, at: int) -> None:
        self.left = at

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Count the lines in this block."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _call(self, frame: FrameType, _event: str, _argument: object) -> TraceFunction | None:
        name = frame.f_code.co_filename
        is_ours = name == __file__ and frame.f_code.co_name != "_renew_one"
        return self._line if name in self.FILES and not is_ours else None

    def _line(self, _frame: FrameType, event: str, _argument: object) -> TraceFunction:
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise Killed
        return self._line


class Site:
    """A machine with two kernels, a disk, and a server; all are as their files and tables say.

    ``server`` has the password of each key ID.
    """

    def __init__(self, folder: Path, old: Mapping[str, bytes]) -> None:
        self.keys = folder / "mandos"
        self.images = [folder / "image-1", folder / "image-2"]
        self._disk = folder / "disk"
        self.boot_id = "1"
        folders.make(self.keys, old, [])
        (self.keys / "of-the-administrator").write_bytes(b"for the image")
        self._write_slots({0: OLD})
        self.server = {KeyDirectory(self.keys).identity().key_id: OLD}
        self.renew_images()

    def check(self, keys: Path) -> Checked:
        """Look at the keys in the first image, and at the images' keys."""
        booted = KeyDirectory(self.images[0]).identity().key_id
        same = all(_files(image) == _files(keys) for image in self.images)
        return self._checked(booted, same=same)

    def rehearse(self, keys: Path) -> Checked:
        """Look at other keys."""
        return self._checked(KeyDirectory(keys).identity().key_id, same=True)

    def _checked(self, key_id: str, *, same: bool) -> Checked:
        password = self.server.get(key_id)
        served = {"server": password} if password in self.slots.values() and password else {}
        problems = [] if served else ["no password"]
        return Checked(served, [self._disk], problems, bool(served), bool(served), same)

    @property
    def slots(self) -> dict[int, bytes]:
        """The disk's passwords by their slots."""
        return {
            int(slot): word.encode() for slot, word in json.loads(self._disk.read_text()).items()
        }

    def _write_slots(self, slots: Mapping[int, bytes]) -> None:
        text = json.dumps({slot: word.decode() for slot, word in slots.items()})
        folders.write(self._disk, text.encode())

    def plan_slots(self, _devices: Sequence[Path], old: bytes) -> tuple[Change, ...]:
        """Choose slot 1; as slots.plan does."""
        assert self.slots == {0: old}
        return (Change("disk", 0, 1),)

    def add_slots(
        self, _devices: Sequence[Path], changes: Sequence[Change], old: bytes, new: bytes
    ) -> None:
        """Set slot 1; as slots.add does, it empties one that a killed run has set."""
        assert old == self.slots[changes[0].old]
        if self.slots.get(1) not in (None, new):
            self._write_slots({0: old})
        self._write_slots({0: old, 1: new})

    def are_new(self, _devices: Sequence[Path], changes: Sequence[Change], password: bytes) -> bool:
        """Look into slot 1."""
        return self.slots.get(changes[0].new) == password

    def remove_old_slots(
        self, _devices: Sequence[Path], changes: Sequence[Change], new: bytes
    ) -> None:
        """Empty slot 0, if another one has the new password."""
        kept = {slot: word for slot, word in self.slots.items() if slot != changes[0].old}
        assert new in kept.values()
        self._write_slots(kept)

    def remove_new_slots(
        self, _devices: Sequence[Path], changes: Sequence[Change], old: bytes
    ) -> None:
        """Empty slot 1, if another one has the old password."""
        kept = {slot: word for slot, word in self.slots.items() if slot != changes[0].new}
        assert old in kept.values()
        self._write_slots(kept)

    def renew_images(self) -> None:
        """Make both images anew, one after the other, each at one instant."""
        for image in self.images:
            self._renew_one(image)

    def _renew_one(self, image: Path) -> None:
        made = image.with_name("made")
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(self.keys, made)
        if image.exists():
            folders.exchange(image, made)
        else:
            made.rename(image)

    def must_boot(self) -> None:
        """Fail unless each image works, those that an update would make now as well."""
        for folder in (*self.images, self.keys):
            password = self.server.get(KeyDirectory(folder).identity().key_id)
            assert password in self.slots.values(), folder
            assert (folder / "of-the-administrator").exists()


def _files(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in KeyDirectory(folder).names()}


class Case(NamedTuple):
    """A rotation that goes its way to the end, or back; with a new password or without one."""

    abandons: bool = False
    new_password: bool = False


CASES = [Case(*both) for both in itertools.product([False, True], repeat=2)]


class Administrator:
    """Runs the program until it is over, and does the steps of a person."""

    def __init__(self, site: Site, new: Sequence[Files], case: Case) -> None:
        self._site = site
        self._new = iter(new)
        self._word = (lambda: NEW) if case.new_password else None
        self.abandons = case.abandons
        self._is_told_of_the_end = False
        self.steps: list[Step] = []

    def act(self) -> None:
        """Go on until the exit status says that the rotation is over."""
        while self._run().status != OVER:
            assert len(self.steps) < 10, self.steps

    def _hear(self, line: str) -> None:
        """Remove a section from the server when the program says so."""
        _words, found, key_id = line.partition(" section has this line: key_id = ")
        if found:
            self._is_told_of_the_end = True
            self._site.server.pop(key_id, None)

    def _go_on(self, rotation: Rotation, wishes: Wishes) -> Step:
        """Go on; a run after the end begins anew, for which it wants another password."""
        try:
            return rotation.go_on(wishes)
        except AdministratorError:
            if not self._is_told_of_the_end:
                raise
            return Step(OVER, [])

    def _run(self) -> Step:
        rotation = Rotation(self._site.keys, self._site, self._hear)  # type: ignore[arg-type]
        is_installed = any("reboot when it suits" in line for s in self.steps for line in s.lines)
        if self.abandons and is_installed:
            step = rotation.abandon()
        else:
            wishes = Wishes("web", lambda: next(self._new), lambda: None, password=self._word)
            step = self._go_on(rotation, wishes)
            if step.status == WAITING and "way back" in step.lines[0]:
                step = rotation.abandon()
        self.steps.append(step)
        for line in step.section.splitlines():
            if line.startswith("key_id = "):
                password = OLD if self._word is None else NEW
                self._site.server[line.removeprefix("key_id = ")] = password
        if any("reboot when it suits" in line for line in step.lines):
            self._site.must_boot()
            self._site.boot_id = str(int(self._site.boot_id) + (0 if self.abandons else 1))
        rotation.tidy()
        return step


@pytest.fixture(scope="module")
def sets() -> list[Files]:
    """Three sets of keys: the old ones, the new ones, and those of one more rotation."""
    options = parser().parse_args(["--name", "web"])
    return [new_files(options, (KeyDirectory.OPENPGP, KeyDirectory.TLS)) for _ in range(3)]


@pytest.fixture(autouse=True)
def _no_loss_of_power(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed leaves its changes to the kernel; waiting for the disk is slow."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture(autouse=True)
def _known_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that were read once are known by their bytes; reading them takes most of the time."""
    read = KeyDirectory.identity
    known: dict[tuple[bytes, ...], KeyOwner] = {}

    def identity(directory: KeyDirectory) -> KeyOwner:
        files = tuple(_files(directory.path).values())
        if files not in known:
            known[files] = read(directory)
        return known[files]

    monkeypatch.setattr(KeyDirectory, "identity", identity)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rotation(tmp_path: Path, sets: list[Files], case: Case) -> None:
    """Without any trouble: three runs, the other keys and password are gone, nothing is left."""
    site = Site(tmp_path, sets[0])
    person = Administrator(site, sets[1:], case)
    person.act()
    assert [step.status for step in person.steps] == [WAITING, WAITING, OVER]
    assert _files(site.keys) == sets[0 if case.abandons else 1]
    password = NEW if case.new_password and not case.abandons else OLD
    assert site.server == {KeyDirectory(site.keys).identity().key_id: password}
    assert list(site.slots.values()) == [password]
    site.must_boot()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["disk", "image-1", "image-2", "made", "mandos"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_anywhere(tmp_path: Path, sets: list[Files], case: Case) -> None:
    """At each line that changes the disk; every boot works, also after a section is removed."""
    at = 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        site = Site(folder, sets[0])
        person = Administrator(site, sets[1:], case)
        killer = Killer(at)
        try:
            with killer.armed():
                person.act()
        except Killed:
            site.must_boot()
            person.abandons = False  # he goes on in the direction that the program says
            person.act()
        site.must_boot()
        assert _files(site.keys) in sets, at
        assert len(site.slots) == 1, at
        assert not (folder / "mandos-rotation").exists(), at
        shutil.rmtree(folder)
        if killer.left > 0:
            break
    assert at > 100, "the killer has counted too few lines"
