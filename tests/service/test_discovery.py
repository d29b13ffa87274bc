# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finder and announcer on real links: hosts joined by a cable, real Avahi, loopback alone."""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_avahi, start_system_bus
from harness.host import Host, why_impossible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.process import Process

#: Prints every endpoint found on the named interfaces (all usable ones when none is), for ever.
FIND = """
import selectors, socket, sys, time
from mandos.discovery.finder import Finder
from mandos.discovery.sockets import usable_interfaces
interfaces = [socket.if_nametoindex(name) for name in sys.argv[1:]] or usable_interfaces()
finder = Finder(interfaces, lambda message: print(message, flush=True))
selector = selectors.DefaultSelector()
for sock in finder.sockets:
    selector.register(sock, selectors.EVENT_READ)
print("looking", flush=True)
while True:
    finder.tick(time.monotonic())
    for key, _ in selector.select(finder.deadline(time.monotonic()) - time.monotonic()):
        for found in finder.readable(key.fileobj):
            print("found", found.name, found.address, found.interface, found.port, flush=True)
"""
#: Before FIND: hears direct answers alone, however long it takes.
DIRECTLY = """
from mandos.discovery import finder as room
room.DIRECT_QUERIES = 1 << 30
room.Channel.join = lambda *_: None
"""
#: Announces port 4711 on the named interfaces (all when none is) until SIGTERM.
ANNOUNCE = """
import asyncio, logging, signal, socket, sys
from mandos.discovery import announce, announcement
logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
async def main():
    interfaces = tuple(socket.if_nametoindex(name) for name in sys.argv[1:])
    wanted = announcement.Announcement(4711, interfaces=interfaces, ipv4=True)
    announcer = announce.Announcer(wanted, lambda name: print("named", name, flush=True))
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await announcer.start()
    print("started", flush=True)
    await end.wait()
    await announcer.stop()
asyncio.run(main())
"""
#: Sends 200 packets a second until it is killed: expensive names, questions without end, garbage.
FLOOD = """
import itertools, os, socket, struct, sys, time
link = socket.if_nametoindex(sys.argv[1])
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.bind(("", 5353))
service = b"".join(bytes([len(part)]) + part for part in (b"_mandos", b"_tcp", b"local")) + bytes(1)
names = service + struct.pack("!HHIH", 12, 1, 1, 2) + struct.pack("!H", 0xC000 | 12)
long = b"\\x01a" * 126 + bytes(1) + struct.pack("!HHIH", 16, 1, 1, 0)
pointer = struct.pack("!H", 0xC000 | 12)
packets = (
    struct.pack("!6H", 0, 0x8400, 0, 501, 0, 0)
    + long + (pointer + struct.pack("!HHIH", 12, 1, 1, 2) + pointer) * 500,
    struct.pack("!6H", 0, 0, 80, 0, 0, 0) + (service + struct.pack("!HH", 12, 1)) * 80,
    struct.pack("!6H", 0, 0x8400, 0, 300, 0, 0) + names * 30,
    os.urandom(1400),
)
print("flooding", flush=True)
for packet in itertools.cycle(packets):
    sock.sendto(packet, ("ff02::fb", 5353, 0, link))
    time.sleep(1 / 200)
"""
PROGRAMS = ("dbus-daemon", "avahi-daemon", "avahi-publish", "avahi-browse")
BROWSE = ("avahi-browse", "--resolve", "--parsable", "_mandos._tcp")

impossible = why_impossible()
missing = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(impossible is not None, reason=impossible or "")
needs_avahi = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def alone() -> Iterator[Host]:
    """Return a host with nothing but loopback."""
    with Host("alone") as host:
        yield host


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """Return two hosts, joined by a cable between their interfaces eth0."""
    with ExitStack() as stack:
        server, client = (stack.enter_context(Host(name)) for name in ("server", "client"))
        server.connect(client)
        yield server, client


@pytest.fixture
def avahi_hosts(hosts: tuple[Host, Host]) -> tuple[Host, Host, Process]:
    """Return the two hosts and the Avahi of the first, which has a system bus too."""
    start_system_bus(hosts[0])
    return (*hosts, start_avahi(hosts[0]))


def found_at(server: Host, name: str = "Mandos") -> str:
    """The line of a finder that has found the server, at whichever address is said first."""
    return f"^found {name} ({'|'.join(server.every_address())}) [0-9]+ 4711$"


def find(host: Host, *interfaces: str) -> Process:
    """Start to look for servers on a host."""
    return host.start(sys.executable, "-c", FIND, *interfaces)


def announce(host: Host, *interfaces: str) -> Process:
    """Start to announce a server on a host."""
    return host.start(sys.executable, "-c", ANNOUNCE, *interfaces)


def test_both_meet_on_loopback_alone(alone: Host) -> None:
    """On a machine without a network, a named loopback interface is enough for both."""
    finder = find(alone, "lo")
    announce(alone, "lo").wait_for("^named Mandos$")
    finder.wait_for("^found Mandos 127.0.0.1 0 4711$")
    finder.wait_for("^found Mandos ::1 0 4711$")


