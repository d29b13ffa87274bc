# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's ways to servers: how they are named, what leads to them, and which holds up none."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.host import Host
from harness.peers import PORT, announced, fetch, start_client, start_server
from harness.vm.boot import Site

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.keys import Credentials

pytestmark = pytest.mark.peer

OURS = ours()
#: The server's addresses beside its link-local one, the client's in the same networks, and one
#: where nobody is.
SERVER4, CLIENT4, NOBODY4 = "192.0.2.1", "192.0.2.2", "192.0.2.9"
SERVER6, CLIENT6 = "2001:db8::1", "2001:db8::2"


@pytest.mark.parametrize("connect", [f"{SERVER4}:{PORT}", None], ids=["connect", "zeroconf"])
def test_ipv4_alone_is_enough(
    site: Site, stack: ExitStack, client: Host, keys: Credentials, connect: str | None
) -> None:
    """Without IPv6 an interface that has an IPv4 address does."""
    site.cable(client)
    client.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
    client.give_addresses(CLIENT4)
    host = site.host()
    host.give_addresses(SERVER4)
    stack.enter_context(start_server(host, OURS, keys.section, zeroconf=connect is None))
    assert fetch(client, OURS, keys, connect=connect, interface=None) == keys.password


#: How a server may be named to --connect, and to --interface beside it.
NAMED = {
    "ipv6": (f"[{SERVER6}]:{PORT}", None),
    "ipv6_without_brackets": (f"{SERVER6}:{PORT}", None),
    "ipv4": (f"{SERVER4}:{PORT}", None),
    "link_local_with_scope": (f"{{link_local}}%eth1:{PORT}", None),
    "link_local_with_interface": (f"{{link_local}}:{PORT}", "eth1"),
    "link_local_anywhere": (f"[{{link_local}}]:{PORT}", None),
    "host": (f"keeper.example:{PORT}", None),
    "link_local_host": (f"near:{PORT}", None),
    "link_local_host_with_scope": (f"near%eth1:{PORT}", None),
}


@pytest.mark.parametrize("named", NAMED)
def test_ways_to_name_a_server(
    site: Site, stack: ExitStack, client: Host, keys: Credentials, named: str
) -> None:
    """Every form of address leads to the server on the second of two interfaces."""
    Site(stack).cable(client)
    site.cable(client, "eth1")
    host = site.host()
    host.give_addresses(SERVER4, SERVER6)
    client.give_addresses(CLIENT4, CLIENT6, interface="eth1")
    near = host.link_local()
    names = client.path("/run/hosts")
    names.write_text(f"{SERVER4} keeper.example\n{near} near\n", encoding="ascii")
    client.run("mount", "--bind", "/run/hosts", "/etc/hosts")
    stack.enter_context(start_server(host, OURS, keys.section))
    connect, interface = NAMED[named]
    connect = connect.format(link_local=near)
    assert fetch(client, OURS, keys, connect=connect, interface=interface) == keys.password


