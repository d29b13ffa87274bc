# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds network settings that cannot work at boot, on the machine that makes the image.

Network interfaces are named in three places: DEVICE of initramfs.conf, options of mandos-client in
plugin-runner.conf, and the kernel command line.  A name is reported when this machine has no such
interface.  Nothing is reported where the image may be for another machine: in a change root or a
container, or where no network card is seen at all.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mandos.client import settings as client_settings
from mandos.client.selection import NONE
from mandos.interfaces import interface_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_RUNNING = "the command line of the running kernel"
_GRUB_LINE = re.compile(r"^\s*(?:export\s+)?(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)=(.*)$", re.MULTILINE)
_GRUB_VARIABLE = re.compile(r"\$\{?(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)\b\}?")
#: The boot loader's own configuration is made of these; later files win.
_GRUB_FILES = ("etc/default/grub", "etc/default/grub.d/*.cfg")
_LOADER_FILES = ("etc/kernel/cmdline",)
#: IFNAMSIZ, linux/if.h, without the byte at the end.
_NAME = re.compile(r"[^\s:/\[\]]{1,15}")
#: Words that make interfaces or rename them: dracut.cmdline(7), initramfs-tools(7).
_MAKING = ("bond=", "bridge=", "ifname=", "team=", "vlan=")
#: These give network cards other names at the next boot than they have now.
_RENAMING = re.compile(r"(net\.ifnames|biosdevname)=")
#: The fields of ip= in the form of the kernel's, of which the sixth is the interface.
_IP_FIELDS = 6
_IP_FIELDS_LIMIT_OF_SHORT_FORM = 4


class Named(NamedTuple):
    """An interface that a setting names, and the place of that setting."""

    name: str
    place: str


class Machine:
    """This machine, as far as an image depends on it; another root directory is for tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def is_target(self) -> bool:
        """Whether an image that is made here is for this very machine."""
        return not self._is_container() and not self._is_change_root() and bool(self.cards())

    def cards(self) -> list[str]:
        """The network interfaces with hardware behind them."""
        folders = (self._root / "sys/class/net").glob("*/device")
        return sorted(folder.parent.name for folder in folders)

    def has(self, name: str) -> bool:
        """Whether there is an interface of this name, which may be an alternative one."""
        return (self._root / "sys/class/net" / name).exists() or interface_index(name) != 0

    def command_lines(self) -> dict[str, list[str]]:
        """The words for the kernel, by their place."""
        found = {place: words for place, words in self._configured() if words}
        if (running := self._text("proc/cmdline")) and not self._is_container():
            found[_RUNNING] = running.split()
        return found

    def configured_command_lines(self) -> dict[str, list[str]]:
        """The same words without those that may have been typed for this one boot."""
        return {place: words for place, words in self._configured() if words}

    def _configured(self) -> Iterator[tuple[str, list[str]]]:
        variables: dict[str, tuple[str, str]] = {}
        for file in self._files(_GRUB_FILES):
            for name, value in _GRUB_LINE.findall(self._text(file)):
                earlier = {known: text for known, (_place, text) in variables.items()}
                variables[name] = (f"{name} in /{file}", _shell_value(value, earlier))
        for place, text in variables.values():
            yield place, text.split()
        for file in self._files(_LOADER_FILES):
            yield f"/{file}", self._text(file).split()

    def _files(self, patterns: Iterable[str]) -> Iterator[str]:
        for pattern in patterns:
            for path in sorted(self._root.glob(pattern)):
                yield str(path.relative_to(self._root))

    def _text(self, name: str) -> str:
        try:
            return (self._root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _is_container(self) -> bool:
        marks = ("run/systemd/container", "run/.containerenv")
        return any((self._root / mark).exists() for mark in marks)

    def _is_change_root(self) -> bool:
        """Whether the first process has another root directory, or / is nothing mounted."""
        mounts = self._text("proc/self/mountinfo").splitlines()
        if not any(line.split(" ")[4:5] == ["/"] for line in mounts):
            return True
        try:
            return not (self._root / "proc/1/root").samefile(self._root)
        except OSError:
            return True


def missing_interfaces(machine: Machine, named: Iterable[Named], hooks: Path) -> dict[str, str]:
    """The names that this machine has no interface for, each with the places that name it."""
    if not machine.is_target():
        return {}
    lines = machine.command_lines()
    words = {word for line in lines.values() for word in line}
    if any(_RENAMING.match(word) for word in words - set(lines.get(_RUNNING, []))):
        return {}
    making = " ".join(word for word in words if word.startswith(_MAKING))
    making += _texts(hooks)
    found: dict[str, list[str]] = {}
    for name, place in named:
        known = machine.has(name) or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", making)
        if not known and place not in found.setdefault(name, []):
            found[name].append(place)
    return {name: " and ".join(places) for name, places in found.items() if places}


def named_on_command_lines(machine: Machine, *, dracut: bool) -> Iterator[Named]:
    """The interfaces that ``ip=`` names, by the grammar of the generator's own boot scripts."""
    for place, words in machine.command_lines().items():
        for word in words:
            if word.startswith("ip=") and (name := ip_interface(word[3:], dracut=dracut)):
                yield Named(name, f"ip= in {place}")


def ip_interface(value: str, *, dracut: bool) -> str:
    """The interface in the value of ``ip=``, empty without one.

    nfsroot.rst of Linux and dracut.cmdline(7): colons inside brackets separate nothing; dracut
    also takes INTERFACE:METHOD.
    """
    fields = re.sub(r"\[[^\]]*\]", "address", value).split(":")
    name = ""
    if len(fields) >= _IP_FIELDS:
        name = fields[_IP_FIELDS - 1]
    elif dracut and 1 < len(fields) <= _IP_FIELDS_LIMIT_OF_SHORT_FORM:
        name = fields[0]
    return name if _NAME.fullmatch(name) else ""


def named_by_client_options(arguments: list[str], place: str) -> Iterator[Named]:
    """The interfaces in options of mandos-client: of --interface, and after a percent sign."""
    given, _errors = client_settings.COMMAND_LINE.parse_lenient(arguments)
    for text in given.all("interface"):
        for name in text.split(","):
            if name not in ("", NONE):
                yield Named(name, f"--interface in {place}")
    for option in ("connect", "server"):
        for text in given.all(option):
            name = text.rpartition(":")[0].removesuffix("]").partition("%")[2]
            if name:
                yield Named(name, f"--{option} in {place}")


def _shell_value(text: str, variables: dict[str, str]) -> str:
    """Evaluate the right side of a shell assignment, as far as boot loaders use the syntax."""
    text = _GRUB_VARIABLE.sub(lambda match: variables.get(match[1], ""), text)
    try:
        return " ".join(shlex.split(text, comments=True))
    except ValueError:  # a quote that ends on a later line
        return text.strip(" \"'")


def _texts(folder: Path) -> str:
    """Return the text of all files of a folder, for a search."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return " ".join(file.read_bytes().decode(errors="replace") for file in files if file.is_file())
