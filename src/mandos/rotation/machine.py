# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that rotates its keys: its servers, its disks and its images."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mandos import process, program
from mandos.check import private_root
from mandos.check.chain import Chain, Wanted
from mandos.check.findings import COMES_BACK, Link, Verdict, exit_status, shown
from mandos.errors import MachineError, MandosError
from mandos.rotation import images, slots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mandos.check.findings import Finding

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ROOT = Path("/")
_CHECK_TIME = 600.0
#: Seconds that a program has for its clean-up when this one is ended.
_PATIENCE = 15.0
#: A check has no limit of its own; this is beyond all address spaces.
_MEMORY = 1 << 45
_SIZE = 1 << 20


class Checked(NamedTuple):
    """The result of a check.

    ``unchecked`` are servers that gave the password, and have not found this machine alive by the
    section of these keys; ``skipped`` are those that were not asked, since no time was left.
    ``served`` has the passwords that open every disk, by the server that gave them; ``devices``
    are these disks; ``problems`` are lines for a person.  ``comes_back`` is true if nothing is
    broken; ``is_sure`` if moreover nothing is unknown; ``same_keys`` if no image has others.
    """

    served: dict[str, bytes]
    devices: list[Path]
    problems: list[str]
    comes_back: bool
    is_sure: bool
    same_keys: bool
    unchecked: Sequence[str] = ()
    skipped: Sequence[str] = ()


class Machine:
    """This machine.

    ``waiting`` is called every second while a check runs, ``count_as_boot`` asks servers that
    know no rehearsals, too.
    """

    def __init__(self, waiting: Callable[[], object], *, count_as_boot: bool) -> None:
        self._waiting = waiting
        self._count_as_boot = count_as_boot

    def check(self, keys: Path) -> Checked:
        """Check the next boot, with the images as they are.  Raises MandosError."""
        return self._walk(keys, Wanted(count_as_boot=self._count_as_boot))

    def rehearse(self, keys: Path) -> Checked:
        """Check the next boot as if its image had these keys.  Raises MandosError."""
        return self._walk(keys, Wanted(count_as_boot=self._count_as_boot, other_keys=True))

    def renew_images(self) -> None:
        """Make the images of all kernels anew, with the installed keys.  Raises MandosError.

        A program that makes images may leave it to the kernel to write them to the disk.
        """
        images.renew(_ROOT)
        os.sync()

    def require_image_makers(self) -> None:
        """Raise MandosError unless renew_images will find the program of each image."""
        images.plan(_ROOT)

    plan_slots = staticmethod(slots.plan)
    add_slots = staticmethod(slots.add)
    are_new = staticmethod(slots.are_new)
    remove_old_slots = staticmethod(slots.remove_old)
    remove_new_slots = staticmethod(slots.remove_new)

    @property
    def boot_id(self) -> str:
        """The kernel's name for this boot: random(4)."""
        return _BOOT_ID.read_text(encoding="ascii").strip()

    def _walk(self, keys: Path, wanted: Wanted) -> Checked:
        """Walk the chain in a process of its own, with which its private root goes."""
        answer = process.run_isolated(
            lambda: _as_json(keys, wanted),
            memory=_MEMORY, size=_SIZE, timeout=_CHECK_TIME, waiting=self._waiting,
            patience=_PATIENCE,
        )  # fmt: skip
        found = json.loads(answer)
        if "error" in found:
            raise MachineError(found["error"], found["hint"])
        found["served"] = {title: base64.b64decode(text) for title, text in found["served"].items()}
        found["devices"] = [Path(device) for device in found["devices"]]
        return Checked(**found)


def _as_json(keys: Path, wanted: Wanted) -> bytes:
    """Walk the chain; returns the result for the parent process.

    A signal that asks for an end raises Ended: the image's client ends before this process.
    """
    program.raise_on_signals()
    try:
        folder = private_root.enter()
        try:
            chain = Chain(_ROOT, keys, folder, wanted)
            found = list(chain.walk())
        finally:
            private_root.leave()
    except MandosError as error:
        return json.dumps({"error": str(error), "hint": error.hint}).encode()
    bad = [finding for finding in found if finding.verdict is not Verdict.OK]
    served = {title: base64.b64encode(text).decode() for title, text in chain.served.items()}
    is_broken = any(finding.verdict is Verdict.BROKEN for finding in bad)
    return json.dumps({
        "served": served,
        "devices": [str(device) for device in chain.devices],
        "problems": [line for finding in bad for line in _lines(finding)],
        "comes_back": bool(served) and not is_broken,
        "is_sure": bool(served) and exit_status(found) == COMES_BACK,
        "unchecked": chain.unchecked,
        "skipped": chain.skipped,
        "same_keys": all(finding.link is not Link.KEYS for finding in bad),
    }).encode()  # fmt: skip


def _lines(finding: Finding) -> Sequence[str]:
    subject = f"{finding.subject}: " if finding.subject else ""
    first = f"{finding.link.value}: {finding.verdict.value}: {shown(subject + finding.text)}"
    return [first, f"  cure: {shown(finding.cure)}"] if finding.cure else [first]
