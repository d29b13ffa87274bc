# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a rotation.  docs/design.md, "A rotation", has the rule that they keep.

Each step can be repeated: a run that was killed anywhere is continued by the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mandos import section_note
from mandos.admin.keygen import section as keygen_section
from mandos.admin.keygen.files import KeyDirectory, KeyOwner
from mandos.check.image import rotation_folder
from mandos.errors import AdministratorError, MandosError
from mandos.openpgp import sealing
from mandos.rotation import cures, folders, state
from mandos.rotation.state import Phase, State
from mandos.section_note import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mandos.rotation.machine import Checked, Machine
    from mandos.rotation.slots import Change

#: Exit statuses: a rotation is over, something is broken, or a step of a person comes next.
OVER, BROKEN, WAITING = 0, 1, 75
_STATE = "state"
_NEXT, _PREVIOUS = "next", "previous"
_KEY_FILES = (*KeyDirectory.OPENPGP, *KeyDirectory.TLS)
_NOTES = (section_note.NAME, section_note.SIGNED)
_PRIVATE = 0o700
#: Digits of the key ID in the name of the new section, which has to differ from the old one's.
_DIGITS = 8
_AFTER_FIRST_CHECK = (
    "then run mandos-keygen --rotate again; if this stays, look at the new section's host and"
    " checker on the server"
)


class Step(NamedTuple):
    """The end of a run: its exit status, lines for a person, and a section to be printed."""

    status: int
    lines: list[str]
    section: str = ""


class Wishes(NamedTuple):
    """The facts that only the command line knows.

    ``new_files`` makes keys, ``checker`` finds the checker of the new section.  With ``now`` a
    passed check is enough to remove the old keys; else it takes a boot, too.  ``password`` asks for
    a new password of the disks; None if they keep theirs.
    """

    name: str
    new_files: Callable[[], Mapping[str, bytes]]
    checker: Callable[[], str | None]
    now: bool = False
    password: Callable[[], bytes] | None = None