def test_announcer_takes_loopback_when_there_is_nothing_else(alone: Host) -> None:
    """With no interface named and no network, the announcement is made on loopback."""
    announce(alone).wait_for("^named Mandos$")
    find(alone, "lo").wait_for("^found Mandos 127.0.0.1 0 4711$")


def test_embedded_announcement_crosses_the_link(hosts: tuple[Host, Host]) -> None:
    """Without Avahi on either side the server's link-local IPv6 address is found."""
    server, client = hosts
    announce(server).wait_for("^named Mandos$")
    finder = find(client)
    finder.wait_for(f"^found Mandos {server.link_local()} [1-9][0-9]* 4711$")


def test_server_that_comes_later_is_found(hosts: tuple[Host, Host]) -> None:
    """A client that waits hears a new server announce itself; and again after a goodbye."""
    server, client = hosts
    finder = find(client)
    finder.wait_for("^looking$")
    first = announce(server)
    seen = finder.wait_for("^found Mandos fe80::")
    first.wait_for("^named Mandos$")
    assert first.terminate() == 0
    announce(server)
    finder.wait_for("^found Mandos fe80::", after=seen)


def test_announcer_and_finder_outlive_a_flood(hosts: tuple[Host, Host]) -> None:
    """A stranger's 200 hostile packets a second keep no server from being found."""
    server, client = hosts
    with client.start(sys.executable, "-c", FLOOD, "eth0") as stranger:
        stranger.wait_for("^flooding$")
        announcer = announce(server)
        announcer.wait_for("^named Mandos$")
        for _search in range(3):
            with find(client, "eth0") as finder:
                finder.wait_for(found_at(server))
        assert announcer.running
        assert stranger.running


def test_second_embedded_server_renames_itself(hosts: tuple[Host, Host]) -> None:
    """The newer of two servers on a link becomes ``Mandos #2``, and both are found."""
    server, client = hosts
    announce(server).wait_for("^named Mandos$")
    announce(client).wait_for("^named Mandos #2$")
    finder = find(client)
    finder.wait_for(f"^found Mandos {server.link_local()} ")
    finder.wait_for(f"^found Mandos #2 {client.link_local()} ")


def test_only_the_named_interface_announces(hosts: tuple[Host, Host]) -> None:
    """A server told to use loopback says nothing on the cable."""
    server, client = hosts
    finder = find(client)
    finder.wait_for("^looking$")
    announce(server, "lo").wait_for("^named Mandos$")
    announce(client).wait_for("^named Mandos$")
    finder.wait_for(f"^found Mandos {client.link_local()} ")
    assert server.link_local() not in finder.log


def test_interface_that_comes_up_later_is_used_by_both(hosts: tuple[Host, Host]) -> None:
    """An address that appears after the start is announced, and asked from."""
    server, client = hosts
    for host in hosts:
        host.run("ip", "link", "set", "eth0", "down")
    finder = find(client, "eth0")
    finder.wait_for("cannot ask over IPv6")
    announce(server, "eth0").wait_for("no interface to announce on")
    for host in hosts:
        host.run("ip", "link", "set", "eth0", "up")
    finder.wait_for(f"^found Mandos {server.link_local()} ")


def test_interface_that_comes_later_keeps_the_name(hosts: tuple[Host, Host]) -> None:
    """A server does not take itself for another one, and tells each link its own address there."""
    server, client = hosts
    announcer = announce(server)
    seen = announcer.wait_for("^named Mandos$")
    first = find(client, "eth0")
    first.wait_for(f"^found Mandos {server.link_local()} ")
    server.connect(client, "eth1")
    second = find(client, "eth1")
    seen = announcer.wait_for("^named ", after=seen)
    assert announcer.lines[seen - 1] == "named Mandos"
    second.wait_for(f"^found Mandos {server.link_local('eth1')} ")
    assert announcer.terminate() == 0
    announce(server, "eth0", "eth1").wait_for("^named Mandos$")
    assert server.link_local() not in second.log
    assert server.link_local("eth1") not in first.log


def test_finder_survives_the_end_of_its_interface(hosts: tuple[Host, Host]) -> None:
    """An interface that vanishes is reported and dropped; the others are still asked."""
    server, client = hosts
    finder = find(client, "eth0", "lo")
    finder.wait_for("^looking$")
    server.run("ip", "link", "delete", "eth0")
    finder.wait_for("^discovery: interface [0-9]+: cannot ask over IPv6")
    announce(client, "lo").wait_for("^named Mandos$")
    finder.wait_for("^found Mandos 127.0.0.1 ")


@needs_avahi
def test_finder_finds_what_avahi_announces(avahi_hosts: tuple[Host, Host, Process]) -> None:
    """A service published by Avahi is found, whatever it is called, at each address that it has.

    Avahi leaves link-local addresses out when there are others.
    """
    server, client, _ = avahi_hosts
    published = server.start("avahi-publish", "--service", "My server", "_mandos._tcp", "4711")
    published.wait_for("Established under name")
    finder = find(client)
    for address in server.addresses(number=2):
        finder.wait_for(f"^found My server {address} 0 4711$")


