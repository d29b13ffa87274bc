# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's interfaces: real links on a switch, real servers behind them.

What a test says of the order of things is held by what it waits for, never by a time.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from harness.families import ours, reference
from harness.host import Host
from harness.network import watch_links
from harness.patience import is_readable
from harness.peers import PORT, announced, fetch, start_client
from harness.process import PATIENCE
from harness.vm.boot import Site

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from harness.families import Family
    from harness.keys import Credentials

pytestmark = pytest.mark.peer

OURS, THEIRS = ours(), reference()
#: An address where nobody is.
NOBODY4 = "192.0.2.9"
#: Lines of ``watch_links`` by which an interface is seen as switched on, and as off again.
UP, DOWN = r"\d+:{}:up", r"\d+:{}:(?!up)"
#: Prints a line each time that a file has been written (inotify(7)).  Equal events in a row would
#: be told as one, so what happens between them is asked for, too.
TELL_WRITES = """
import ctypes, os, struct, sys
IN_MODIFY, IN_CLOSE_WRITE = 0x2, 0x8
libc = ctypes.CDLL(None)
events = libc.inotify_init()
libc.inotify_add_watch(events, sys.argv[1].encode(), IN_MODIFY | IN_CLOSE_WRITE)
print("watching", flush=True)
while True:
    for _watch, kind, _cookie, _length in struct.iter_unpack("iIII", os.read(events, 4096)):
        if kind == IN_CLOSE_WRITE:
            print("written", flush=True)
"""
#: Keeps the port of a VXLAN for itself.
KEEP_PORT = """
import socket, time
keeping = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
keeping.bind(("", 4789))
print("kept", flush=True)
time.sleep(1 << 20)
"""
#: The client's other half with a clock that the test turns, on a machine to which an interface
#: comes, which then gets another name.  Prints the time in settling times, how long it would wait,
#: and what is up.
SETTLE = """
import socket, subprocess
from mandos.client.root import interface_setup as room
from mandos.client.root.interface_setup import SETTLING, _Network
from mandos.client.selection import Selection

class Clock:
    now = 0.0
    monotonic = staticmethod(lambda: Clock.now)

ours, theirs = socket.socketpair()
network = _Network(theirs, Selection([], direct=False), 0.0, (print, str))
room.time = Clock

def look(turns, *command):
    Clock.now = turns * SETTLING
    if command:
        subprocess.run(("ip", "link", *command), check=True)
    network._turn()
    patience = network._patience(Clock.now)
    network._links.update()
    links = network._links.by_index.values()
    print(turns, patience and round(patience / SETTLING / 1000, 3),
          *(link.name for link in links if link.up and not link.loopback))

network._links.update()
network._look(0, 0)
look(10, "add", "new0", "type", "bridge")
look(10.75)
look(10.75, "set", "new0", "name", "lan0")
look(11.5)
look(11.75)
"""


@pytest.mark.parametrize("family", [OURS, THEIRS], ids=["our_server", "their_server"])
def test_interface_that_was_down_is_used_and_is_down_afterwards(
    site: Site, stack: ExitStack, client: Host, keys: Credentials, family: Family
) -> None:
    """Whoever asks without any option finds the server, though nothing was configured."""
    site.cable(client)
    announced(site, stack, keys, family)
    assert fetch(client, OURS, keys, interface=None) == keys.password
    assert not client.is_up("eth0")


