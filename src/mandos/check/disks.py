# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The encrypted disks that a boot needs, and whether a password opens them.

cryptsetup(8) tries a password without opening anything: ``open --test-passphrase``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from mandos import process
from mandos.boot.image.crypttab import CRYPTROOT, CryptDisk, read_table

#: Where an image has the table of its disks: made by the hook of cryptsetup-initramfs, or dracut.
TABLES = (CRYPTROOT, "etc/crypttab")
#: The mount points that are needed before the real root's own crypttab is read.
_NEEDED_MOUNTS = ("/", "/usr")
_TIME = 60.0
_TAGS = ("UUID", "LABEL", "PARTUUID", "PARTLABEL", "ID")
_CRYPT_NAME = re.compile(r"CRYPT-LUKS\d-([0-9a-f]{32})-(.*)")
_NO_PASSWORD = 2  # cryptsetup(8), RETURN CODES


def in_image(tree: Path, words: tuple[str, ...]) -> list[CryptDisk]:
    """The disks that an image opens, by its table and, with dracut, by the command line."""
    found: dict[str, CryptDisk] = {}
    for name in TABLES:
        path = tree / name
        if path.is_file():
            for disk in read_table(path.read_text(encoding="utf-8", errors="replace")):
                found.setdefault(disk.name, disk)
    for word in sorted(words, key=lambda word: not word.startswith("rd.luks.name=")):
        option, _equals, value = word.partition("=")
        uuid, _equals, name = value.partition("=")
        if option == "rd.luks.name" and name:
            found.setdefault(name, CryptDisk(name, f"UUID={uuid}", "none", ("luks",)))
        elif option in ("rd.luks.uuid", "rd.luks") and uuid not in ("0", "1", "no", "yes"):
            uuid = uuid.removeprefix("luks-")
            if f"UUID={uuid}" not in {disk.source for disk in found.values()}:
                disk = CryptDisk(f"luks-{uuid}", f"UUID={uuid}", "none", ())
                found.setdefault(disk.name, disk)
    return list(found.values())


def device_of(source: str) -> Path | None:
    """The block device, or file, that a crypttab's source names; None when there is none."""
    tag, equals, value = source.partition("=")
    if equals and tag in _TAGS:
        path = Path("/dev/disk", f"by-{tag.lower()}", value.strip('"'))
        if path.exists():
            return path.resolve()
        done = process.run(["blkid", "--match-token", source, "--output", "device"], timeout=_TIME)
        first = done.stdout.decode(errors="replace").splitlines()[:1]
        return Path(first[0]) if first else None
    path = Path(source)
    return path.resolve() if path.exists() else None


def asked_for(table: list[CryptDisk]) -> list[Path]:
    """The devices of this machine for which a boot asks for a password."""
    devices = (device_of(disk.source) for disk in table if disk.asks)
    return [device for device in devices if device is not None]


def opens(device: Path, password: bytes) -> bool:
    """Whether a password opens a LUKS device, which stays as it is.

    The password goes to cryptsetup's standard input alone.  Raises MachineError when the device
    cannot be read, or is none.
    """
    command = ["cryptsetup", "open", "--test-passphrase", "--key-file=-", str(device)]
    done = process.run(command, input=password, timeout=_TIME)
    if done.status == _NO_PASSWORD:
        return False
    done.require_success()
    return True


def needed_now() -> list[tuple[str, str]]:
    """The encrypted volumes below / and /usr of the running system: names and LUKS UUIDs.

    Empty where the kernel shows none, as in a change root without its disks.
    """
    command = ["lsblk", "--json", "--inverse", "--paths", "--output", "NAME,TYPE,DM-UUID"]
    found: dict[str, str] = {}
    for mount in _NEEDED_MOUNTS:
        where = process.run(["findmnt", "--noheadings", "--output", "SOURCE", mount], timeout=_TIME)
        source = where.stdout.decode(errors="replace").strip().partition("[")[0]
        if where.status or not source.startswith("/dev/"):
            continue
        done = process.run([*command, source], timeout=_TIME)
        if done.status == 0:
            _collect(json.loads(done.stdout).get("blockdevices", []), found)
    return list(found.items())


def _collect(devices: list[dict[str, object]], found: dict[str, str]) -> None:
    for device in devices:
        match = _CRYPT_NAME.match(str(device.get("dm-uuid") or ""))
        if match:
            found[match[2]] = match[1]
        children = device.get("children")
        if isinstance(children, list):
            _collect(children, found)


def without_dashes(uuid: str) -> str:
    """A UUID as device-mapper has it."""
    return uuid.replace("-", "").lower()
