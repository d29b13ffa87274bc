# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server on machines whose network comes, changes and goes."""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.bus import start_avahi, start_system_bus
from harness.families import ours
from harness.host import Host, why_impossible
from harness.network import OVERRUN, say, serve, watch_links
from harness.peers import PORT, fetch, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.families import Family
    from harness.keys import Credentials
    from harness.process import Process

#: How a server answers who is no client, and how a machine without a server there.
HUNG_UP = "answered b''"
REFUSED = "failed: Connection refused"
BROWSE = ("avahi-browse", "--parsable", "_mandos._tcp")

impossible = why_impossible()
missing = [
    name for name in ("dbus-daemon", "avahi-daemon", "avahi-browse") if not shutil.which(name)
]
pytestmark = pytest.mark.skipif(impossible is not None, reason=impossible or "")
needs_avahi = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """Return two hosts without a cable."""
    with ExitStack() as stack:
        server, client = (stack.enter_context(Host(name)) for name in ("server", "client"))
        yield server, client


@pytest.fixture
def browser(hosts: tuple[Host, Host]) -> Process:
    """Return a browser on the client's host, where Avahi finds interfaces as they come."""
    start_system_bus(hosts[1])
    start_avahi(hosts[1])
    return hosts[1].start(*BROWSE)


def index(host: Host, interface: str = "eth0") -> int:
    """Return the index of a host's interface."""
    return int(host.run("ip", "-oneline", "link", "show", interface).partition(b":")[0])


def test_links_are_followed(hosts: tuple[Host, Host]) -> None:
    """Everything that happens to links is seen; a port that leaves its bridge is still there."""
    server, client = hosts
    watch = watch_links(server)
    seen = watch.wait_for("^1:lo:up,running,loopback$")

    def after(*command: str) -> Process:
        server.run("ip", "link", *command)
        return watch

    server.connect(client)
    eth0 = index(server)
    seen = watch.wait_for(f"{eth0}:eth0:up,running$", after=seen)
    client.run("ip", "link", "set", "eth0", "down")
    seen = watch.wait_for(f"{eth0}:eth0:up$", after=seen)
    client.run("ip", "link", "set", "eth0", "up")
    seen = watch.wait_for(f"{eth0}:eth0:up,running$", after=seen)
    seen = after("property", "add", "dev", "eth0", "altname", "uplink").wait_for(
        f"{eth0}:eth0/uplink:up,running$", after=seen
    )
    after("add", "br0", "type", "bridge")
    after("set", "eth0", "master", "br0")
    after("set", "eth0", "nomaster")
    after("delete", "br0")
    seen = watch.wait_for(f"^1:lo:[a-z,]+ {eth0}:eth0/uplink:up,running$", after=seen)
    after("set", "eth0", "down")
    seen = after("set", "eth0", "name", "lan").wait_for(f"{eth0}:lan/uplink:$", after=seen)
    after("delete", "lan").wait_for("^1:lo:up,running,loopback$", after=seen)
    assert not [line for line in watch.lines if ":br0:" in line and ":eth0" not in line]


def test_lost_messages_are_made_up_for(hosts: tuple[Host, Host]) -> None:
    """When the kernel had to drop what it had to say, the links are listed anew."""
    asked, *known = hosts[0].run(sys.executable, "-c", OVERRUN).decode().split()
    assert int(asked) > 1
    assert known == ["99", "None"]


def test_connected_follows_the_cable(hosts: tuple[Host, Host]) -> None:
    """Loopback alone is no network; a cable is one for as long as its other end is up."""
    server, client = hosts
    process = serve(server, port=PORT, zeroconf=False)
    seen = process.wait_for("^connected False$")
    server.connect(client)
    for state, connected in (("up", True), ("down", False), ("up", True)):
        client.run("ip", "link", "set", "eth0", state)
        seen = process.wait_for(f"^connected {connected}$", after=seen)
    server.run("ip", "link", "delete", "eth0")
    process.wait_for("^connected False$", after=seen)
    assert process.terminate() == 0, process.report("not a clean end")


def test_connected_by_the_named_interface_only(hosts: tuple[Host, Host]) -> None:
    """With an interface named, the state of all others is nothing."""
    server, client = hosts
    server.connect(client, "eth1")
    process = serve(server, interface="eth0", port=PORT, zeroconf=False)
    seen = process.wait_for("^connected False$")
    server.connect(client, "eth0")
    seen = process.wait_for("^connected True$", after=seen)
    client.run("ip", "link", "set", "eth0", "down")
    process.wait_for("^connected False$", after=seen)


@pytest.mark.parametrize("address", ["fe80::", "fd00::", "192.0.2."])
def test_peer_names_the_interface_it_came_by(hosts: tuple[Host, Host], address: str) -> None:
    """Whatever the address: the peer's own, and our interface's name."""
    server, client = hosts
    for number in (0, 1):
        server.connect(client, f"eth{number}")
    process = serve(server, port=PORT, zeroconf=False)
    for number in (0, 1):
        interface = f"eth{number}"
        if address == "fe80::":
            to, source = (host.link_local(interface) for host in hosts)
            assert say(client, to, PORT, interface) == HUNG_UP
        else:
            net, length = (
                (f"fd00:{number + 1}::", 64) if ":" in address else (f"192.0.{number}.", 24)
            )
            to, source = f"{net}1", f"{net}2"
            for host, own in ((server, to), (client, source)):
                host.run("ip", "address", "add", f"{own}/{length}", "dev", interface)
            assert say(client, to, PORT) == HUNG_UP
        process.wait_for(rf"^peer Peer\(address='{source}', port=\d+, interface='{interface}'\)$")