def test_several_servers_may_be_named(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """Each --connect is asked; one that is not there holds up no other."""
    site.cable(client)
    host = site.host()
    host.give_addresses(SERVER4)
    client.give_addresses(CLIENT4)
    stack.enter_context(start_server(host, OURS, keys.section))
    options = ["--connect", f"{SERVER4}:{PORT}"]
    connect = f"{NOBODY4}:{PORT}"
    assert fetch(client, OURS, keys, connect=connect, options=options) == keys.password


def test_server_that_is_not_announced_is_asked_beside_those_that_are(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """--server names one more: here the announced one refuses, and is asked too."""
    site.cable(client)
    refusing = site.host()
    section = f"{keys.section}enabled = no\n"
    server = stack.enter_context(start_server(refusing, OURS, section, zeroconf=True))
    host = site.host()
    where = f"{host.link_local()}:{PORT}"
    with start_client(client, OURS, keys, interface=None, options=["--server", where]) as asking:
        server.wait_for("refused .* client alpha.* disabled")
        with start_server(host, OURS, keys.section):
            assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout == keys.password


def test_announced_server_is_found_while_a_named_one_is_dead(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """--server does not replace the search, as --connect does."""
    site.cable(client)
    client.give_addresses(CLIENT4)
    announced(site, stack, keys, OURS)
    options = ["--server", f"{NOBODY4}:{PORT}"]
    assert fetch(client, OURS, keys, interface=None, options=options) == keys.password


def test_server_that_hangs_holds_up_no_other(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """One server is stopped when it is asked, and stays so; a later one gives the password.

    The first is announced by Avahi, which goes on; the second host has no Avahi and no D-Bus.
    """
    site.cable(client)
    host = site.host(avahi=True)
    hanging = stack.enter_context(start_server(host, OURS, keys.section, zeroconf=True))
    hanging.process.signal(signal.SIGSTOP)
    with start_client(client, OURS, keys, interface=None, options=["--debug"]) as asking:
        asking.wait_for(f"asking .?({'|'.join(host.every_address())})")
        announced(site, stack, keys, OURS)
        assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout == keys.password
    assert "sent the secret" not in host.syslog.log


#: Addresses in no network of the client's, beside one that it has; and how its own routes show.
OFF_LINK = {"ipv6": ("2001:db8:5::1", "-6"), "ipv4": ("203.0.113.1", "-4")}


def _routes(client: Host, family: str, address: str) -> bytes:
    return client.run("ip", family, "route", "show", address)


def _host_elsewhere(site: Site, address: str) -> Host:
    """A host on the switch with an address that no route of the client's leads to."""
    host = site.host()
    host.give_addresses(address)
    host.run("ip", "route", "add", f"{CLIENT4}/32", "dev", "eth0")
    return host


@pytest.mark.parametrize("family", OFF_LINK)
def test_neighbour_that_no_route_leads_to_is_reached(
    site: Site, stack: ExitStack, client: Host, keys: Credentials, family: str
) -> None:
    """A server that is on the link after all gets a route of its own, which goes with the client.

    The client has no rights by then: the other half makes the route.
    """
    address, routes = OFF_LINK[family]
    site.cable(client)
    client.run("ip", "link", "set", "eth0", "up")
    client.give_addresses(CLIENT4)
    host = _host_elsewhere(site, address)
    stack.enter_context(start_server(host, OURS, keys.section))
    options = ["--connect", f"[{address}]:{PORT}", "--debug"]
    with start_client(client, OURS, keys, interface=None, options=options) as asking:
        assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout.endswith(keys.password)
    assert "made a route over eth0" in asking.log
    assert _routes(client, routes, address) == b""
    assert client.is_up("eth0")


@pytest.mark.parametrize("family", OFF_LINK)
def test_neighbour_is_looked_for_on_every_interface(
    site: Site, stack: ExitStack, client: Host, keys: Credentials, family: str
) -> None:
    """A route over the wrong interface gives way to one over the next."""
    address, routes = OFF_LINK[family]
    empty = Site(stack)
    empty.cable(client)
    site.cable(client, "eth1")
    client.give_addresses("198.51.100.2")
    client.give_addresses(CLIENT4, interface="eth1")
    host = _host_elsewhere(site, address)
    stack.enter_context(start_server(host, OURS, keys.section))
    options = ["--connect", f"[{address}]:{PORT}", "--debug"]
    with start_client(client, OURS, keys, interface=None, options=options) as asking:
        asking.wait_for("made a route over eth0")
        asking.wait_for("made a route over eth1")
        assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout.endswith(keys.password)
    for card in ("eth0", "eth1"):
        client.run("ip", "link", "set", card, "up")
    assert _routes(client, routes, address) == b""


def test_route_that_comes_late_is_not_hidden(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """A server behind a router is taken for a neighbour only until that proves wrong.

    The router answers for its address on this network alone, and is known after a while.
    """
    address = "203.0.113.1"
    site.cable(client)
    client.give_addresses(CLIENT4)
    router = site.host()
    router.give_addresses(SERVER4)
    router.run("ip", "address", "add", address, "dev", "lo")
    router.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_ignore")
    stack.enter_context(start_server(router, OURS, keys.section))
    options = ["--connect", f"{address}:{PORT}", "--debug"]
    with start_client(client, OURS, keys, interface=None, options=options) as asking:
        asking.wait_for("made a route over eth0")
        client.run("ip", "route", "add", "203.0.113.0/24", "via", SERVER4)
        assert asking.wait() == 0, asking.report("no password")
    assert asking.stdout.endswith(keys.password)


def test_foreign_route_stays(site: Site, client: Host, keys: Credentials) -> None:
    """A route to the server that was there before is neither made anew nor taken away."""
    site.cable(client)
    client.run("ip", "link", "set", "eth0", "up")
    client.give_addresses(CLIENT4)
    address = "203.0.113.1"
    client.run("ip", "route", "add", "unreachable", address)
    options = ["--connect", f"{address}:{PORT}", "--debug"]
    with start_client(client, OURS, keys, interface=None, options=options) as asking:
        asking.wait_for(f"{address}:{PORT}: cannot connect")
        asking.wait_for(f"asking {address}", after=asking.wait_for(f"asking {address}"))
        asking.terminate()
    assert b"unreachable" in _routes(client, "-4", address)


#: Addresses that no route is made to, and a route of the administrator's that none may get round.
FORBIDDEN = {
    "link_local": ("169.254.169.254", ()),
    "network_that_is_forbidden": ("203.0.113.1", ("unreachable", "203.0.113.0/24")),
    "network_that_is_routed": ("203.0.113.1", ("203.0.113.0/24", "via", NOBODY4)),
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_stranger_gets_no_route_of_his_choosing(
    site: Site, client: Host, keys: Credentials, kind: str
) -> None:
    """To a special address, or beside a route that leads there already; root looks itself."""
    address, route = FORBIDDEN[kind]
    site.cable(client)
    client.run("ip", "link", "set", "eth0", "up")
    client.give_addresses(CLIENT4)
    if route:
        client.run("ip", "route", "add", *route)
    before = client.run("ip", "route")
    options = ["--connect", f"{address}:{PORT}", "--debug"]
    with start_client(client, OURS, keys, interface=None, options=options) as asking:
        seen = 0
        for _time in range(3):
            seen = asking.wait_for(f"{address}:{PORT}: cannot connect", after=seen)
        assert client.run("ip", "route") == before
        assert "made a route" not in asking.log
        asking.terminate()