class Rotation:
    """The rotation of the keys in a folder; its own files are in a folder beside that.

    ``say`` gets a line before each step that takes long.
    """

    def __init__(self, keys: Path, machine: Machine, say: Callable[[str], object]) -> None:
        self._keys = keys
        self._machine = machine
        self._say = say
        self.folder = rotation_folder(keys)
        self._state = state_file(keys)
        self._next = self.folder / _NEXT
        self._previous = self.folder / _PREVIOUS

    def show(self) -> Step:
        """The next step; changes nothing.  Raises MandosError."""
        now = state.read(self._state)
        if now is None:
            return Step(OVER, ["no rotation has begun"])
        return Step(WAITING, [f"{now.phase.value}: {line}" for line in self._next_steps(now)])

    def go_on(self, wishes: Wishes) -> Step:
        """Begin, or do all steps that can be done now.  Raises MandosError."""
        step = self._go_on(wishes)
        return step._replace(lines=cures.for_command(step.lines, cures.ROTATE))

    def abandon(self) -> Step:
        """Go back to the old keys.  Raises MandosError."""
        step = self._abandon()
        return step._replace(lines=cures.for_command(step.lines, f"{cures.ROTATE} --abandon"))

    def _go_on(self, wishes: Wishes) -> Step:
        now = state.read(self._state)
        if now is None:
            return self._begin(wishes)
        if now.phase is Phase.OFFERED:
            return self._try_offered(now, wishes)
        if now.phase is Phase.INSTALLING:
            return self._install(now, wishes)
        if now.phase is Phase.INSTALLED:
            self._say("checking the next boot")
            return self._prove(now, self._machine.check(self._keys), wishes)
        if now.phase is Phase.ENDING:
            return self._end(now, self._machine.check(self._keys))
        return Step(WAITING, self._next_steps(now))

    def _abandon(self) -> Step:
        now = state.read(self._state)
        if now is None:
            return Step(OVER, ["no rotation has begun"])
        if now.phase is Phase.ENDING:
            raise AdministratorError(
                "the old keys are being removed: it is too late to go back",
                "mandos-keygen --rotate ends the rotation",
            )
        if now.phase is not Phase.OFFERED:
            return self._return(now)
        checked = None
        if now.changes:
            self._say("asking the servers with the old keys")
            checked = self._machine.check(self._keys)
        self._write(now._replace(phase=Phase.RETURNING))
        return self._discard(now, checked)

    def tidy(self) -> None:
        """Remove what is left of a rotation that is over, or that has not begun."""
        if not self._state.exists():
            folders.remove(self.folder)

    def _begin(self, wishes: Wishes) -> Step:
        """Make the new keys.  A run that ends before the state is written leaves no trace."""
        keygen_section.check_name(_section_name(wishes.name, "0" * _DIGITS))
        self._machine.require_image_makers()
        old = _note(KeyDirectory(self._keys).identity())
        self.folder.mkdir(mode=_PRIVATE, exist_ok=True)
        folders.require_exchange(self._keys, self.folder)
        self._say("checking the next boot")
        checked = self._machine.check(self._keys)
        if not checked.comes_back:
            line = "it is not sure that this machine comes back; see mandos-check"
            if cures.names_a_broken_link(checked.problems):
                line = "this machine would not come back as it is: mend that before a rotation"
            return Step(BROKEN, [line, *checked.problems])
        password, changes = self._new_password(checked, wishes)
        for leftover in (self._next, self._previous):
            folders.remove(leftover)  # of a run that was killed before it wrote the state
        folders.make(self._next, wishes.new_files(), self._others())
        new = _note(KeyDirectory(self._next).identity())
        now = State(Phase.OFFERED, wishes.name, old, new, changes=changes)
        self._write(now)
        if changes:
            self._add_slots(now, checked, password)
        return self._offer(now, password, wishes)

    def _new_password(self, checked: Checked, wishes: Wishes) -> tuple[bytes, tuple[Change, ...]]:
        """The password for the new keys, and the changes of the disks; those are not made yet."""
        old = _any(checked)
        if wishes.password is None:
            return old, ()
        new = wishes.password()
        if new == old:
            raise AdministratorError("the disks have this password already", "nothing was changed")
        return new, self._machine.plan_slots(checked.devices, old)

    def _add_slots(self, now: State, checked: Checked, new: bytes) -> None:
        """Add the new password; the state has each slot before and after it gets that."""
        self._say("giving the disks a second password")
        made = self._machine.add_slots(
            checked.devices, now.changes, _any(checked), new,
            lambda changes: self._write(now._replace(changes=changes)),
        )  # fmt: skip
        for before, after in zip(now.changes, made, strict=True):
            if before.new.number != after.new.number:
                self._say(
                    f"slot {before.new.number} of the disk {before.uuid} has another password, and"
                    f" stays; the new one is in slot {after.new.number}"
                )

    def _offer(self, now: State, password: bytes, wishes: Wishes) -> Step:
        """Encrypt the password for the new keys."""
        owner = KeyDirectory(self._next).identity()
        sealed = sealing.seal(password, owner.secret_key)
        section = keygen_section.section(
            _section_name(now.name, now.new.key_id), owner, sealed, wishes.checker(), now.name
        )
        for name in _NOTES:
            section_note.write(self._next, now.new, name)
        folders.sync(self._next)
        return Step(WAITING, self._next_steps(now), section)

    def _try_offered(self, now: State, wishes: Wishes) -> Step:
        """Ask with the new keys; install them if no server of the old ones refuses them."""
        self._say("asking the servers with the old keys, and with the new ones")
        current = self._machine.check(self._keys)
        tried = self._rehearse(self._next)
        if skipped := {*current.skipped, *tried.skipped}:
            return Step(BROKEN, [*map(_of_skipped, sorted(skipped)), *self._next_steps(now)])
        missing = [title for title in current.served if title not in tried.served]
        stale = self._with_old_password(now, tried)
        if tried.comes_back and not missing and not stale:
            if tried.unchecked:
                return Step(WAITING, [*map(_of_unchecked, tried.unchecked), _AFTER_FIRST_CHECK])
            return self._install(now, wishes, is_proved=True)
        lines = [f"{title} gives no password to the new keys" for title in missing]
        lines += [f"{title} gives the old password to the new keys" for title in stale]
        return self._offer_again(now, current, wishes, lines or tried.problems)

    def _offer_again(
        self, now: State, current: Checked, wishes: Wishes, problems: list[str]
    ) -> Step:
        """Print the section once more; a new password has to be given once more for that."""
        if not current.served:
            return Step(BROKEN, _of_both(problems, current.problems))
        if bool(now.changes) != (wishes.password is not None):
            if not now.changes:
                raise AdministratorError(
                    "this rotation began without a new password",
                    "end it, or abandon it, before you change the password",
                )
            lines = [*problems, *self._next_steps(now)]
            return Step(
                WAITING, [*lines, "to print the section again, give the new password again"]
            )
        password = _any(current)
        if wishes.password is not None:
            password = wishes.password()
            if password == _any(current):
                raise AdministratorError("this is the old password", "nothing was changed")
            self._add_slots(now, current, password)
        offered = self._offer(now, password, wishes)
        return offered._replace(lines=[*problems, *offered.lines])

    def _rehearse(self, keys: Path) -> Checked:
        """Check the next boot as if its image had these keys."""
        tried = self._machine.rehearse(keys)
        if keys == self._keys:
            return tried
        return tried._replace(problems=cures.of_other_keys(tried.problems))

    def _with_old_password(self, now: State, checked: Checked) -> list[str]:
        """The servers whose password does not open the new slots."""
        return [
            title for title, password in checked.served.items()
            if now.changes
            and not self._machine.are_new(checked.devices, now.changes, password)
        ]  # fmt: skip

    def _install(self, now: State, wishes: Wishes, *, is_proved: bool = False) -> Step:
        """Put the new keys into the folder at one instant, then into the images."""
        if not is_proved:
            self._say("asking the servers with the new keys")
            tried = self._rehearse(self._place_of(now.new))
            if not tried.comes_back or self._with_old_password(now, tried):
                return Step(BROKEN, [*tried.problems, *self._next_steps(now)])
        now = now._replace(phase=Phase.INSTALLING)
        self._write(now)
        self._swap_to(now.new, self._previous)
        checked = self._renew_and_check(now)
        if not (checked.comes_back and checked.same_keys):
            return Step(BROKEN, [*checked.problems, *self._next_steps(now)])
        now = now._replace(phase=Phase.INSTALLED, boot_id=self._machine.boot_id)
        self._write(now)
        return self._prove(now, checked, wishes)

    def _prove(self, now: State, checked: Checked, wishes: Wishes) -> Step:
        """End the rotation after a boot and a passed check, or after a sure check."""
        if self._place_of(now.new) != self._keys:
            raise AdministratorError(
                f"{self._keys} has the old keys again: something else has put them there",
                "mandos-keygen --rotate --abandon ends the rotation",
            )
        if not (checked.comes_back and checked.same_keys):
            return Step(BROKEN, [*checked.problems, *self._mending()])
        if stale := self._with_old_password(now, checked):
            lines = [f"{title} gives the old password to the new keys" for title in stale]
            return Step(BROKEN, lines)
        if self._machine.boot_id != now.boot_id or (wishes.now and checked.is_sure):
            return self._end(now, checked)
        doubts = checked.problems if wishes.now else []
        return Step(WAITING, [*doubts, *self._next_steps(now)])

    @staticmethod
    def _mending() -> list[str]:
        """The next step while the next boot would not work: no reboot."""
        return [
            "do not reboot yet: mend that, then run mandos-keygen --rotate again",
            "or go back: mandos-keygen --rotate --abandon",
        ]

    def _end(self, now: State, checked: Checked) -> Step:
        """Remove the old password and the old keys, and the state at last."""
        self._write(now._replace(phase=Phase.ENDING))
        left: list[str] = []
        if now.changes:
            if not checked.served or self._with_old_password(now, checked):
                return Step(BROKEN, [*checked.problems, "no server gives the new password now"])
            self._say("removing the old password from the disks")
            left = self._machine.remove_old_slots(checked.devices, now.changes, _any(checked))
        folders.remove(self._previous)
        return self._close(
            f"the rotation is over: {self._keys} and the images have the new keys alone",
            "next: remove the old section on each server, then run systemctl reload mandos there",
            f"the old section has this line: key_id = {now.old.key_id}",
            *left,
        )

    def _return(self, now: State) -> Step:
        """Put the old keys into the folder and the images again, if a server still has them."""
        self._say("asking the servers with the old keys")
        tried = self._rehearse(self._place_of(now.old))
        if not tried.comes_back:
            cure = (
                f"if their section is gone: put the section with key_id = {now.old.key_id} on a"
                " server again (from a backup of clients.d)"
            )
            return Step(BROKEN, ["the old keys get no password:", *tried.problems, cure])
        now = now._replace(phase=Phase.RETURNING)
        self._write(now)
        self._swap_to(now.old, self._next)
        checked = self._renew_and_check(now)
        if not (checked.comes_back and checked.same_keys):
            return Step(BROKEN, checked.problems)
        return self._discard(now, checked)

    def _discard(self, now: State, checked: Checked | None) -> Step:
        """Remove the new password and keys, which nothing uses, and the state at last."""
        left: list[str] = []
        if checked is not None and now.changes:
            if not checked.served:
                return Step(BROKEN, [*checked.problems, "no server gives the old password now"])
            left = self._machine.remove_new_slots(checked.devices, now.changes, _any(checked))
        folders.remove(self._next)
        return self._close(
            f"the rotation is abandoned: {self._keys} has the old keys",
            "next: remove the new section on each server, if it is there, then run systemctl"
            " reload mandos there",
            f"the new section has this line: key_id = {now.new.key_id}",
            *left,
        )

    def _close(self, *lines: str) -> Step:
        """Say the last step of a person, then remove the state: a kill must not hide the step."""
        for line in lines:
            self._say(line)
        folders.unlink(self._state)
        return Step(OVER, [])

    def _renew_and_check(self, now: State) -> Checked:
        self._say("making the initial RAM disks anew, which can take minutes")
        try:
            self._machine.renew_images()
        except (MandosError, OSError):  # such as a full or read-only /boot
            for line in self._next_steps(now):
                self._say(line)
            raise
        self._say("checking the next boot")
        return self._machine.check(self._keys)

    def _swap_to(self, wanted: Note, others: Path) -> None:
        """Let the wanted keys and the installed ones change places, if they have not yet.

        The other keys end up in the folder ``others``.
        """
        place = self._place_of(wanted)
        if place != self._keys:
            with KeyDirectory(self._keys).locked():
                folders.copy(self._others(), place)
                folders.exchange(self._keys, place)
        for folder in (self._next, self._previous):
            if folder != others and folder.exists():
                folders.move(folder, others)

    def _place_of(self, wanted: Note) -> Path:
        """The folder that has these keys now.  Raises AdministratorError."""
        for folder in (self._keys, self._next, self._previous):
            if folder.exists() and _note(KeyDirectory(folder).identity()) == wanted:
                return folder
        raise AdministratorError(
            f"no folder has the keys with the key ID {wanted.key_id}",
            f"look into {self._keys} and {self.folder}",
        )

    def _others(self) -> list[Path]:
        """Files beside the installed keys that images get as well, and that stay the same."""
        own = (*_KEY_FILES, *_NOTES)
        return [path for path in self._keys.iterdir() if path.is_file() and path.name not in own]

    def _write(self, now: State) -> None:
        state.write(self._state, now)

    def _next_steps(self, now: State) -> list[str]:
        """The steps of a person."""
        again = "run mandos-keygen --rotate again"
        if now.phase is Phase.OFFERED:
            return [
                "next: put the new section on each server beside the old one, which has to stay",
                "give it the old one's other settings, such as host, timeout and checker",
                f"then run systemctl reload mandos there, and some minutes later {again} here",
            ]
        if now.phase is Phase.INSTALLING:
            return [
                "the new keys are not in all images yet, or these do not pass the check",
                f"{again}, or go back: mandos-keygen --rotate --abandon",
            ]
        if now.phase is Phase.INSTALLED and self._machine.boot_id != now.boot_id:
            return [
                f"the machine has rebooted: {again} to remove the old keys",
                "keep both sections on the servers until then",
            ]
        if now.phase is Phase.INSTALLED:
            return [
                "the images have the new keys, and the servers gave the password to them",
                f"next: reboot when it suits you, then {again} to remove the old keys",
                "keep both sections on the servers until then",
            ]
        if now.phase is Phase.ENDING:
            return [f"the old keys are being removed: {again}"]
        return ["the way back is not finished: run mandos-keygen --rotate --abandon again"]


def state_file(keys: Path) -> Path:
    """The file that is there while the keys in this folder are rotated."""
    return rotation_folder(keys) / _STATE


def _section_name(name: str, key_id: str) -> str:
    return f"{name}-{key_id[:_DIGITS]}"


def _of_unchecked(title: str) -> str:
    """A server that would disable this machine some minutes after it had taken the new keys."""
    return (
        f"{title} has not found this machine alive yet by the new section: wait for its first"
        " check, which comes within its interval (2 minutes by default)"
    )


def _of_both(new: list[str], old: list[str]) -> list[str]:
    """The problems of the new keys and of the old ones; once if they are the same."""
    if new == old:
        return ["with the old keys, and with the new ones:", *old]
    return ["with the new keys:", *new, "with the old keys:", *old]


def _of_skipped(title: str) -> str:
    """A server that may serve the old keys alone, which has to be known before they go."""
    return (
        f"{title} was not asked: the servers before it took all the time;"
        " mandos-check shows the slow ones, end or mend them"
    )


def _any(checked: Checked) -> bytes:
    """A password that opens the disks; all that servers gave do."""
    return next(iter(checked.served.values()))


def _note(owner: KeyOwner) -> Note:
    return Note(owner.key_id.lower(), owner.fingerprint.upper())