@needs_avahi
@pytest.mark.parametrize("avahi", [True, False], ids=["avahi", "embedded"])
def test_link_local_addresses_alone_are_enough(*, avahi: bool) -> None:
    """On a link without a router, where nobody has configured anything."""
    with Host("server") as server, Host("client") as client:
        server.connect(client, link_local_only=True)
        if avahi:
            start_system_bus(server)
            start_avahi(server)
        announce(server).wait_for("^named Mandos$")
        find(client).wait_for(f"^found Mandos {server.link_local()} [1-9][0-9]* 4711$")


@needs_avahi
@pytest.mark.parametrize("address", ["2001:db8::1", "fd00::1", "192.0.2.1"])
@pytest.mark.parametrize("avahi", [True, False], ids=["avahi", "embedded"])
def test_direct_answer_from_an_address_in_no_network_of_ours(address: str, *, avahi: bool) -> None:
    """A neighbour that has a static address answers from it; a client without one takes that.

    It hears nothing else, so that an announcement to all cannot stand for the answer.
    """
    with Host("server") as server, Host("client") as client:
        server.connect(client, link_local_only=True)
        server.give_addresses(address)
        if ":" not in address:
            client.give_addresses("203.0.113.9")
            server.run("ip", "route", "add", "203.0.113.9/32", "dev", "eth0")
        if avahi:
            start_system_bus(server)
            start_avahi(server)
        announce(server).wait_for("^named Mandos$")
        finder = client.start(sys.executable, "-c", DIRECTLY + FIND)
        finder.wait_for(f"^found Mandos {address} 0 4711$")


@needs_avahi
def test_announcement_by_avahi(avahi_hosts: tuple[Host, Host, Process]) -> None:
    """With Avahi on the bus it makes the announcement, which its own browser sees, and ours."""
    server, client, _ = avahi_hosts
    announcer = announce(server)
    announcer.wait_for("announced as 'Mandos' by Avahi")
    server.start(*BROWSE).wait_for(r"^=;eth0;IPv6;Mandos;_mandos\._tcp;local;.*;4711;")
    finder = find(client)
    seen = finder.wait_for(found_at(server))
    assert announcer.terminate() == 0
    announce(server)
    finder.wait_for(found_at(server), after=seen)


@needs_avahi
def test_avahi_restart_announces_again(avahi_hosts: tuple[Host, Host, Process]) -> None:
    """When avahi-daemon comes back the service is announced anew, under the same name."""
    server, client, avahi = avahi_hosts
    announcer = announce(server)
    finder = find(client)
    seen = announcer.wait_for("^named Mandos$")
    heard = finder.wait_for("^found Mandos ")
    avahi.terminate()
    start_avahi(server)
    announcer.wait_for("^named Mandos$", after=seen)
    finder.wait_for("^found Mandos ", after=heard)


@needs_avahi
def test_rename_by_avahi_on_the_link(avahi_hosts: tuple[Host, Host, Process]) -> None:
    """A name held by another host makes the announcement by Avahi take the next ones."""
    server, client, _ = avahi_hosts
    announce(client).wait_for("^named Mandos$")
    announce(server).wait_for("^named Mandos #2$")


@needs_avahi
def test_rename_within_one_avahi(avahi_hosts: tuple[Host, Host, Process]) -> None:
    """A name held by another program of the same Avahi does so too."""
    server, _, _ = avahi_hosts
    for name in ("Mandos", "Mandos #2"):
        published = server.start("avahi-publish", "--service", name, "_mandos._tcp", "1")
        published.wait_for("Established under name")
    announce(server).wait_for("^named Mandos #3$")


@needs_avahi
def test_embedded_yields_to_avahi(hosts: tuple[Host, Host]) -> None:
    """An Avahi that starts after the server takes the announcement over, under the same name."""
    server, client = hosts
    start_system_bus(server)
    announcer = announce(server)
    seen = announcer.wait_for("^named Mandos$")
    start_avahi(server)
    announcer.wait_for("announced as 'Mandos' by Avahi", after=seen)
    find(client).wait_for(found_at(server))


@needs_avahi
def test_announcer_does_without_an_avahi_that_stays_away(
    avahi_hosts: tuple[Host, Host, Process],
) -> None:
    """When Avahi ends for good, the announcement is made without it; so too when the bus does."""
    server, client, avahi = avahi_hosts
    announcer = announce(server)
    announcer.wait_for("announced as 'Mandos' by Avahi")
    avahi.terminate()
    announcer.wait_for("announced as 'Mandos' by this program")
    find(client).wait_for(found_at(server))


@needs_avahi
def test_announcer_outlives_the_bus(avahi_hosts: tuple[Host, Host, Process]) -> None:
    """A bus that ends is no reason to end: the announcement is made without it."""
    server, _, avahi = avahi_hosts
    bus = next(process for process in server._processes if "dbus-daemon" in process.command)
    announcer = announce(server)
    announcer.wait_for("announced as 'Mandos' by Avahi")
    bus.signal(signal.SIGKILL)
    avahi.wait()
    announcer.wait_for("announced as 'Mandos' by this program")
