# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the images of all kernels anew, each by the program that makes it on this machine.

An image is an initial RAM disk, or a unified kernel image, which has the kernel as well.  One in
the place of the other does not boot.  Sources: update-initramfs(8), dracut(8), dracut.conf(5),
kernel-install(8).
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, NamedTuple

from mandos import process
from mandos.check.loader import kernels, pe_sections, unified_images
from mandos.errors import MachineError
from mandos.rotation import folders

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mandos.check.loader.boot_entry import Boot

#: Commands that make the images of all kernels anew; the first one that is installed is used.
_UPDATE = ("update-initramfs", "-u", "-k", "all")
_DRACUT = ("dracut", "--force")
_ALL = "--regenerate-all"
_UNIFIED, _NOT_UNIFIED = "--uefi", "--no-uefi"
_KERNEL_INSTALL = "kernel-install"
_LAYOUT = re.compile(r"layout: *(\w+)", re.IGNORECASE)  # of kernel-install inspect
#: An image that update-initramfs has not put into its place yet.
_BOOT, _UNFINISHED = "boot", "initrd.img-*.new"
#: Folder of each kernel that an image can be made for, and the places of its file.
_MODULES = "lib/modules"
_KERNELS = ("boot/vmlinuz-{}", "lib/modules/{}/vmlinuz")
#: A file of the second folder replaces one of the first that has the same name.
_DRACUT_CONF = "etc/dracut.conf"
_DRACUT_FOLDERS = ("usr/lib/dracut/dracut.conf.d", "etc/dracut.conf.d")
_SETTING = re.compile(r"^\s*(\w+)=\s*[\"']?([^\"'#\n]*)", re.MULTILINE)
#: Sections without which an image does not boot as the one before it did.
_NEEDED = (".linux", ".initrd", ".osrel", ".cmdline")
_TIME = 3600.0  # seconds; slow machines with many kernels
_INSPECT_TIME = 60.0
#: Seconds that a program has for its clean-up when this one is ended.
_PATIENCE = 15.0


class Plan(NamedTuple):
    """Images by their makers.

    dracut makes ``plain`` initial RAM disks and ``unified`` images (version, file), kernel-install
    makes the unified images of ``added`` kernels (version, kernel).
    """

    plain: dict[Path, str]
    unified: dict[Path, str]
    added: dict[str, Path]


def plan(root: Path) -> Plan:
    """Find the maker of each image.  Raises MachineError if one is unknown."""
    found = kernels.boots(root)
    result = Plan({}, {}, {})
    for boot in (*([found.next] if found.next else []), *found.others):
        if boot.image is None or not boot.image.is_file():
            continue
        can_be_made = (root / _MODULES / boot.name).is_dir()
        if _is_program(boot.image) and (can_be_made or boot is found.next):
            _plan_unified(root, boot, boot.image.resolve(), result)
        elif can_be_made:
            result.plain[boot.image.resolve()] = boot.name
    has_maker = any(map(shutil.which, (_UPDATE[0], _DRACUT[0])))
    if not has_maker and (result.plain or not result.added):
        raise MachineError("neither update-initramfs nor dracut is installed")
    return result


def _plan_unified(root: Path, boot: Boot, image: Path, result: Plan) -> None:
    """Find the maker of a unified image, and of the initial RAM disk that is put into it."""
    version = boot.name
    files = [root / place.format(version) for place in _KERNELS]
    kernel = next((file for file in files if file.is_file()), None)
    settings = _dracut_settings(root)
    is_signed = pe_sections.is_signed(image)
    if kernel is not None and _kernel_install_layout(version, kernel) == "uki":
        result.added[version] = kernel
        for name in kernels.IMAGES:
            plain = root / _BOOT / name.format(version)
            if plain.is_file():
                result.plain[plain.resolve()] = version
    elif (
        shutil.which(_DRACUT[0])
        and settings.get("uefi") == "yes"
        and (not is_signed or settings.get("uefi_secureboot_cert"))
        and (root / _MODULES / version).is_dir()
    ):
        result.unified[image] = version
    else:
        raise MachineError(
            f"{image} is a unified kernel image, and it is unknown which program makes it",
            "with kernel-install, set layout=uki in /etc/kernel/install.conf, and see that"
            f" /boot/vmlinuz-{version} exists; with dracut, set uefi=yes in /etc/dracut.conf, and"
            " uefi_secureboot_cert if the image is signed",
        )


