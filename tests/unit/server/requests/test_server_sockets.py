# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at the other end of a connection, over either family."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from mandos.errors import AdministratorError
from mandos.server.config.server_conf import ServerSettings
from mandos.server.requests.sockets import Peer, open_socket, peer_of


@pytest.mark.parametrize(
    ("use_ipv6", "to", "written"),
    [
        (True, "::1", "[::1]:{}"),
        (True, "127.0.0.1", "127.0.0.1:{}"),
        (False, "127.0.0.1", "127.0.0.1:{}"),
    ],
)
def test_peer_of_a_connection(use_ipv6: bool, to: str, written: str) -> None:  # noqa: FBT001
    """IPv4 has its own form over an IPv6 socket too; the kernel tells the interface."""
    with closing(open_socket(ServerSettings(use_ipv6=use_ipv6))) as listening:
        with socket.create_connection((to, listening.getsockname()[1])) as client:
            listening.settimeout(30)
            accepted, address = listening.accept()
            port = client.getsockname()[1]
        with accepted:
            peer = peer_of(accepted, address)
    assert peer == Peer(to, port, "lo")
    assert str(peer) == written.format(port)


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:1:2:3", "::ffff:1:2:3"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_plain_form_of_addresses(address: str, plain: str) -> None:
    """No scope, and no prefix of an IPv4-mapped address; what only looks like one is left alone."""
    with socket.socket() as unconnected:
        assert peer_of(unconnected, (address, 1)) == Peer(plain, 1)


def test_kernel_that_tells_nothing() -> None:
    """A socket that has no packet information, or is closed, gives no interface and no error."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours, ("192.0.2.1", 1)).interface == ""
    assert peer_of(ours, ("192.0.2.1", 1)).interface == ""


def test_scope_names_the_interface() -> None:
    """The scope of a link-local address is the interface; its number when that is gone."""
    lo = socket.if_nametoindex("lo")
    with socket.socket(socket.AF_INET6) as unconnected:
        assert peer_of(unconnected, ("fe80::1", 1, 0, lo)).interface == "lo"
        assert peer_of(unconnected, ("fe80::1", 1, 0, 99999999)).interface == "99999999"


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_inherited_socket_must_speak_tcp(family: socket.AddressFamily) -> None:
    """A local or a datagram socket is refused."""
    kind = socket.SOCK_STREAM if family == socket.AF_UNIX else socket.SOCK_DGRAM
    with socket.socket(family, kind) as wrong:
        settings = ServerSettings(socket=wrong.fileno())
        with pytest.raises(AdministratorError, match="is not a TCP socket"):
            open_socket(settings)
