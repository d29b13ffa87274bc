# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first hour: the lines of README.md and docs/installing.md, word for word, on clean systems.

A server and a client on one cable, each with a systemd of its own and nothing of Mandos; a person
types the lines, pastes the section, and sees the disk password before the reboot.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness import debian, newcomer
from harness.debian import PACKAGES, DebianMachine
from harness.families import ours
from harness.host import Host
from harness.initramfs import ImageMaker, why_no_images
from harness.peers import start_server
from harness.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(1500)
WHOLE = (pytest.mark.packages, pytest.mark.slow)

FIVE_LINES = list(newcomer.lines("README.md", "A client in five lines"))
BY_MAKE = list(newcomer.lines("docs/installing.md", "Without packages"))
BY_PACKAGES = list(newcomer.lines("docs/installing.md", "Debian packages"))
PASSWORD = "correct horse battery staple"
VERSION = "0-test"
IMAGE = f"/boot/initrd.img-{VERSION}"
#: How long one line may take on a busy machine, in seconds.
LONG = 400.0


class Pair(NamedTuple):
    """The two machines."""

    server: DebianMachine
    client: DebianMachine

    def on(self, place: str) -> list[tuple[str, DebianMachine]]:
        """The machines that a line is for."""
        return [(name, getattr(self, name)) for name in self._fields if place in (name, "both")]


