# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client while nothing comes: it goes on, says why in few lines, and disturbs no one else.

The times are the real ones where they are ten seconds; longer ones are turned by hand.
"""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.network import watch_links
from harness.patience import Patience
from harness.peers import PORT, announced, client_command, start_client, start_server
from harness.process import PATIENCE

if TYPE_CHECKING:
    from contextlib import ExitStack

    from harness.host import Host
    from harness.keys import Credentials
    from harness.process import Process
    from harness.vm.boot import Site

pytestmark = pytest.mark.peer

OURS = ours()
CLIENT4, SERVER4, NOBODY4 = "192.0.2.2", "192.0.2.1", "192.0.2.9"
IPCONFIG = "/usr/lib/klibc/bin/ipconfig"
UP = r"\d+:{}:up"
#: A router that announces a prefix once (RFC 4861, section 4.2; RFC 4862).
ANNOUNCE = """
import socket, struct
card = socket.if_nametoindex("eth0")
router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, card)
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0)
prefix += socket.inet_pton(socket.AF_INET6, "2001:db8:7::")
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
router.sendto(message, ("ff02::1", 0, 0, card))
"""
#: The client with shorter times for names of interfaces.
IMPATIENT = """
import sys
from mandos.client import selection
selection.MISSING_TIME = selection.NO_LINK_TIME = {seconds}
from mandos.client.main import main
sys.exit(main(sys.argv[1:]))
"""


def _notices(client: Process) -> list[str]:
    """What the client has told a person at the console."""
    start = "mandos-client: notice: "
    return [line.removeprefix(start) for line in client.lines if line.startswith(start)]


def _impatient(client: Host, keys: Credentials, *options: str, seconds: float = 1.0) -> Process:
    _program, *words = client_command(client, OURS, keys, interface=None)
    text = IMPATIENT.format(seconds=seconds)
    return client.start(sys.executable, "-c", text, *words, *options)


def _got(client: Process, keys: Credentials) -> None:
    assert client.wait() == 0, client.report("no password")
    assert client.stdout == keys.password


@pytest.fixture
def served(site: Site, stack: ExitStack, client: Host, keys: Credentials) -> Host:
    """A server on the switch at the usual port, not announced; the client's card is down."""
    site.cable(client)
    host = site.host()
    stack.enter_context(start_server(host, OURS, keys.section))
    return host


