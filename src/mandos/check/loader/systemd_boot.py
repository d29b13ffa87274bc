# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which entry systemd-boot starts next.

Sources: systemd-boot(7), loader.conf(5), and systemd's Boot Loader Interface.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mandos.check.loader import boot_menu, loader_entries, unified_images
from mandos.check.loader.boot_entry import UnknownBootError
from mandos.check.loader.efi_variables import UnreadableVariableError
from mandos.check.loader.pe_sections import DamagedProgramError
from mandos.errors import MandosError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mandos.check.loader.boot_menu import MenuEntry
    from mandos.check.loader.boot_partitions import BootPartitions
    from mandos.check.loader.efi_variables import Variables

_SETTINGS = "loader/loader.conf"
#: The value of "default" that means the entry of the last boot.
_SAVED = "@saved"
#: The value of "timeout" with which the menu waits for a key.
_FOREVER = "menu-force"
#: Parts of patterns that systemd-boot does not know: loader.conf(5).
_UNSUPPORTED = re.compile(r"\[[!^]|\[:")
#: How the names of entries begin that systemd-boot makes by itself, such as Windows.
_AUTOMATIC = "auto-"
#: How names of profiles of a unified image begin behind the file's name.
_PROFILE = ".efi@"


class NoEntryError(MandosError):
    """The menu has no entry that starts Linux; ``problems`` says why entries do not count."""

    def __init__(self, message: str, problems: Sequence[str]) -> None:
        super().__init__(message)
        self.problems = problems


class Menu(NamedTuple):
    """What systemd-boot starts: ``chosen``, and all entries in the menu's order.

    ``unmatched`` is a name or pattern that should choose the entry, and names none that there is.
    ``waits`` says that the menu waits for a key.  ``hidden`` has the reasons for
    which systemd-boot does not show other entries.
    """

    chosen: MenuEntry
    entries: list[MenuEntry]
    unmatched: str = ""
    waits: bool = False
    hidden: Sequence[str] = ()


def read(partitions: BootPartitions, variables: Variables) -> Menu:
    """The menu of these partitions; raises UnknownBootError."""
    try:
        found, problems = _entries(partitions, variables)
        settings = dict(_settings(partitions))
        wanted = _wanted(settings.get("default", ""), variables)
        waits = _timeout(settings.get("timeout", ""), variables) == _FOREVER
    except OSError as error:
        raise UnknownBootError(f"{error.filename} cannot be read: {error.strerror}") from error
    except UnreadableVariableError as error:
        raise UnknownBootError(str(error)) from error
    for entry in found:
        if not entry.kernel.is_file():
            problems.append(f"{entry.file} names {entry.kernel}, which does not exist")
    entries = boot_menu.in_order(entry for entry in found if entry.kernel.is_file())
    if not entries:
        places = " and ".join(str(path) for path in partitions.all())
        raise NoEntryError(f"systemd-boot has no entry for Linux on {places}", problems)
    return _chosen(entries, wanted)._replace(waits=waits, hidden=problems)


def _entries(partitions: BootPartitions, variables: Variables) -> tuple[list[MenuEntry], list[str]]:
    """All entries of both types, and the problems of files that are none."""
    entries: list[MenuEntry] = []
    problems: list[str] = []
    for place in partitions.all():
        simple = loader_entries.read_folder(place)
        entries += (_with_unified_image(entry, place, variables) for entry in simple)
        unified = unified_images.read_folder(place)
        entries += unified.entries
        problems += unified.problems
    return entries, problems


def _with_unified_image(entry: MenuEntry, place: Path, variables: Variables) -> MenuEntry:
    """An entry of type #1, with initial RAM disk and words of the unified image that it starts.

    The entry's options replace the words in the image, unless secure boot is on: systemd-stub(7).
    """
    try:
        if not entry.kernel.is_file() or not unified_images.is_program(entry.kernel):
            return entry
        image = unified_images.read(entry.kernel)
        if image is None:
            return entry
        words = unified_images.entry_of(place, image).words
        if entry.words and not (".cmdline" in image.sections and variables.secure_boot()):
            words = (*entry.words, *unified_images.addon_words(place, image))
    except DamagedProgramError as error:
        return entry._replace(problem=str(error))
    images = (image.path,) if ".initrd" in image.sections else ()
    return entry._replace(images=images, words=words)


def _settings(partitions: BootPartitions) -> list[tuple[str, str]]:
    try:
        text = (partitions.esp / _SETTINGS).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    return loader_entries.pairs(text)


def _wanted(setting: str, variables: Variables) -> list[str]:
    """The names and patterns that choose the entry, the strongest first."""
    once = variables.loader_text("LoaderEntryOneShot")
    default = variables.loader_text("LoaderEntryDefault")
    wanted = [once, default, setting]
    if _SAVED in (default, setting):
        last = variables.loader_text("LoaderEntryLastBooted")
        wanted = [once, last, default, setting]
    return [name for name in wanted if name and name != _SAVED]


def _timeout(setting: str, variables: Variables) -> str:
    once = variables.loader_text("LoaderConfigTimeoutOneShot")
    return once or variables.loader_text("LoaderConfigTimeout") or setting


def _chosen(entries: list[MenuEntry], wanted: Sequence[str]) -> Menu:
    unmatched = ""
    for pattern in wanted:
        if _UNSUPPORTED.search(pattern):
            raise UnknownBootError(f"systemd-boot does not support the pattern {pattern!r}")
        entry = boot_menu.first_match(entries, pattern)
        if entry is not None:
            return Menu(entry, entries, unmatched)
        if pattern.lower().startswith(_AUTOMATIC):
            raise UnknownBootError(f"systemd-boot is to start {pattern}, which is no Linux")
        if _PROFILE in pattern.lower():
            raise UnknownBootError(
                f"systemd-boot is to start {pattern}; only the first profile of an image is read"
            )
        unmatched = unmatched or pattern
    return Menu(entries[0], entries, unmatched)
