# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads unified kernel images: one EFI program with kernel, initial RAM disk and command line.

Sources: the Unified Kernel Image specification (UAPI.5), "Multi-Profile UKIs" and "PE Addons", and
systemd-stub(7).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from mandos.check.loader import kernel_release, pe_sections
from mandos.check.loader.boot_menu import MenuEntry, kernel_words, without_counters
from mandos.check.loader.pe_sections import DamagedProgramError, Section

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "EFI/Linux"
_SUFFIX = ".efi"
_ADDON_SUFFIX = ".addon.efi"
#: Addons for all images of a partition, and for one image, behind whose name this stands.
_ADDONS, _EXTRAS = "loader/addons", ".extra.d"
_PROFILE = ".profile"
#: Sections with text have at most this many bytes that count.
_TEXT_LIMIT = 1 << 16
#: The fields of os-release(5) that give sort key and version, the first one that is there.
_SORT_KEYS = ("IMAGE_ID", "ID")
_VERSIONS = ("IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID")


class UnifiedImage(NamedTuple):
    """The sections of a unified image that a boot without further choice uses."""

    path: Path
    sections: dict[str, Section]

    def text(self, name: str) -> str:
        """The text of a section; empty if there is none.  Raises DamagedProgramError."""
        section = self.sections.get(name)
        if section is None:
            return ""
        short = section._replace(size=min(section.size, _TEXT_LIMIT))
        data = pe_sections.contents(self.path, short)
        return data.decode("utf-8", errors="surrogateescape").partition("\0")[0].strip()

    def release(self) -> str:
        """The version of its kernel; empty if the image does not say it."""
        kernel = self.sections[".linux"]
        head = kernel._replace(size=min(kernel.size, kernel_release.HEAD))
        in_kernel = kernel_release.of_image(pe_sections.contents(self.path, head))
        return self.text(".uname") or in_kernel

    def initrd(self) -> bytes:
        """Its initial RAM disk; empty if it has none.  Raises DamagedProgramError."""
        section = self.sections.get(".initrd")
        return b"" if section is None else pe_sections.contents(self.path, section)


class Found(NamedTuple):
    """The images of a partition, and what is wrong with those that are none."""

    entries: list[MenuEntry]
    problems: list[str]


def read(path: Path) -> UnifiedImage | None:
    """A unified image; None if the file is another EFI program.  Raises DamagedProgramError."""
    chosen = _of_first_profile(pe_sections.sections(path))
    return UnifiedImage(path, chosen) if ".linux" in chosen else None


def is_program(path: Path) -> bool:
    """Whether a file begins as EFI programs do, a kernel among them."""
    with path.open("rb") as file:
        return file.read(len(pe_sections.MAGIC)) == pe_sections.MAGIC


def read_folder(partition: Path) -> Found:
    """The entries of type #2 of a partition: images that say what system they are.

    Raises OSError if the folder cannot be read.
    """
    folder = partition / FOLDER
    found = Found([], [])
    if not folder.is_dir():
        return found
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.name.lower().endswith(_SUFFIX):
            continue
        try:
            image = read(file)
            if image is None or ".osrel" not in image.sections:
                found.problems.append(f"{file} is no unified kernel image")
            else:
                found.entries.append(entry_of(partition, image))
        except DamagedProgramError as error:
            found.problems.append(str(error))
    return found


def entry_of(partition: Path, image: UnifiedImage) -> MenuEntry:
    """The menu entry of an image; raises DamagedProgramError."""
    identity, tries_left = without_counters(image.path.name)
    system = _os_release(image.text(".osrel"))
    return MenuEntry(
        identity=identity + _profile(image),
        file=image.path,
        title=system.get("PRETTY_NAME", identity),
        kernel=image.path,
        images=(image.path,) if ".initrd" in image.sections else (),
        words=(*kernel_words(image.text(".cmdline")), *addon_words(partition, image)),
        version=next((system[name] for name in _VERSIONS if system.get(name)), ""),
        sort_key=next((system[name] for name in _SORT_KEYS if system.get(name)), ""),
        tries_left=tries_left,
    )


def _profile(image: UnifiedImage) -> str:
    """How the menu names the first profile of an image that has several."""
    if _PROFILE not in image.sections:
        return ""
    return f"@{_os_release(image.text(_PROFILE)).get('ID') or 0}"


def addon_words(partition: Path, image: UnifiedImage) -> tuple[str, ...]:
    """The words that addons append: those for all images, then those for this one.

    An addon for another kernel does not count.  Raises DamagedProgramError.
    """
    words: list[str] = []
    for folder in (partition / _ADDONS, image.path.with_name(image.path.name + _EXTRAS)):
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if file.name.lower().endswith(_ADDON_SUFFIX):
                    addon = UnifiedImage(file, _of_first_profile(pe_sections.sections(file)))
                    if addon.text(".uname") in ("", image.text(".uname")):
                        words += kernel_words(addon.text(".cmdline"))
    return tuple(words)


def _of_first_profile(sections: list[Section]) -> dict[str, Section]:
    """The sections before all profiles, replaced by those of the first one, the default."""
    starts = [place for place, section in enumerate(sections) if section.name == _PROFILE]
    base, profile = sections, sections[:0]
    if starts:
        end = starts[1] if len(starts) > 1 else len(sections)
        base, profile = sections[: starts[0]], sections[starts[0] : end]
    return {section.name: section for section in (*base, *profile)}


def _os_release(text: str) -> dict[str, str]:
    """The variables of os-release(5)."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name] = _unquoted(value)
    return found


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value))
    except ValueError:
        return value