def test_interface_that_was_up_stays_up(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """The client takes down what it has brought up, and nothing else."""
    site.cable(client)
    site.cable(client, "eth1")
    client.run("ip", "link", "set", "eth0", "up")
    announced(site, stack, keys, OURS)
    assert fetch(client, OURS, keys, interface=None) == keys.password
    assert client.is_up("eth0")
    assert not client.is_up("eth1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_ended_by_a_signal_it_leaves_interfaces_as_they_were(
    site: Site, client: Host, keys: Credentials, number: signal.Signals
) -> None:
    """They are down, with the settings that they had, before the client has ended."""
    site.cable(client)
    optimism = "/proc/sys/net/ipv6/conf/eth0/optimistic_dad"
    links = watch_links(client)
    with start_client(client, OURS, keys, interface=None) as waiting:
        links.wait_for(UP.format("eth0"))
        assert client.run("cat", optimism) == b"1\n"
        waiting.signal(number)
        assert waiting.wait() == 128 + number, waiting.report("ended badly")
    assert not client.is_up("eth0")
    assert client.run("cat", optimism) == b"0\n"


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
        return [int(child) for child in file.read().split()]


def _wait_for_end(pid: int) -> None:
    """Return when a process that is no child of ours has gone."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert is_readable(ended, PATIENCE), f"process {pid} is still there"
    finally:
        os.close(ended)


def test_killed_it_leaves_interfaces_as_they_were(
    site: Site, client: Host, keys: Credentials
) -> None:
    """When the half that talks to servers is killed, the other one tidies up and ends, too."""
    site.cable(client)
    links = watch_links(client)
    options = ["--server", f"{NOBODY4}:{PORT}", "--debug"]
    with start_client(client, OURS, keys, interface=None, options=options) as killed:
        killed.wait_for(f"asking {NOBODY4}")
        seen = links.wait_for(UP.format("eth0"))
        parts = [part for pid in killed.pids for part in _children(pid)]
        assert len(parts) >= 2
        killed.signal(signal.SIGKILL)
        links.wait_for(DOWN.format("eth0"), after=seen)
        for part in parts:
            _wait_for_end(part)
    assert not client.is_up("eth0")


def test_only_a_named_interface_is_brought_up(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """--interface leaves the others alone."""
    site.cable(client)
    site.cable(client, "eth1")
    announced(site, stack, keys, OURS)
    links = watch_links(client)
    assert fetch(client, OURS, keys, interface="eth1") == keys.password
    seen = links.wait_for(UP.format("eth1"))
    links.wait_for(DOWN.format("eth1"), after=seen)
    assert "eth0:up" not in links.log


def test_none_brings_nothing_up(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """With --interface=none what is up is used, and the rest stays down."""
    site.cable(client)
    site.cable(client, "eth1")
    links = watch_links(client)
    client.run("ip", "link", "set", "eth1", "up")
    announced(site, stack, keys, OURS)
    assert fetch(client, OURS, keys, interface="none") == keys.password
    client.run("ip", "link", "set", "eth1", "down")
    links.wait_for(DOWN.format("eth1"), after=links.wait_for(UP.format("eth1")))
    assert "eth0:up" not in links.log


def test_names_after_none_are_used_but_not_brought_up(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """--interface=eth0,none,eth1,eth2: only eth0 is brought up, all of them are used."""
    for name in ("eth0", "eth1", "eth2"):
        (site if name == "eth2" else Site(stack)).cable(client, name)
    links = watch_links(client)
    client.run("ip", "link", "set", "eth2", "up")
    announced(site, stack, keys, OURS)
    assert fetch(client, OURS, keys, interface="eth0,none,eth1,eth2") == keys.password
    links.wait_for(DOWN.format("eth0"), after=links.wait_for(UP.format("eth0")))
    assert "eth1:up" not in links.log
    assert client.is_up("eth2")


def test_several_interfaces_are_used_at_once(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """A server on the second network is found while the first is silent."""
    Site(stack).cable(client)
    site.cable(client, "eth1")
    announced(site, stack, keys, OURS)
    assert fetch(client, OURS, keys, interface=None) == keys.password
    assert not client.is_up("eth0")
    assert not client.is_up("eth1")


@pytest.mark.parametrize("interface", [None, "lan0"], ids=["any", "named"])
@pytest.mark.parametrize("name", ["lan0", "new0"], ids=["at_once", "renamed"])
def test_interface_that_comes_late_is_brought_up(
    stack: ExitStack, client: Host, keys: Credentials, interface: str | None, name: str
) -> None:
    """A card whose driver is slow is taken in, also when udev renames it as soon as it is there."""
    first, second = Site(stack), Site(stack)
    first.cable(client)
    announced(second, stack, keys, OURS)
    rename = () if name == "lan0" else (f"link set {name} name lan0",)
    named = None if interface is None else f"eth0,{interface}"
    with start_client(client, OURS, keys, interface=named, options=["--debug"]) as waiting:
        waiting.wait_for("bringing up the network interface eth0")
        second.cable(client, name, *rename)
        assert waiting.wait() == 0, waiting.report("no password")
    assert waiting.stdout == keys.password
    assert "bringing up the network interface lan0" in waiting.log
    assert not client.is_up("lan0")


def test_interface_that_came_late_keeps_its_name_for_a_moment_first(client: Host) -> None:
    """An interface that is up cannot be renamed on older kernels; each new name begins anew."""
    printed = client.run(sys.executable, "-c", SETTLE).decode().splitlines()
    assert printed == [
        "10 1.0",
        "10.75 0.25",
        "10.75 1.0",
        "11.5 0.25",
        "11.75 None lan0",
    ]


def test_missing_interface_is_told_and_waited_for(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """A person sees why nothing happens; once the interface is there, it goes on."""
    announced(site, stack, keys, OURS)
    with start_client(client, OURS, keys) as waiting:
        waiting.wait_for("warning: the network interface eth0 does not exist; waiting for it")
        site.cable(client)
        assert waiting.wait() == 0, waiting.report("no password")
    assert waiting.stdout == keys.password


def test_cable_may_be_plugged_in_later(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """An interface without a carrier is up and waits; so does the client."""
    port = site.cable(client)
    site.plug(port, plugged=False)
    announced(site, stack, keys, OURS)
    links = watch_links(client)
    with start_client(client, OURS, keys, interface=None, options=["--delay", "0"]) as waiting:
        links.wait_for(r"\d+:eth0:up(?!,running)")
        assert waiting.running
        site.plug(port)
        assert waiting.wait() == 0, waiting.report("no password")
    assert waiting.stdout == keys.password
    assert not client.is_up("eth0")


def test_interface_that_cannot_be_switched_on_yet_is_tried_again(
    client: Host, keys: Credentials
) -> None:
    """Its firmware may be late, or what it stands on: here, its port.  A person is told once."""
    client.run(*("ip", "link", "add", "vx0", "type", "vxlan", "id", "5", "dstport", "4789"))
    links = watch_links(client)
    with client.start(sys.executable, "-c", KEEP_PORT) as keeper:
        keeper.wait_for("^kept$")
        waiting = start_client(client, OURS, keys, interface="vx0")
        waiting.wait_for("cannot bring up the network interface vx0: Address already in use")
    with waiting:
        links.wait_for(UP.format("vx0"))
        waiting.terminate()
    assert waiting.log.count("cannot bring up") == 1
    assert not client.is_up("vx0")


def test_bridge_is_brought_up_with_its_ports(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """A bridge that somebody has made is as good as a card."""
    site.cable(client)
    client.run("ip", "link", "add", "br0", "type", "bridge")
    client.run("ip", "link", "set", "eth0", "master", "br0")
    announced(site, stack, keys, OURS)
    assert fetch(client, OURS, keys, interface="eth0,br0") == keys.password
    assert not client.is_up("br0")
    assert not client.is_up("eth0")


def _without_carrier(site: Site, client: Host) -> Path:
    """Give the client a card whose cable is not plugged in; returns its console's log level."""
    site.plug(site.cable(client), plugged=False)
    client.settle("eth0")
    level = client.path("/run/printk")
    level.write_text("4\t4\t1\t7\n", encoding="ascii")
    return level


def _levels(level: Path) -> list[str]:
    return level.read_text(encoding="ascii").split()


def test_kernel_messages_are_kept_off_the_console_for_a_moment(
    site: Site, client: Host, keys: Credentials
) -> None:
    """While an interface comes up the console is quiet; afterwards it is as before.

    The host has a file of its own in place of the machine's setting.
    """
    level = _without_carrier(site, client)
    links = watch_links(client)
    with start_client(client, OURS, keys, interface=None, options=["--delay=600"]) as waiting:
        links.wait_for(UP.format("eth0"))
        assert _levels(level) == ["1", "4", "1", "7"]
        assert waiting.terminate() == 128 + signal.SIGTERM
    assert _levels(level) == ["4", "4", "1", "7"]


def test_console_is_quiet_no_longer_than_the_delay(
    site: Site, client: Host, keys: Credentials
) -> None:
    """An interface that does not come to run does not keep the kernel quiet."""
    level = _without_carrier(site, client)
    writes = client.start("/usr/bin/python3", "-IS", "-c", TELL_WRITES, "/run/printk")
    writes.wait_for("^watching$")
    with start_client(client, OURS, keys, interface=None, options=["--delay=0.05"]) as waiting:
        writes.wait_for("^written$", after=writes.wait_for("^written$"))
        assert _levels(level) == ["4", "4", "1", "7"]
        assert waiting.running
