# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which kernel, image and command line GRUB boots next.

Understands the files that grub-mkconfig(8) writes: nested menus, ``set default``, and the variables
``saved_entry`` and ``next_entry`` of grub-editenv(1).  Source: the GRUB manual, sections "Simple
configuration handling", "default", "timeout", "Authentication and authorisation in GRUB", and
"Writing full configuration files directly".
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from mandos.check.loader.boot_entry import BootEntry, UnknownBootError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CONFIGURATION = "boot/grub/grub.cfg"
ENVIRONMENT = "boot/grub/grubenv"
_MENU = re.compile(r"\s*(menuentry|submenu)\s")
_LINUX = re.compile(r"\s*linux(16|efi)?\s")
_INITRD = re.compile(r"\s*initrd(16|efi)?\s")
_DEFAULT = re.compile(r"\s*set\s+default=(.*)$")
_TIMEOUT = re.compile(r"\s*(?:set\s+)?timeout=(.*)$")
_SUPERUSERS = re.compile(r"\s*(?:set\s+)?superusers=(.*)$")
_FOREVER = "-1"
_FREE_FOR_ALL = "--unrestricted"
_ID_OPTION = ("$menuentry_id_option", "--id")
#: GRUB falls back to the first entry.
_FIRST = "0"


@dataclass
class _Menu:
    """A menu, or an entry, which is a menu with a kernel."""

    title: str = ""
    identity: str = ""
    is_free_for_all: bool = False
    linux: list[str] = field(default_factory=list)
    initrd: list[str] = field(default_factory=list)
    entries: list[_Menu] = field(default_factory=list)


def next_boot(root: Path) -> BootEntry | None:
    """The entry that GRUB boots next; None where there is no GRUB.

    Raises UnknownBootError if the files do not say which one that is.
    """
    try:
        text = (root / CONFIGURATION).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnknownBootError(
            f"{root / CONFIGURATION} cannot be read: {error.strerror}"
        ) from error
    menu = _parse(text.splitlines())
    chosen = _choose(menu, _selector(text, _environment(root)))
    if not chosen.linux:
        raise UnknownBootError(f"the entry {chosen.title!r} of GRUB's menu starts no Linux kernel")
    kernel, *words = chosen.linux
    obstacle, cure = _obstacle(text.splitlines(), chosen)
    title = f"GRUB: {chosen.title}"
    return BootEntry(title, kernel, tuple(chosen.initrd), tuple(words), obstacle, cure)


def _obstacle(lines: Sequence[str], chosen: _Menu) -> tuple[str, str]:
    """The reason why a person is needed before the entry starts, and its cure; empty if none is."""
    timeouts = {_unquoted(match[1]) for match in map(_TIMEOUT.match, lines) if match}
    if timeouts <= {_FOREVER}:
        return (
            "GRUB's menu waits for a key: it has no timeout",
            "set GRUB_TIMEOUT to 0 or more in /etc/default/grub, then run update-grub",
        )
    users = [_unquoted(match[1]) for match in map(_SUPERUSERS.match, lines) if match]
    if any(users) and not chosen.is_free_for_all:
        return (
            f"GRUB asks for a user's name and password before it starts {chosen.title!r}",
            f"add {_FREE_FOR_ALL} to the menu entries in /etc/grub.d, then run update-grub",
        )
    return "", ""


def _environment(root: Path) -> dict[str, str]:
    """The variables that GRUB keeps: grub-editenv(1).  No file: none."""
    try:
        text = (root / ENVIRONMENT).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, equals, value in pairs if equals}


def _selector(text: str, environment: dict[str, str]) -> str:
    """The text that names the entry: of the next boot alone, or the default of all boots."""
    if once := environment.get("next_entry"):
        return once
    given = [_unquoted(match[1]) for match in map(_DEFAULT.match, text.splitlines()) if match]
    plain = [value for value in given if "next_entry" not in value]
    wanted = plain[0] if plain else _FIRST
    if wanted in ("${saved_entry}", "$saved_entry"):
        wanted = environment.get("saved_entry", _FIRST)
    if "$" in wanted:
        raise UnknownBootError(f"GRUB's default entry depends on the variable {wanted}")
    return wanted or _FIRST


def _unquoted(text: str) -> str:
    return text.strip().strip("\"'")


def _choose(menu: _Menu, selector: str) -> _Menu:
    """Follow a selector such as ``1>2``: positions, titles or identities of nested menus."""
    if not menu.entries:
        raise UnknownBootError("GRUB's menu has no entries")
    here = menu
    for part in selector.split(">"):
        found = _named(here.entries, part)
        if found is None:  # GRUB takes the first one then
            found = here.entries[0]
        here = found
        if not here.entries:
            break
    while here.entries:
        here = here.entries[0]
    return here


def _named(entries: Sequence[_Menu], part: str) -> _Menu | None:
    if part.isdigit():
        return entries[int(part)] if int(part) < len(entries) else None
    return next((entry for entry in entries if part in (entry.identity, entry.title)), None)


def _parse(lines: Sequence[str]) -> _Menu:
    """The tree of menus.  Braces of functions and of the shell language do not count as menus."""
    top = _Menu()
    open_menus: list[_Menu | None] = [top]
    for line in _joined(lines):
        words = _words(line)
        if _MENU.match(line):
            menu = _Menu(*_names(words), is_free_for_all=_FREE_FOR_ALL in words)
            _innermost(open_menus).entries.append(menu)
            open_menus.append(menu)
        elif _LINUX.match(line):
            _innermost(open_menus).linux = words[1:]
        elif _INITRD.match(line):
            _innermost(open_menus).initrd = words[1:]
        elif line.rstrip().endswith("{") and line.split(maxsplit=1)[0] == "function":
            open_menus.append(None)
        elif line.strip() == "}" and len(open_menus) > 1:
            open_menus.pop()
    return top


def _innermost(open_menus: Sequence[_Menu | None]) -> _Menu:
    return next(menu for menu in reversed(open_menus) if menu is not None)


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Lines without comments, those that end in a backslash joined with the next."""
    held = ""
    for line in lines:
        whole = held + line
        if whole.endswith("\\"):
            held = whole[:-1] + " "
            continue
        held = ""
        if whole.strip() and not whole.lstrip().startswith("#"):
            yield whole


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _names(words: Sequence[str]) -> tuple[str, str]:
    """The title and the identity of a menu entry."""
    title = words[1] if len(words) > 1 else ""
    for option, value in pairwise(words):
        if option in _ID_OPTION:
            return title, value
    inline = (word.partition("=")[2] for word in words if word.startswith("--id="))
    return title, next(inline, "")