def renew(root: Path) -> None:
    """Make all images anew.  Raises MachineError and OSError; then the old ones are in place."""
    planned = plan(root)
    if shutil.which(_UPDATE[0]):
        try:
            _make(_UPDATE)
        except BaseException:
            for file in (root / _BOOT).glob(_UNFINISHED):  # an update-initramfs that was ended
                file.unlink(missing_ok=True)
            raise
    else:
        _renew_by_dracut(root, planned)
    for image, version in planned.unified.items():
        _make_beside((*_DRACUT, _UNIFIED), version, image)
    for version, kernel in planned.added.items():
        _make((_KERNEL_INSTALL, "add", version, str(kernel)))


def _renew_by_dracut(root: Path, planned: Plan) -> None:
    command: Sequence[str] = _DRACUT
    if _dracut_settings(root).get("uefi") == "yes":
        command = (*_DRACUT, _NOT_UNIFIED)
    for image, version in planned.plain.items():
        _make_beside(command, version, image)
    if not any(planned):
        _make((*_DRACUT, _ALL))


def _make_beside(command: Sequence[str], version: str, image: Path) -> None:
    """Make an image by dracut, and put it into its place only when it is whole.

    dracut(8) itself writes over the old image, and removes it when the disk is full.
    """
    new = image.with_name(f".{image.name}.new")
    try:
        _make((*command, str(new), version))
        _require_same_kind(new, image)
        folders.sync(new)
        folders.move(new, image)
    finally:
        new.unlink(missing_ok=True)


def _require_same_kind(new: Path, old: Path) -> None:
    """Raise MachineError if an image would not be started as the one that it replaces."""
    sections, needed = _sections(new), _sections(old)
    lost = [name for name in _NEEDED if name in needed and name not in sections]
    if needed and pe_sections.is_signed(old) and not pe_sections.is_signed(new):
        lost.append("its signature")
    if lost or bool(sections) != bool(needed):
        raise MachineError(
            f"dracut made another kind of image than {old}, which stays as it is:"
            f" {', '.join(lost) or 'a unified kernel image'}"
            f" {'is missing' if lost else 'came for an initial RAM disk'}"
        )


def _sections(image: Path) -> set[str]:
    """The sections of a unified image; none if it is an initial RAM disk."""
    found = unified_images.read(image) if _is_program(image) else None
    return set(found.sections) if found is not None else set()


def _is_program(image: Path) -> bool:
    try:
        return unified_images.is_program(image)
    except OSError as error:
        raise MachineError(f"{image} cannot be read: {error.strerror}") from error


def _kernel_install_layout(version: str, kernel: Path) -> str:
    """The kind of entries that kernel-install makes; empty if it is not installed or too old.

    Some of its versions want a kernel's version and file, others the file alone.
    """
    if not shutil.which(_KERNEL_INSTALL):
        return ""
    for words in ((version, str(kernel)), (str(kernel),)):
        done = process.run((_KERNEL_INSTALL, "inspect", *words), timeout=_INSPECT_TIME)
        found = _LAYOUT.search(done.stdout.decode(errors="replace"))
        if found and done.status == 0:
            return found[1]
    return ""


def _dracut_settings(root: Path) -> dict[str, str]:
    """The settings in dracut's files that are one assignment, as dracut.conf(5) orders them."""
    files = {
        file.name: file for folder in _DRACUT_FOLDERS for file in (root / folder).glob("*.conf")
    }
    paths = [root / _DRACUT_CONF, *(files[name] for name in sorted(files))]
    texts = [path.read_text(errors="replace") for path in paths if path.is_file()]
    return {name: value.strip() for name, value in _SETTING.findall("\n".join(texts))}


def _make(command: Sequence[str]) -> None:
    process.run(command, timeout=_TIME, patience=_PATIENCE).require_success()
