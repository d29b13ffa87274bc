# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name servers of a boot, by the image's files and the kernel command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mandos.check.names import NameServers, Resolver, UnknownNameError, at_boot

if TYPE_CHECKING:
    from pathlib import Path

#: Scripts of images, by their generator; each has to do with the file.
WRITERS = {"tools": "scripts/functions", "dracut": "sbin/ifup"}
HERE = ["192.0.2.53"]
CASES: list[tuple[str, str, list[str]]] = [
    # initramfs-tools sets the network up only for mandos=connect; the last fields are the servers.
    ("tools", "ip=dhcp", []),
    ("tools", "mandos=connect", HERE),
    ("tools", "mandos=connect ip=dhcp", HERE),
    ("tools", "mandos=connect:keeper:4711 ip=::::h:eth0:dhcp", HERE),
    ("tools", "mandos=connect ip=192.0.2.9::192.0.2.1:24:h:eth0:off", []),
    ("tools", "mandos=connect ip=192.0.2.9::192.0.2.1:24:h:eth0:off:192.0.2.7", ["192.0.2.7"]),
    ("tools", "mandos=connect ip=192.0.2.9:::24:h:eth0:off:192.0.2.7:192.0.2.8:",
     ["192.0.2.7", "192.0.2.8"]),
    ("tools", "mandos=connect nameserver=192.0.2.7 ip=192.0.2.9:::24:h:eth0:off", []),
    # dracut: dracut.cmdline(7).
    ("dracut", "quiet", []),
    ("dracut", "ip=eth0:dhcp", HERE),
    ("dracut", "ip=192.0.2.9::192.0.2.1:24:h:eth0:none nameserver=192.0.2.7", ["192.0.2.7"]),
    ("dracut", "ip=[fd00::9]::[fd00::1]:64:h:eth0:none:[fd00::7]", ["fd00::7"]),
    ("dracut", "ip=192.0.2.9::192.0.2.1:24:h:eth0:none nameserver=[fd00::7]", ["fd00::7"]),
    # The machine's own name server does not run at boot.
    ("dracut", "ip=192.0.2.9::192.0.2.1:24:h:eth0:none nameserver=127.0.0.1", []),
]  # fmt: skip


def _machine(folder: Path) -> Path:
    """A running system whose resolver is systemd-resolved."""
    for name, server in (("run/systemd/resolve", HERE[0]), ("etc", "127.0.0.53")):
        (folder / name).mkdir(parents=True)
        (folder / name / "resolv.conf").write_text(f"nameserver {server}\n", encoding="ascii")
    return folder


def _image(folder: Path, generator: str = "tools", *, writes: bool = True) -> Path:
    (folder / "etc").mkdir(parents=True)
    script = folder / WRITERS[generator]
    script.parent.mkdir()
    script.write_text("echo >/etc/resolv.conf\n" if writes else "true\n", encoding="ascii")
    return folder


@pytest.mark.parametrize(("generator", "words", "servers"), CASES)
def test_servers_that_the_boot_gets(
    tmp_path: Path, generator: str, words: str, servers: list[str]
) -> None:
    """By ip= and nameserver=, or from the network, as far as the running system knows."""
    tree = _image(tmp_path / "image", generator)
    found = at_boot(tree, words.split(), _machine(tmp_path / "machine"))
    assert found.servers == servers


def test_image_whose_scripts_write_no_file(tmp_path: Path) -> None:
    """Debian 12's initramfs-tools: there is no name server, also with one in ip=."""
    tree = _image(tmp_path / "image", writes=False)
    (tree / "sbin").mkdir()  # Debian's DHCP client brings this one, which nothing runs
    (tree / "sbin/dhclient-script").write_text("echo >/etc/resolv.conf\n", encoding="ascii")
    words = ["mandos=connect", "ip=::::h:eth0:dhcp:192.0.2.7"]
    assert at_boot(tree, words, _machine(tmp_path / "machine")) == NameServers([], None)


def test_network_manager_writes_the_file(tmp_path: Path) -> None:
    """Dracut's module network-manager has the program instead of scripts."""
    tree = _image(tmp_path / "image", "dracut", writes=False)
    (tree / "usr/sbin").mkdir(parents=True)
    (tree / "usr/sbin/NetworkManager").touch()
    assert at_boot(tree, ["ip=dhcp"], _machine(tmp_path / "machine")).servers == HERE


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 192.0.2.7\n# nameserver 192.0.2.8\n", ["192.0.2.7"]),
        ("nameserver 127.0.0.53\n", []),
        ("nameserver ::1\nnameserver fd00::7\n", ["fd00::7"]),
        ("search example.org\n", []),
    ],
)
def test_file_of_the_image(tmp_path: Path, text: str, servers: list[str]) -> None:
    """A hook put it there, and the boot leaves it."""
    tree = _image(tmp_path / "image")
    (tree / "etc/resolv.conf").write_text(text, encoding="ascii")
    assert at_boot(tree, [], _machine(tmp_path / "machine")) == NameServers(servers, None)


def test_link_in_the_image_leads_nowhere(tmp_path: Path) -> None:
    """A link to the running system's file is not followed: the target is not there at boot."""
    machine = _machine(tmp_path / "machine")
    tree = _image(tmp_path / "image")
    (tree / "etc/resolv.conf").symlink_to(machine / "run/systemd/resolve/resolv.conf")
    assert at_boot(tree, [], machine).servers == []


def test_image_whose_etc_leads_to_the_machine(tmp_path: Path) -> None:
    """The machine's own file stays as it is, and the name counts as unknown."""
    machine = _machine(tmp_path / "machine")
    before = (machine / "etc/resolv.conf").read_bytes()
    tree = _image(tmp_path / "image")
    (tree / "etc").rmdir()
    (tree / "etc").symlink_to(machine / "etc")
    resolver = Resolver(tree, ["mandos=connect"], machine)
    with pytest.raises(UnknownNameError, match="leads out of the image"):
        resolver.look_up("localhost")  # known without a network
    assert (machine / "etc/resolv.conf").read_bytes() == before


def test_resolver_file_that_is_a_folder(tmp_path: Path) -> None:
    """No image has that, and none shall end the check with a traceback."""
    tree = _image(tmp_path / "image")
    (tree / "etc/resolv.conf").mkdir()
    resolver = Resolver(tree, ["mandos=connect"], _machine(tmp_path / "machine"))
    with pytest.raises(UnknownNameError, match="Is a directory"):
        resolver.look_up("localhost")  # known without a network
