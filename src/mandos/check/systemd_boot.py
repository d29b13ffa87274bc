# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which entry systemd-boot starts next.

Sources: systemd-boot(7), loader.conf(5), and systemd's Boot Loader Interface.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mandos.check import boot_menu, loader_entries
from mandos.check.boot_entry import UnknownBootError
from mandos.check.efi_variables import UnreadableVariableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mandos.check.boot_menu import MenuEntry
    from mandos.check.boot_partitions import BootPartitions
    from mandos.check.efi_variables import Variables

_SETTINGS = "loader/loader.conf"
#: The value of "default" that means the entry of the last boot.
_SAVED = "@saved"
#: The value of "timeout" with which the menu waits for a key.
_FOREVER = "menu-force"
#: Parts of patterns that systemd-boot does not know: loader.conf(5).
_UNSUPPORTED = re.compile(r"\[[!^]|\[:")
#: How the names of entries begin that systemd-boot makes by itself, such as Windows.
_AUTOMATIC = "auto-"


class Menu(NamedTuple):
    """What systemd-boot starts: ``chosen``, and all entries in the menu's order.

    ``unmatched`` is a name or pattern that should choose the entry, and names none that there is.
    ``waits`` says that the menu waits for a key.  ``hidden`` are entries without their kernel,
    which systemd-boot does not show.
    """

    chosen: MenuEntry
    entries: list[MenuEntry]
    unmatched: str = ""
    waits: bool = False
    hidden: tuple[MenuEntry, ...] = ()


def read(partitions: BootPartitions, variables: Variables) -> Menu:
    """The menu of these partitions; raises UnknownBootError."""
    try:
        found = [entry for place in partitions.all() for entry in loader_entries.read_folder(place)]
        settings = dict(_settings(partitions))
        wanted = _wanted(settings.get("default", ""), variables)
        waits = _timeout(settings.get("timeout", ""), variables) == _FOREVER
    except OSError as error:
        raise UnknownBootError(f"{error.filename} cannot be read: {error.strerror}") from error
    except UnreadableVariableError as error:
        raise UnknownBootError(str(error)) from error
    hidden = tuple(entry for entry in found if not entry.kernel.is_file())
    entries = boot_menu.in_order(entry for entry in found if entry not in hidden)
    if not entries:
        places = " and ".join(str(path) for path in partitions.all())
        raise UnknownBootError(f"systemd-boot has no entry for Linux on {places}")
    return _chosen(entries, wanted)._replace(waits=waits, hidden=hidden)


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
        unmatched = unmatched or pattern
    return Menu(entries[0], entries, unmatched)