def whole(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that makes and starts whole machines."""
    for mark in WHOLE:
        test = mark(test)
    return test


@pytest.fixture(params=newcomer.SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """A release of Debian."""
    if (reason := debian.why_no_debian()) is not None:
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def pair(suite: str, tmp_path: Path) -> Iterator[Pair]:
    """Two clean machines, with what a newcomer has downloaded in ``PACKAGES``."""
    newcomer.download(tmp_path / "download", suite)
    with ExitStack() as stack:
        server, client = (
            stack.enter_context(DebianMachine(newcomer.tree(suite), tmp_path / "download"))
            for _ in range(2)
        )
        server.connect(client)
        server.systemctl("start", "dbus")
        client.systemctl("start", "dbus")
        client.run("hostname", "alpha")
        server.write("/etc/hosts", f"127.0.0.1 localhost\n{client.link_local()} alpha\n")
        client.write("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 alpha\n")
        _give_kernel(client)
        yield Pair(server, client)


def _give_kernel(client: DebianMachine) -> None:
    """An initial RAM disk that is to be renewed, for a kernel that needs no modules."""
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        client.path(f"/lib/modules/{VERSION}").mkdir(parents=True, exist_ok=True)
        client.write(f"/lib/modules/{VERSION}/{name}", "")
    client.path("/boot").mkdir(exist_ok=True)
    client.write(f"/boot/vmlinuz-{VERSION}", "no kernel")
    client.write(f"/boot/config-{VERSION}", "CONFIG_RD_ZSTD=y\nCONFIG_RD_GZIP=y\n")
    client.run("update-initramfs", "-c", "-k", VERSION)


def start(machine: Host, command: str) -> Process:
    """Type a line, in the folder with the download if there is one."""
    return machine.start(
        *("sh", "-c", f"cd {PACKAGES} 2>/dev/null; {command}"),
        environment={"DEBIAN_FRONTEND": "noninteractive"},
    )


def type_line(machine: Host, command: str, typed: str = "") -> Process:
    """Type a line, and what it asks for; return it once it has ended well."""
    process = start(machine, command)
    process.send(typed.encode())
    assert process._popen.stdin is not None
    process._popen.stdin.close()
    status = process.wait(LONG)
    assert status == 0, process.report(f"exit status {status}")
    return process


def follow_readme(pair: Pair) -> None:
    """Type the five lines where they belong; see the password, and the image with the client."""
    section = ""
    for place, command in FIVE_LINES:
        ((_name, machine),) = pair.on(place)
        typed = ""
        if command.startswith("mandos-keygen"):
            typed = f"{PASSWORD}\n"
        elif command.startswith("install "):
            typed = section
        shown = type_line(machine, command, typed)
        if command.startswith("mandos-keygen"):
            section = shown.stdout.decode()
            assert "key_id" in section, shown.report("no section")
        elif command.startswith("mandos-client"):
            assert shown.stdout.decode() == PASSWORD, shown.report("no password")
        assert "mandos-image: warning" not in shown.log, shown.report("a false alarm")
    listed = pair.client.run("lsinitramfs", IMAGE).decode()
    assert "plugins.d/mandos-client" in listed
    assert "conf/conf.d/mandos/seckey.txt" in listed
    assert pair.client.run("stat", "--format=%U %a", IMAGE).decode() == "root 600\n"
    assert pair.server.show("mandos", "ActiveState") == "active"
    assert "alpha" in pair.server.run("mandos-ctl").decode()


def test_there_are_five_lines() -> None:
    """As the heading says; each has its place."""
    assert len(FIVE_LINES) == 5
    assert {line.on for line in FIVE_LINES} == {"server", "client"}
    assert [line.command.split()[0] for line in FIVE_LINES] == [
        *("mandos-keygen", "install", "mandos", "update-initramfs", "mandos-client")
    ]
    assert {"server", "client", "both"} == {line.on for line in BY_MAKE}


@pytest.mark.peer
@pytest.mark.usefixtures("_possible")
def test_the_client_lines() -> None:
    """The same lines of a client where its programs are installed, in a moment."""
    if (reason := why_no_images()) is not None:
        pytest.skip(reason)
    sealing, trying = (line.command for line in FIVE_LINES if line.command.startswith("mandos-"))
    with Host("server") as server, ImageMaker() as client:
        server.connect(client)
        client.install()
        client.run("mandos-keygen", "--name=alpha", "--type=ed25519", "--subtype=cv25519")
        section = type_line(client, f"{sealing} --name=alpha", f"{PASSWORD}\n").stdout.decode()
        with start_server(server, ours(), section, zeroconf=True):
            shown = type_line(client, trying)
    assert shown.stdout.decode() == PASSWORD


@whole
def test_by_make_install(pair: Pair) -> None:
    """On systems without Python: make says what is missing, and what it says mends it."""
    for _name, machine in pair.on("both"):
        missing = start(machine, "tools/needs /usr/bin/python3 build/libraries ''")
        assert missing.wait() == 1
        assert missing.log.splitlines() == [
            "mandos: /usr/bin/python3 is not installed: apt install python3"
        ]
    for place, command in BY_MAKE:
        for _name, machine in pair.on(place):
            type_line(machine, command)
    follow_readme(pair)


@whole
def test_make_says_what_is_missing(suite: str, tmp_path: Path) -> None:
    """A line for each thing, and the command that gets it; neither a traceback nor pip's words."""
    newcomer.download(tmp_path / "download", suite)
    with DebianMachine(newcomer.tree(suite), tmp_path / "download") as machine:
        machine.apt_get("install", "make", "python3")
        machine.run("sh", "-c", "rm -f /usr/lib/*/libgnutls.so.30*")  # apt needs it on bookworm
        for target in ("demo", "install LIBRARIES=build/other"):
            process = start(machine, f"make {target}")
            assert process.wait(LONG) != 0
            said = [line for line in process.log.splitlines() if not line.startswith("make: ")]
            assert len(said) == 2, process.log
            assert "apt install python3-venv" in said[0]
            assert re.fullmatch(r"mandos: GnuTLS 3\.6\.6 .*: apt install libgnutls30", said[1])


@whole
def test_by_packages(pair: Pair, suite: str, tmp_path: Path) -> None:
    """The keys are there after the installation, and so is the image with the client."""
    debian.build_packages(tmp_path / "download" / "dist", suite)
    for place, command in BY_PACKAGES:
        for _name, machine in pair.on(place):
            if command != "make deb":  # that was the line above: it needs a package index
                type_line(machine, command)
    assert "plugins.d/mandos-client" in pair.client.run("lsinitramfs", IMAGE).decode()
    follow_readme(pair)