def test_interface_that_does_not_exist_keeps_no_machine_from_booting(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """After ten seconds all others are brought up and used, with one line for a person."""
    site.cable(client)
    announced(site, stack, keys, OURS)
    with start_client(client, OURS, keys, interface="eno1") as waiting:
        _got(waiting, keys)
    told = "the network interface eno1 does not exist; using all others too (eth0)"
    assert _notices(waiting) == [told]
    assert not client.is_up("eth0")


@pytest.mark.parametrize("scope", ["", "%eno1"], ids=["interface", "in_the_address"])
def test_link_local_server_on_an_interface_that_does_not_exist(
    served: Host, client: Host, keys: Credentials, scope: str
) -> None:
    """The name of an interface in an address, or beside it, is as little of an obstacle."""
    connect = f"--connect=[{served.link_local()}{scope}]:{PORT}"
    named = () if scope else ("--interface=eno1",)
    with _impatient(client, keys, connect, *named) as waiting:
        _got(waiting, keys)
    (told,) = _notices(waiting)
    assert "eno1" in told
    assert not client.is_up("eth0")


def test_named_interface_without_a_cable(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """The cable may be in another card than the one that is named."""
    port = site.cable(client)
    site.plug(port, plugged=False)
    client.settle("eth0")
    site.cable(client, "eth1")
    announced(site, stack, keys, OURS)
    with _impatient(client, keys, "--interface=eth0") as waiting:
        _got(waiting, keys)
    told = "the network interface eth0 has no link; using all others too (eth1)"
    assert _notices(waiting) == [told]
    assert not client.is_up("eth0")
    assert not client.is_up("eth1")


def test_named_interface_with_a_cable_is_the_only_one(
    served: Host, site: Site, client: Host, keys: Credentials
) -> None:
    """Whoever names an interface that works means it, however long no server answers there."""
    del served
    site.cable(client, "eth1")
    links = watch_links(client)
    with _impatient(client, keys, "--interface=eth0", seconds=0.5) as waiting:
        waiting.wait_for("waiting for a Mandos server to announce itself on eth0 .ready.$")
        assert "eth1:up" not in links.log
        waiting.terminate()


def test_none_holds_when_names_match_nothing(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """--interface=eno1,none: in the end what is up is used, and still nothing is brought up."""
    site.cable(client)
    site.cable(client, "eth1")
    client.run("ip", "link", "set", "eth1", "up")
    announced(site, stack, keys, OURS)
    links = watch_links(client)
    with _impatient(client, keys, "--interface=eno1,none") as waiting:
        _got(waiting, keys)
    assert "eth0:up" not in links.log
    assert client.is_up("eth1")


def test_named_interface_that_comes_last_is_used(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """Others are used meanwhile; the named one is no less welcome then."""
    client.run("ip", "link", "add", "br0", "type", "bridge")
    announced(site, stack, keys, OURS)
    with _impatient(client, keys, "--interface=eno1") as waiting:
        waiting.wait_for("using all others too .br0.")
        site.cable(client, "eno1")
        _got(waiting, keys)


def test_wait_for_a_server_is_told(site: Site, client: Host, keys: Credentials) -> None:
    """After ten seconds of silence one line says where a server is waited for."""
    site.plug(site.cable(client), plugged=False)
    site.cable(client, "eth1")
    with start_client(client, OURS, keys, interface=None) as waiting:
        waiting.wait_for("notice: ")
        waiting.terminate()
    (told,) = _notices(waiting)
    assert told == (
        "waiting for a Mandos server to announce itself on eth0 (no link), eth1 (ready)"
    )


def test_name_that_cannot_be_looked_up_is_told(site: Site, client: Host, keys: Credentials) -> None:
    """Once, however often it is tried."""
    site.cable(client)
    connect = f"keeper.example:{PORT}"
    options = ("--retry=1", "--debug")
    with start_client(
        client, OURS, keys, connect=connect, interface=None, options=options
    ) as waiting:
        waiting.wait_for("notice: cannot look up keeper.example: .*give the server's address")
        waiting.terminate()
    assert len(_notices(waiting)) == 1


@pytest.fixture
def addressed(served: Host, client: Host) -> Host:
    """The server with an IPv4 address, as the client has one."""
    served.give_addresses(SERVER4)
    client.run("ip", "link", "set", "eth0", "up")
    client.give_addresses(CLIENT4)
    return served


def test_server_that_drops_connections_is_told(
    addressed: Host, client: Host, keys: Credentials
) -> None:
    """A firewall in between gives no answer at all: a person is told that."""
    addressed.run("ip", "route", "add", "blackhole", f"{CLIENT4}/32")
    connect = f"{SERVER4}:{PORT}"
    with start_client(client, OURS, keys, connect=connect, interface=None) as waiting:
        waiting.wait_for(f"notice: {SERVER4}:{PORT}: no answer within 10 seconds.*firewall")
        addressed.run("ip", "route", "del", "blackhole", f"{CLIENT4}/32")
        _got(waiting, keys)
    assert len(_notices(waiting)) == 1


def test_server_that_is_not_there_is_told_when_that_lasts(
    addressed: Host, client: Host, keys: Credentials
) -> None:
    """No line for what is usual while a network comes up; one when it stays so."""
    del addressed
    connect = f"{NOBODY4}:{PORT}"
    with start_client(client, OURS, keys, connect=connect, interface=None) as waiting:
        waiting.wait_for(f"notice: {NOBODY4}:{PORT}: cannot connect: No route to host")
        waiting.terminate()
    assert len(_notices(waiting)) == 1


def test_refusal_says_what_to_do(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """The client names its key ID, and what to look at on the server."""
    site.cable(client)
    key_id = re.search("(?m)^key_id = (.*)$", keys.section)
    assert key_id is not None
    section = keys.section.replace(key_id[1], 64 * "0")
    stack.enter_context(start_server(site.host(), OURS, section, zeroconf=True))
    with start_client(client, OURS, keys, interface=None) as waiting:
        waiting.wait_for(f"the server refused.*key_id = {key_id[1].lower()}.*mandos-ctl")
        waiting.terminate()
    assert len(_notices(waiting)) == 1


def _ipconfig(client: Host, *words: str) -> Process:
    """Configure an interface as an initial RAM disk's scripts do."""
    if not client.run("sh", "-c", f"ls {IPCONFIG} || :"):
        pytest.skip("ipconfig is not installed (klibc-utils)")
    return client.start(IPCONFIG, *words)


def test_network_may_be_set_up_meanwhile_and_stays(
    addressed_by_ipconfig: Host, client: Host, keys: Credentials
) -> None:
    """The client asks at once when ipconfig is done, and leaves the interface to others."""
    del addressed_by_ipconfig
    connect = f"{SERVER4}:{PORT}"
    links = watch_links(client)
    with start_client(client, OURS, keys, connect=connect, interface=None) as waiting:
        links.wait_for(UP.format("eth0"))
        _ipconfig(client, "-d", f"{CLIENT4}:::255.255.255.0::eth0:off").wait()
        _got(waiting, keys)
    assert client.is_up("eth0")
    assert CLIENT4.encode() in client.run("ip", "-4", "address", "show", "dev", "eth0")


@pytest.fixture
def addressed_by_ipconfig(served: Host) -> Host:
    """The server with an IPv4 address; the client has none yet."""
    served.give_addresses(SERVER4)
    return served


def test_interface_that_waits_for_dhcp_stays_up(
    site: Site, client: Host, keys: Credentials
) -> None:
    """A program that asks for an address goes on asking when the client has ended."""
    site.cable(client)
    links = watch_links(client)
    with start_client(client, OURS, keys, interface=None, options=["--debug"]) as waiting:
        links.wait_for(UP.format("eth0"))
        asking = _ipconfig(client, "-t", "600", "-c", "dhcp", "-d", "eth0")
        patience = Patience(PATIENCE)
        while len(client.run("cat", "/proc/net/packet").splitlines()) < 2:
            assert not patience.is_over(), asking.report("it does not ask")
        assert waiting.terminate() == 128 + signal.SIGTERM
    assert client.is_up("eth0")
    assert asking.running
    assert "leaving the network interface eth0 up: another program configures it" in waiting.log


def test_address_that_was_there_before_keeps_nothing_up(
    site: Site, stack: ExitStack, client: Host, keys: Credentials
) -> None:
    """What the client has brought up goes down again, though it had an address all the time."""
    site.cable(client)
    client.give_addresses(CLIENT4)
    announced(site, stack, keys, OURS)
    with start_client(client, OURS, keys, interface=None) as waiting:
        _got(waiting, keys)
    assert not client.is_up("eth0")


@pytest.mark.parametrize("somebody", [False, True], ids=["router", "person"])
def test_addresses_of_a_router_keep_nothing_up(
    site: Site, client: Host, keys: Credentials, *, somebody: bool
) -> None:
    """What the kernel makes of an announced prefix is no sign that somebody uses the interface."""
    site.cable(client)
    router = site.host()
    links = watch_links(client)
    with start_client(client, OURS, keys, interface=None) as waiting:
        links.wait_for(r"\d+:eth0:up,running")
        client.link_local()
        router.run("/usr/bin/python3", "-IS", "-c", ANNOUNCE)
        patience = Patience(PATIENCE)
        while b"2001:db8:7:" not in client.run("ip", "-6", "address", "show", "dev", "eth0"):
            assert not patience.is_over(), "no address of the prefix"
        if somebody:
            client.give_addresses("2001:db8:8::7")
        waiting.terminate()
    assert client.is_up("eth0") == somebody
