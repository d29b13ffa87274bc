# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks host names up as the client does at boot: in the image, with its files and name servers.

A boot has a name server in two cases only: the image has a file /etc/resolv.conf, or its scripts
write one from ``ip=`` (initramfs-tools from Debian 13 on, dracut).  A server on the machine itself,
such as systemd-resolved, does not run at boot.
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, NamedTuple

from mandos.check.confined import Confined
from mandos.errors import MachineError, MandosError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: The client, whose first line names the image's interpreter.
_CLIENT = "lib/mandos/plugins.d/mandos-client"
_RESOLVER = "etc/resolv.conf"
#: Where the running system has the name servers that it got from the network: systemd-resolved(8)
#: keeps them beside the file that programs read.
_FROM_NETWORK = ("run/systemd/resolve/resolv.conf", _RESOLVER)
#: Scripts that set the network up, as patterns; those of initramfs-tools, then of dracut.
_INITRAMFS_TOOLS = "scripts/functions"
_DRACUT = ("sbin/ifup", "sbin/dhclient-script", "usr/sbin/ifup", "usr/sbin/dhclient-script",
           "usr/lib/net-lib.sh", "lib/net-lib.sh")  # fmt: skip
#: A program of dracut's module network-manager, which writes the file itself.
_NETWORK_MANAGER = ("usr/sbin/NetworkManager", "usr/libexec/nm-initrd-generator",
                    "usr/lib/NetworkManager/nm-initrd-generator")  # fmt: skip
_SERVER_LINE = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)
#: Fields of ip= by nfsroot.rst of Linux: the way to an address, and two name servers.
_WAY, _NAME_SERVERS = 6, slice(7, 9)
_STATIC = ("off", "none", "static", "done")
#: Seconds that a look-up may take, as at boot.
_TIME = 15.0
_LIMIT = 1 << 12
_NOBODY = 65534
#: The same call as the client's (``client/unprivileged/resolver``); names go as bytes.
_PROGRAM = """\
import _socket, sys
try:
    found = _socket.getaddrinfo(sys.argv[1].encode(), None, 0, _socket.SOCK_STREAM)
except OSError as error:
    print(error.strerror)
    sys.exit(1)
print(*dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found), sep="\\n")
"""


class UnknownNameError(MandosError):
    """A name has no address at boot."""


class NameServers(NamedTuple):
    """The name servers of a boot, without those that run on the machine itself.

    ``written`` is the contents that /etc/resolv.conf has at boot, None when the boot leaves it.
    """

    servers: list[str]
    written: str | None


class Resolver:
    """Looks names up in one unpacked image, which is furnished, for a kernel command line."""

    def __init__(self, tree: Path, words: Sequence[str], root: Path) -> None:
        self._tree = tree
        self._words = words
        self._root = root

    def look_up(self, host: str) -> list[str]:
        """The addresses of a host, the preferred first; raises UnknownNameError with the cure."""
        name_servers = at_boot(self._tree, self._words, self._root)
        try:
            _arrange(self._tree, name_servers)
            return self._ask_image(host, own_network=not name_servers.servers)
        except MachineError as error:
            why = str(error)
        here = _addresses_here(host)
        if not name_servers.servers:
            why = f"the image has no name server ({why})"
        known = f"; this system knows it, as {here}" if here else ""
        cure = f"name the server by its address, {here}, and renew the image" if here else None
        raise UnknownNameError(f"{host}: {why}{known}", cure)

    def _ask_image(self, host: str, *, own_network: bool) -> list[str]:
        """Look a name up with the image's own Python and C library; raises MachineError."""
        python = _interpreter(self._tree)
        reading, writing = os.pipe()
        try:
            program = Confined(
                self._tree, lambda: [python, "-IS", "-c", _PROGRAM, host],
                output=writing, own_network=own_network, prepare=_give_root_up,
            )  # fmt: skip
        except MachineError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        with os.fdopen(reading, "rb") as answer, program:
            if not program.wait(_TIME):
                raise MachineError(f"no answer within {_TIME:g} seconds")
            status = program.end()
            said = answer.read(_LIMIT).decode(errors="replace").strip()
        if status or not said:
            raise MachineError(said or "the image's Python does not run")
        return said.split()


