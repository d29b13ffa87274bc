# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client on links of all kinds: addresses that do not match, small packets, odd routers.

What most networks have, a router and addresses of all kinds, the other tests have by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.bus import start_avahi, start_system_bus
from harness.families import ours
from harness.host import Host
from harness.keys import make_credentials
from harness.patience import Patience
from harness.peers import PORT, fetch, start_server
from harness.process import PATIENCE
from harness.vm.boot import Site

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.keys import Credentials

pytestmark = pytest.mark.peer

OURS = ours()
#: Static addresses of a server, by their kind; link-local ones it has besides.
KINDS = {
    "link_local": (),
    "unique_local": ("fd00:5::1",),
    "global": ("2001:db8:99::1",),
    "ipv4": ("192.0.2.1",),
    "all": ("fd00:5::1", "2001:db8:99::1", "192.0.2.1"),
}
#: The longest password; sealed, it is more than most packets hold.
LONG = b"password" * 256
#: A router that announces another prefix every 50 ms, and a small MTU.
ROGUE = """
import socket, struct, time
index = socket.if_nametoindex("eth0")
sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
number = 0
while True:
    number += 1
    advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    mtu = struct.pack("!BBHI", 5, 1, 0, 1280)
    prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 3600, 1800, 0,
                         socket.inet_pton(socket.AF_INET6, f"2001:db8:bad:{number % 65536:x}::"))
    sock.sendto(advertisement + mtu + prefix, ("ff02::1", 0, 0, index))
    print("sent", number, flush=True)
    time.sleep(0.05)
"""


def _server(site: Site, stack: ExitStack, keys: Credentials, kind: str, *, avahi: bool) -> Host:
    """A host with addresses of a kind, whose server is announced."""
    host = site.host()
    host.give_addresses(*KINDS[kind])
    if avahi:
        start_system_bus(host)
        start_avahi(host)
    stack.enter_context(start_server(host, OURS, keys.section, zeroconf=True))
    return host


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("own", "avahi"), [("", True), ("192.0.2.2", True), ("", False)], ids=["avahi", "ipv4", "own"]
)
def test_server_in_networks_that_the_client_is_not_in(
    client: Host, stack: ExitStack, keys: Credentials, kind: str, own: str, *, avahi: bool
) -> None:
    """There is no router; the client has no IPv6 address but its link-local one."""
    site = Site(stack, router=False)
    site.cable(client)
    if own:
        client.run("ip", "link", "set", "eth0", "up")
        client.give_addresses(own)
    _server(site, stack, keys, kind, avahi=avahi)
    assert fetch(client, OURS, keys, interface=None) == keys.password


@pytest.mark.parametrize("kind", KINDS)
def test_client_in_networks_that_the_server_is_not_in(
    client: Host, stack: ExitStack, keys: Credentials, kind: str
) -> None:
    """The same the other way round."""
    site = Site(stack, router=False)
    site.cable(client)
    client.run("ip", "link", "set", "eth0", "up")
    client.give_addresses(*KINDS[kind])
    _server(site, stack, keys, "link_local", avahi=True)
    assert fetch(client, OURS, keys, interface=None) == keys.password


def test_unique_local_server_is_named_where_the_client_has_no_such_address(
    client: Host, stack: ExitStack, keys: Credentials
) -> None:
    """--connect with an address of a network that is not announced by anything."""
    site = Site(stack, router=False)
    site.cable(client)
    host = site.host()
    host.give_addresses("fd00:1::1")
    stack.enter_context(start_server(host, OURS, keys.section))
    got = fetch(client, OURS, keys, connect=f"[fd00:1::1]:{PORT}", interface=None)
    assert got == keys.password


@pytest.mark.parametrize(("server", "ours"), [(1280, 1500), (1500, 1280), (9000, 1500)])
def test_sizes_of_packets(workshop: Host, server: int, ours: int) -> None:
    """Each end sends what the other can take, and a long password arrives whole."""
    keys = make_credentials(workshop, OURS, "long", LONG)
    with Host("server") as host, Host("client") as client:
        host.connect(client)
        for one, size in ((host, server), (client, ours)):
            one.run("ip", "link", "set", "eth0", "mtu", str(size))
        with start_server(host, OURS, keys.section) as running:
            assert fetch(client, OURS, keys, connect=running.address) == LONG


def test_router_that_announces_ever_new_prefixes(
    site: Site, client: Host, stack: ExitStack, keys: Credentials
) -> None:
    """Addresses that come all the time do not keep the client from its work."""
    site.cable(client)
    _server(site, stack, keys, "link_local", avahi=True)
    rogue = site.host().start("/usr/bin/python3", "-c", ROGUE)
    rogue.wait_for("^sent 5$")
    assert fetch(client, OURS, keys, interface=None) == keys.password


def test_server_whose_link_local_address_is_another_hosts(
    client: Host, stack: ExitStack, keys: Credentials
) -> None:
    """Duplicate address detection has taken the address away: its other ones do."""
    site = Site(stack, router=False)
    site.cable(client)
    host, other = site.host(), site.host()
    address = host.link_local()
    host.run("ip", "link", "set", "eth0", "down")
    other.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_dad")
    host.run("ip", "link", "set", "eth0", "up")
    patience = Patience(PATIENCE)
    while b"dadfailed" not in host.run("ip", "-6", "address", "show", "dev", "eth0"):
        assert not patience.is_over(), "the kernel does not mind the duplicate"
    host.give_addresses(*KINDS["all"])
    stack.enter_context(start_server(host, OURS, keys.section, zeroconf=True))
    assert fetch(client, OURS, keys, interface=None) == keys.password
