# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation that is killed at any change of the disk: each boot works, and later runs end well.

The disk is real; images are folders with the keys, and the server is the set of keys that it knows.
tests/service/test_rotation.py has real ones.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mandos import section_note
from mandos.admin.keygen.files import KeyDirectory, KeyOwner
from mandos.admin.keygen.main import new_files, parser
from mandos.errors import AdministratorError, MachineError
from mandos.rotation import folders
from mandos.rotation.machine import Checked
from mandos.rotation.main import main as keygen_main
from mandos.rotation.rotation import BROKEN, OVER, WAITING, Rotation, Step, Wishes
from mandos.rotation.slots import Change, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
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
        self.is_unified = False
        self.skipped: Sequence[str] = ()
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
        return Checked(
            served, [self._disk], problems, bool(served), bool(served), same, skipped=self.skipped
        )

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
        """Choose slot 1; as slots.plan does.  A password is its own salt here."""
        assert self.slots == {0: old}
        return (Change("disk", (Slot(0, old.hex()),), Slot(1)),)

    def add_slots(
        self,
        _devices: Sequence[Path],
        changes: Sequence[Change],
        old: bytes,
        new: bytes,
        note: Callable[[tuple[Change, ...]], object],
    ) -> tuple[Change, ...]:
        """Set slot 1; as slots.add does, it empties one that a killed run has set."""
        (change,) = changes
        assert old == self.slots[change.old[0].number]
        if self.slots.get(1) not in (None, new):
            self._write_slots({0: old})
        self._write_slots({0: old, 1: new})
        made = (change._replace(new=Slot(1, new.hex())),)
        note(made)
        return made

    def are_new(self, _devices: Sequence[Path], changes: Sequence[Change], password: bytes) -> bool:
        """Look into slot 1."""
        return self.slots.get(changes[0].new.number) == password

    def remove_old_slots(
        self, _devices: Sequence[Path], changes: Sequence[Change], new: bytes
    ) -> list[str]:
        """Empty slot 0, if another one has the new password."""
        return self._remove(changes[0].old[0], new)

    def remove_new_slots(
        self, _devices: Sequence[Path], changes: Sequence[Change], old: bytes
    ) -> list[str]:
        """Empty slot 1, if another one has the old password."""
        return self._remove(changes[0].new, old)

    def _remove(self, slot: Slot, password: bytes) -> list[str]:
        kept = {number: word for number, word in self.slots.items() if number != slot.number}
        assert password in kept.values()
        if self.slots.get(slot.number, b"").hex() not in ("", slot.salt):
            return [f"slot {slot.number} stays"]
        self._write_slots(kept)
        return []

    def require_image_makers(self) -> None:
        """Both images can be made, unless ``is_unified`` says that their maker is unknown."""
        if self.is_unified:
            raise MachineError("it is unknown how to make an image")

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
        while self.run().status != OVER:
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

    def run(self) -> Step:
        """Run the program once, and act on its words."""
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


@pytest.mark.timeout(600)
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


def _installed(folder: Path, sets: list[Files]) -> tuple[Site, Rotation]:
    """A site with new keys in the images, and both sections on the server."""
    site = Site(folder, sets[0])
    person = Administrator(site, sets[1:], Case())
    for _number in range(2):
        person.run()
    return site, Rotation(site.keys, site, lambda _line: None)  # type: ignore[arg-type]


def _wishes(*, now: bool = False) -> Wishes:
    return Wishes("web", dict, lambda: None, now=now)


def test_old_keys_that_were_put_back(tmp_path: Path, sets: list[Files]) -> None:
    """From a backup, for example: the rotation does not end, and can be abandoned."""
    site, rotation = _installed(tmp_path, sets)
    folders.exchange(site.keys, rotation.folder / "previous")
    with pytest.raises(AdministratorError, match="has the old keys again"):
        rotation.go_on(_wishes())
    assert rotation.abandon().status == OVER
    assert _files(site.keys) == sets[0]
    site.must_boot()


def test_keys_of_another_origin(tmp_path: Path, sets: list[Files]) -> None:
    """Keys that are neither the old nor the new ones stay."""
    site, rotation = _installed(tmp_path, sets)
    for name, content in sets[2].items():
        (site.keys / name).write_bytes(content)
    with pytest.raises(AdministratorError, match="no folder has the keys"):
        rotation.go_on(_wishes())
    assert _files(site.keys) == sets[2]


def test_too_late_to_go_back(tmp_path: Path, sets: list[Files]) -> None:
    """Once old keys are being removed."""
    site, rotation = _installed(tmp_path, sets)
    path = rotation.folder / "state"
    path.write_text(path.read_text().replace("= installed", "= ending"))
    with pytest.raises(AdministratorError, match="too late to go back"):
        rotation.abandon()
    assert rotation.go_on(_wishes()).status == OVER
    site.must_boot()