def at_boot(tree: Path, words: Sequence[str], root: Path) -> NameServers:
    """The name servers that programs of the image have when it boots with these words."""
    given = list(_given(tree, words, root))
    if given:
        return NameServers(_elsewhere(given), "".join(f"nameserver {one}\n" for one in given))
    file = tree / _RESOLVER
    if file.is_file() and not file.is_symlink():
        return NameServers(_elsewhere(_servers_in(file)), None)
    return NameServers([], None)


def _given(tree: Path, words: Sequence[str], root: Path) -> Iterator[str]:
    """The servers that the image's own scripts write into /etc/resolv.conf."""
    by_tools = (tree / _INITRAMFS_TOOLS).exists()
    by_manager = any((tree / program).exists() for program in _NETWORK_MANAGER)
    if not (by_manager or _mentions_file(tree, (_INITRAMFS_TOOLS,) if by_tools else _DRACUT)):
        return
    ways = [word[3:] for word in words if word.startswith("ip=")]
    connects = any(word == "mandos=connect" or word.startswith("mandos=connect:") for word in words)
    if not (connects or ways) or (by_tools and not connects):
        return
    if not by_tools:
        yield from (word.partition("=")[2].strip("[]") for word in words
                    if word.startswith("nameserver="))  # fmt: skip
    automatic = not ways
    for way in ways:
        fields = _fields(way)
        yield from (field for field in fields[_NAME_SERVERS] if field)
        automatic |= len(fields) <= _WAY or fields[_WAY] not in _STATIC
    if automatic:
        yield from _of_this_network(root)


def _fields(value: str) -> list[str]:
    """Fields of ip=: colons separate them, except inside the brackets of an IPv6 address."""
    return [field.strip("[]") for field in re.findall(r"(?:^|:)((?:\[[^\]]*\]|[^:\[])*)", value)]


def _of_this_network(root: Path) -> list[str]:
    """The name servers that this network gives, as far as the running system has them."""
    for name in _FROM_NETWORK:
        if found := _elsewhere(_servers_in(root / name)):
            return found
    return []


def _servers_in(file: Path) -> list[str]:
    try:
        return _SERVER_LINE.findall(file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return []


def _elsewhere(servers: Iterable[str]) -> list[str]:
    """Without those on this machine: loopback addresses, and the unspecified one."""
    return [one for one in servers if not one.startswith(("127.", "0.", "::1")) and one != "::"]


def _mentions_file(tree: Path, names: Sequence[str]) -> bool:
    """Whether one of these scripts has to do with /etc/resolv.conf."""
    files = (tree / name for name in names)
    return any(b"resolv.conf" in file.read_bytes() for file in files if file.is_file())


def _arrange(tree: Path, name_servers: NameServers) -> None:
    """Make the image's /etc/resolv.conf that of the boot; raises MachineError."""
    file = tree / _RESOLVER
    if name_servers.written is None:
        return
    if not file.parent.resolve().is_relative_to(tree.resolve()):
        raise MachineError("the image's /etc is a link that leads out of the image")
    try:
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(name_servers.written, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"the image's /{_RESOLVER}: {error.strerror}") from error


def _interpreter(tree: Path) -> str:
    """The Python of the image's client; raises MachineError."""
    try:
        with (tree / _CLIENT).open("rb") as file:
            first = file.readline(256)
    except OSError as error:
        raise MachineError(f"the image's client cannot be read: {error.strerror}") from error
    return os.fsdecode(first.removeprefix(b"#!").split(b" ")[0].strip())


def _give_root_up() -> None:
    """As the client does before it looks names up."""
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)


def _addresses_here(host: str) -> str:
    """The preferred address by the running system; empty if there is none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ""
    return str(found[0][4][0])
