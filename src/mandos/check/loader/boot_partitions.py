# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the partitions that systemd-boot reads: the EFI system partition, and the extended one.

Source: bootctl(1), and the Boot Loader Specification, "The Partitions".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from mandos import process

if TYPE_CHECKING:
    from pathlib import Path

#: Where bootctl(1) looks for the EFI system partition; the extended one is mounted on /boot.
_PLACES = ("efi", "boot", "boot/efi")
#: Folders that one of the two has.
_FOLDERS = ("EFI", "loader")
#: Types in partition tables of the kinds GPT and MBR.
_ESP_TYPES = ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0xef")
_EXTENDED_TYPES = ("bc13c2ff-59e6-4262-a352-b275fd6f7172", "0xea")
_TIME = 10.0  # seconds


class BootPartitions(NamedTuple):
    """The mount points; ``extended`` is None where there is no such partition.

    ``identity`` is the GUID of the EFI system partition, empty where it is unknown.
    """

    esp: Path
    extended: Path | None = None
    identity: str = ""

    def all(self) -> tuple[Path, ...]:
        """The mount points in the order in which systemd-boot reads them."""
        return (self.esp,) if self.extended is None else (self.esp, self.extended)


class Partition(NamedTuple):
    """The type and the GUID of a partition, as the kernel shows them; empty if they are unknown."""

    kind: str = ""
    identity: str = ""


def find(root: Path) -> BootPartitions | None:
    """The partitions of the machine below ``root``; None if no folder looks like one."""
    looked = [root / place for place in _PLACES]
    return choose({path: _partition(path) for path in looked if _has_folders(path)})


def choose(places: dict[Path, Partition]) -> BootPartitions | None:
    """Choose among mount points by the types of their partitions; None if none is right.

    A folder whose type is unknown, as in a change root, counts only if no other one is known.
    """
    known = [path for path, (kind, _id) in places.items() if kind in _ESP_TYPES + _EXTENDED_TYPES]
    there = known or [path for path, (kind, _id) in places.items() if not kind]
    if not there:
        return None
    esp = next(
        (path for path in there if places[path].kind in _ESP_TYPES),
        next((path for path in there if (path / "EFI").is_dir()), there[0]),
    )
    extended = next((path for path in there if path.name == "boot" and path != esp), None)
    return BootPartitions(esp, extended, places[esp].identity)


def _has_folders(path: Path) -> bool:
    return any((path / folder).is_dir() for folder in _FOLDERS)


def _partition(path: Path) -> Partition:
    """The partition that is mounted on a folder."""
    mount = ["findmnt", "--noheadings", "--raw", "--output", "SOURCE", "--mountpoint", str(path)]
    done = process.run(mount, timeout=_TIME)
    sources = [
        line for line in done.stdout.decode(errors="replace").splitlines() if line[:5] == "/dev/"
    ]
    if not sources:
        return Partition()
    look = ["lsblk", "--json", "--nodeps", "--output", "PARTTYPE,PARTUUID", sources[-1]]
    done = process.run(look, timeout=_TIME)
    if done.status:
        return Partition()
    (row,) = json.loads(done.stdout)["blockdevices"]
    return Partition(str(row.get("parttype") or "").lower(), str(row.get("partuuid") or "").lower())