@pytest.mark.parametrize(
    ("old", "new"), [("= installed", "= other"), ("boot_id", "bootid"), ("slots = ", "slots = x:y")]
)
def test_damaged_state(tmp_path: Path, sets: list[Files], old: str, new: str) -> None:
    """The file is named, and nothing is changed."""
    _site, rotation = _installed(tmp_path, sets)
    path = rotation.folder / "state"
    path.write_text(path.read_text().replace(old, new))
    for act in (rotation.show, rotation.abandon, lambda: rotation.go_on(_wishes())):
        with pytest.raises(AdministratorError, match="state is damaged"):
            act()


def test_image_with_other_keys(tmp_path: Path, sets: list[Files]) -> None:
    """A kernel whose image was not made anew keeps the old keys alive, also with --now."""
    site, rotation = _installed(tmp_path, sets)
    shutil.rmtree(site.images[1])
    shutil.copytree(rotation.folder / "previous", site.images[1])
    assert rotation.go_on(_wishes(now=True)).status == BROKEN
    site.boot_id = "after a boot"
    assert rotation.go_on(_wishes()).status == BROKEN
    assert (rotation.folder / "previous").exists()


def test_images_that_stay_as_they_are(
    tmp_path: Path, sets: list[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check sees that they have the old keys; the way on and the way back are named."""
    site = Site(tmp_path, sets[0])
    person = Administrator(site, sets[1:], Case())
    person.run()
    with monkeypatch.context() as patch:
        patch.setattr(site, "renew_images", lambda: None)
        step = person.run()
        assert step.status == BROKEN
        assert "not in all images yet" in step.lines[0]
        assert step.lines[1].endswith("or go back: mandos-keygen --rotate --abandon")
        site.must_boot()
    person.act()
    assert _files(site.keys) == sets[1]


#: Lines of a check: about a server that knows no rehearsals, and one that refuses the keys.
UNSURE = ["server: not sure: it knows no rehearsals", "  cure: run mandos-check --count-as-boot"]
REFUSED = ["keys: broken: no such key", "  cure: run mandos-keygen --password, and so on"]


def _give_nothing(
    monkeypatch: pytest.MonkeyPatch, site: Site, name: str, problems: list[str]
) -> None:
    """Let the site's ``check`` or ``rehearse`` find these problems, and no password."""
    found = Checked({}, [], problems, comes_back=False, is_sure=False, same_keys=True)
    monkeypatch.setattr(site, name, lambda _keys: found)


def _rotation(site: Site) -> Rotation:
    return Rotation(site.keys, site, lambda _line: None)  # type: ignore[arg-type]


def _offered(folder: Path, sets: list[Files]) -> Site:
    """A site with new keys that are not installed yet; the server has their section."""
    site = Site(folder, sets[0])
    Administrator(site, sets[1:], Case()).run()
    return site


@pytest.mark.parametrize(
    ("problems", "first"),
    [
        (UNSURE, "it is not sure that this machine comes back; see mandos-check"),
        (REFUSED, "this machine would not come back as it is: mend that before a rotation"),
    ],
    ids=["not sure", "broken"],
)
def test_machine_that_may_stay_down(
    tmp_path: Path,
    sets: list[Files],
    monkeypatch: pytest.MonkeyPatch,
    problems: list[str],
    first: str,
) -> None:
    """No rotation begins; the message distinguishes both cases."""
    site = Site(tmp_path, sets[0])
    _give_nothing(monkeypatch, site, "check", problems)
    step = _rotation(site).go_on(_wishes())
    assert (step.status, step.lines[0]) == (BROKEN, first)
    assert len(step.lines) == 3


def test_cure_for_servers_that_know_no_rehearsals(
    tmp_path: Path, sets: list[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a run of the rotation in the same direction, not of the check."""
    site, rotation = _installed(tmp_path, sets)
    _give_nothing(monkeypatch, site, "check", UNSURE)
    _give_nothing(monkeypatch, site, "rehearse", UNSURE)
    on, back = rotation.go_on(_wishes()), rotation.abandon()
    assert "  cure: run mandos-keygen --rotate --count-as-boot" in on.lines
    assert "  cure: run mandos-keygen --rotate --abandon --count-as-boot" in back.lines


def test_old_section_that_is_gone(
    tmp_path: Path, sets: list[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way back needs it; a section of the installed keys, which are new, would not help."""
    site, rotation = _installed(tmp_path, sets)
    _give_nothing(monkeypatch, site, "rehearse", REFUSED)
    step = rotation.abandon()
    assert step.status == BROKEN
    assert step.lines[:2] == ["the old keys get no password:", REFUSED[0]]
    old = KeyDirectory(rotation.folder / "previous").identity().key_id.lower()
    assert f"put the section with key_id = {old} on a server again (from a b" in step.lines[2]
    folders.exchange(site.keys, rotation.folder / "previous")  # the old keys are installed
    assert REFUSED[1] in rotation.abandon().lines


def test_status_after_the_reboot(tmp_path: Path, sets: list[Files]) -> None:
    """The next step is not a reboot any more."""
    site, rotation = _installed(tmp_path, sets)
    site.boot_id = "1"  # that of the installation
    assert any("reboot when it suits you" in line for line in rotation.show().lines)
    site.boot_id = "after the reboot"
    step = rotation.show()
    assert step.status == WAITING
    assert "the machine has rebooted: run mandos-keygen --rotate again" in step.lines[0]
    assert not any("reboot when" in line for line in step.lines)


def test_first_check_of_the_new_section(
    tmp_path: Path, sets: list[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has not made it yet is waited for; the section is there already."""
    site = _offered(tmp_path, sets)
    rehearse = site.rehearse
    monkeypatch.setattr(
        site, "rehearse", lambda keys: rehearse(keys)._replace(unchecked=["the server"])
    )
    step = _rotation(site).go_on(_wishes())
    assert (step.status, step.section) == (WAITING, "")
    assert step.lines[0].startswith("the server has not found this machine alive yet")
    assert "wait for its first check" in step.lines[0]
    assert not any("put the new section" in line for line in step.lines)
    assert _files(site.keys) == sets[0]


@pytest.mark.parametrize("is_same", [True, False])
def test_no_server_for_both_pairs_of_keys(
    tmp_path: Path, sets: list[Files], monkeypatch: pytest.MonkeyPatch, *, is_same: bool
) -> None:
    """The same problem of both is printed once; else the keys stand above each."""
    site = _offered(tmp_path, sets)
    _give_nothing(monkeypatch, site, "rehearse", UNSURE[:1])
    _give_nothing(monkeypatch, site, "check", UNSURE[:1] if is_same else REFUSED)
    step = _rotation(site).go_on(_wishes())
    assert step.status == BROKEN
    assert step.lines == (
        ["with the old keys, and with the new ones:", UNSURE[0]]
        if is_same
        else ["with the new keys:", UNSURE[0], "with the old keys:", *REFUSED]
    )


def test_last_step_of_the_way_back(tmp_path: Path, sets: list[Files]) -> None:
    """A section that was removed counts after a reload."""
    said: list[str] = []
    site = _offered(tmp_path, sets)
    Rotation(site.keys, site, said.append).abandon()  # type: ignore[arg-type]
    assert any("remove the new section" in line and "reload mandos" in line for line in said)


def test_planned_slot_that_a_person_filled(
    tmp_path: Path, sets: list[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program names it, and the slot that the new password has got."""
    site = Site(tmp_path, sets[0])
    add_slots = site.add_slots

    def add(
        devices: Sequence[Path],
        changes: Sequence[Change],
        old: bytes,
        new: bytes,
        note: Callable[[tuple[Change, ...]], object],
    ) -> tuple[Change, ...]:
        (change,) = add_slots(devices, changes, old, new, note)
        return (change._replace(new=Slot(2, change.new.salt)),)

    monkeypatch.setattr(site, "add_slots", add)
    said: list[str] = []
    rotation = Rotation(site.keys, site, said.append)  # type: ignore[arg-type]
    rotation.go_on(Wishes("web", lambda: sets[1], lambda: None, password=lambda: NEW))
    text = "slot 1 of the disk disk has another password, and stays; the new one is in slot 2"
    assert text in said


@pytest.mark.parametrize("abandons", [False, True])
def test_slot_that_a_person_changed(tmp_path: Path, sets: list[Files], *, abandons: bool) -> None:
    """It stays, and the last message says so."""
    site = Site(tmp_path, sets[0])
    person = Administrator(site, sets[1:], Case(abandons, new_password=True))
    for _number in range(2):
        person.run()
    slot, kept = (1, {0: OLD}) if abandons else (0, {1: NEW})
    site._write_slots({**kept, slot: b"of a person"})
    said: list[str] = []
    rotation = Rotation(site.keys, site, said.append)  # type: ignore[arg-type]
    step = rotation.abandon() if abandons else rotation.go_on(_wishes())
    assert (step.status, said[-1]) == (OVER, f"slot {slot} stays")
    assert site.slots == {**kept, slot: b"of a person"}


def test_images_of_an_unknown_maker(tmp_path: Path, sets: list[Files]) -> None:
    """No rotation begins: no server is asked, and no file is changed."""
    site = Site(tmp_path, sets[0])
    site.is_unified = True
    site.server = {}
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MachineError, match="unknown how to make"):
        Administrator(site, sets[1:], Case()).run()
    assert sorted(tmp_path.rglob("*")) == before
    assert _files(site.keys) == sets[0]


def test_server_that_was_not_asked(tmp_path: Path, sets: list[Files]) -> None:
    """It may serve the old keys alone: nothing is installed until it has answered."""
    site = Site(tmp_path, sets[0])
    person = Administrator(site, sets[1:], Case())
    person.run()
    site.skipped = ["another server"]
    step = person.run()
    assert step.status == BROKEN
    assert step.lines[0].startswith("another server was not asked: ")
    assert _files(site.keys) == sets[0]
    site.skipped = ()
    person.act()
    assert _files(site.keys) == sets[1]


CORE_LIMIT = """\
import resource, sys
from mandos.rotation.main import main
before = resource.getrlimit(resource.RLIMIT_CORE)
main(["--rotate", "--status", "--dir", sys.argv[1]])
print(*before, *resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a rotation needs root")
def test_no_core_file(tmp_path: Path) -> None:
    """Programs that a rotation starts inherit the limit: they have passwords in memory, too."""
    command = ["prlimit", "--core=4096:4096", sys.executable, "-c", CORE_LIMIT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4096", "4096", "0", "0"], done.stderr


def test_folders_that_cannot_change_places(tmp_path: Path) -> None:
    """The message has both, and the file systems that can."""
    (tmp_path / "one").mkdir()
    with pytest.raises(MachineError, match="cannot change places: No such file") as caught:
        folders.exchange(tmp_path / "one", tmp_path / "missing")
    assert "one file system that can exchange names" in str(caught.value.hint)
    with pytest.raises(MachineError, match="are not in the same file system"):
        folders.require_exchange(Path("/proc"), tmp_path)


@pytest.mark.parametrize("phase", ["offered", "installed", "ending"])
def test_force_in_a_rotation(
    tmp_path: Path, sets: list[Files], capsys: pytest.CaptureFixture[str], phase: str
) -> None:
    """It would replace keys that the rotation needs: it is refused, and keys are as they were."""
    site, rotation = _installed(tmp_path, sets)
    path = rotation.folder / "state"
    path.write_text(path.read_text().replace("= installed", f"= {phase}"))
    force = ["--force", "--name=web", f"--dir={site.keys}"]
    assert keygen_main(force) == 78
    said = capsys.readouterr().err
    assert "a rotation is not over" in said
    assert ("mandos-keygen --rotate --abandon first" in said) == (phase != "ending")
    assert ("mandos-keygen --rotate first" in said) == (phase == "ending")
    assert _files(site.keys) == sets[1]


def test_force_after_a_rotation(tmp_path: Path, sets: list[Files]) -> None:
    """It replaces the keys as usual, also if a killed run has left the folder of the rotation."""
    site, rotation = _installed(tmp_path, sets)
    assert rotation.go_on(_wishes()).status == OVER
    assert keygen_main(["--force", "--name=web", f"--dir={site.keys}"]) == 0
    assert not set(_files(site.keys).values()).intersection(sets[1].values())


def test_force_beside_a_damaged_state(
    tmp_path: Path, sets: list[Files], capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is named, and the keys stay."""
    site, rotation = _installed(tmp_path, sets)
    (rotation.folder / "state").write_text("phase = other\n")
    assert keygen_main(["--force", "--name=web", f"--dir={site.keys}"]) == 78
    assert f"{rotation.folder}/state is damaged" in capsys.readouterr().err
    assert _files(site.keys) == sets[1]


@pytest.mark.parametrize("options", [["--status"], ["--now"], ["--rotate", "--force"]], ids=str)
def test_options_that_do_not_go_together(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """They are refused before anything is done."""
    assert keygen_main(options) == 64
    assert "--" in capsys.readouterr().err


def test_broken_machine_is_not_to_be_rebooted(
    tmp_path: Path, sets: list[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images have the new keys, and the next boot would not work: no step says reboot."""
    site, rotation = _installed(tmp_path, sets)
    _give_nothing(monkeypatch, site, "check", REFUSED)
    step = rotation.go_on(_wishes())
    assert step.status == BROKEN
    assert REFUSED[0] in step.lines
    assert any(line.startswith("do not reboot yet") for line in step.lines)
    assert not any("reboot when" in line for line in step.lines)