def test_interface_that_is_absent_at_the_start(hosts: tuple[Host, Host]) -> None:
    """All interfaces are served until the named one is there; then that one alone, without root."""
    server, client = hosts
    server.connect(client, "eth1")
    process = serve(server, interface="eth0", port=PORT)
    process.wait_for("WARNING .*cannot bind to the network interface eth0: No such device")
    process.wait_for("WARNING .*the network interface eth0 does not exist; waiting for it")
    assert say(client, server.link_local("eth1"), PORT, "eth1") == HUNG_UP
    server.connect(client, "eth0")
    process.wait_for("listening on the network interface eth0")
    assert say(client, server.link_local("eth1"), PORT, "eth1") == REFUSED
    assert say(client, server.link_local("eth0"), PORT, "eth0") == HUNG_UP
    process.wait_for("announced as 'Mandos' by this program")


def test_interface_that_returns_as_another_one(hosts: tuple[Host, Host]) -> None:
    """A server without root serves and announces on it again, on the same port, time and again."""
    server, client = hosts
    server.connect(client)
    process = serve(server, interface="eth0")
    told = process.wait_for("announced as 'Mandos' by this program, port")
    port = int(process.lines[told - 1].rpartition(" ")[2])
    for _turn in range(2):
        before = index(server)
        assert say(client, server.link_local(), port, "eth0") == HUNG_UP
        server.run("ip", "link", "delete", "eth0")
        told = process.wait_for("the network interface eth0 does not exist", after=told)
        server.connect(client)
        assert index(server) != before
        process.wait_for("listening on the network interface eth0", after=told)
        told = process.wait_for(f"announced as 'Mandos' by this program, port {port}", after=told)
    assert say(client, server.link_local(), port, "eth0") == HUNG_UP
    assert process.terminate() == 0, process.report("not a clean end")
    assert "ERROR" not in process.log


def test_password_is_found_again(
    hosts: tuple[Host, Host], keys_of: Callable[[Family], Credentials]
) -> None:
    """The whole server: after its interface has returned, a client finds it and is served."""
    server, client = hosts
    server.connect(client)
    keys = keys_of(ours())
    with start_server(server, ours(), keys.section, zeroconf=True) as running:
        assert fetch(client, ours(), keys) == keys.password
        server.run("ip", "link", "delete", "eth0")
        running.wait_for("the network interface eth0 does not exist")
        server.connect(client)
        running.wait_for("announced as 'Mandos'")
        assert fetch(client, ours(), keys) == keys.password


def test_low_port_cannot_be_opened_again(hosts: tuple[Host, Host]) -> None:
    """Without root that is impossible, and said; nothing else ends because of it."""
    server, client = hosts
    server.connect(client)
    process = serve(server, interface="eth0", port=99, zeroconf=False)
    server.run("ip", "link", "delete", "eth0")
    server.connect(client)
    process.wait_for(
        "ERROR .*cannot serve on eth0: cannot listen on any address port 99: Permission"
    )
    assert process.terminate() == 0, process.report("not a clean end")


@needs_avahi
def test_embedded_announcement_on_an_interface_that_comes_later(
    hosts: tuple[Host, Host], browser: Process
) -> None:
    """With no interface named, a new one is announced on; a browser beyond it sees that."""
    server, client = hosts
    process = serve(server)
    process.wait_for("announced as 'Mandos' by this program")
    server.connect(client)
    seen = browser.wait_for(r"^\+;eth0;IPv6;Mandos;_mandos\._tcp;local$")
    assert process.terminate() == 0, process.report("not a clean end")
    browser.wait_for(r"^-;eth0;IPv6;Mandos;_mandos\._tcp;local$", after=seen)


@needs_avahi
def test_browser_sees_hello_and_goodbye(hosts: tuple[Host, Host], browser: Process) -> None:
    """Also for an interface that returned, and by Avahi as by the server itself."""
    server, client = hosts
    server.connect(client)
    start_system_bus(server)
    process = serve(server, interface="eth0")
    told = process.wait_for("announced as 'Mandos' by this program")
    seen = browser.wait_for(r"^\+;eth0;IPv6;Mandos;")
    server.run("ip", "link", "delete", "eth0")
    seen = browser.wait_for(r"^-;[^;]+;IPv6;Mandos;", after=seen)
    server.connect(client)
    process.wait_for("announced as 'Mandos' by this program", after=told)
    seen = browser.wait_for(r"^\+;eth0;IPv6;Mandos;", after=seen)
    start_avahi(server)
    process.wait_for("announced as 'Mandos' by Avahi")
    process.signal(signal.SIGTERM)
    browser.wait_for(r"^-;[^;]+;IPv6;Mandos;", after=seen)
    assert process.wait() == 0, process.report("not a clean end")


@needs_avahi
def test_avahi_announces_on_an_interface_that_returned(
    hosts: tuple[Host, Host], browser: Process
) -> None:
    """The new interface's index is given to Avahi; a name taken meanwhile is stepped aside for."""
    server, client = hosts
    server.connect(client)
    start_system_bus(server)
    start_avahi(server)
    process = serve(server, interface="eth0")
    told = process.wait_for("announced as 'Mandos' by Avahi")
    seen = browser.wait_for(r"^\+;eth0;IPv6;Mandos;")
    server.run("ip", "link", "delete", "eth0")
    seen = browser.wait_for(r"^-;[^;]+;IPv6;Mandos;", after=seen)
    other = server.start("avahi-publish", "--service", "Mandos", "_mandos._tcp", "1")
    other.wait_for("Established under name 'Mandos'")
    server.connect(client)
    process.wait_for("announced as 'Mandos #2' by Avahi", after=told)
    browser.wait_for(r"^\+;eth0;IPv6;Mandos\\032\\0352;", after=seen)
