# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that clients on the link can find the server: interfaces, IPv6, multicast."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from mandos.discovery.sockets import Channel, addresses6, loopback_interfaces, usable_interfaces
from mandos.interfaces import interface_index, interface_name
from mandos.server.self_check.findings import failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mandos.server.config.server_conf import ServerSettings
    from mandos.server.self_check.findings import Finding

INTERFACE = "network interface"
_IPV6 = "IPv6"
_MULTICAST = "Zeroconf"


def check(settings: ServerSettings) -> Iterator[Finding]:
    """Check the interface from the settings, and the addresses at which clients find the server."""
    if settings.interface:
        yield _interface(settings.interface)
    if settings.use_ipv6 and not settings.address:
        yield _link_local(settings.interface)


def check_multicast(settings: ServerSettings, why: str) -> Finding:
    """Report whether the server can announce itself; ``why`` Avahi does not do it."""
    family = socket.AF_INET6 if settings.use_ipv6 else socket.AF_INET
    try:
        channel = Channel(family)
        try:
            for index in _chosen(settings.interface):
                channel.join(index)
        finally:
            channel.close()
    except OSError as error:
        said = f"{why}, and the server cannot announce itself: {error.strerror}"
        mend = "find the program that uses UDP port 5353 (ss -lunp), or run Avahi"
        return failed(_MULTICAST, said, mend)
    return ok(_MULTICAST, f"{why}; the server announces itself")


def _chosen(interface: str) -> list[int]:
    """Return the existing interfaces that the server uses."""
    if interface:
        index = interface_index(interface)
        return [index] if index else []
    return usable_interfaces() or loopback_interfaces()


def _interface(name: str) -> Finding:
    index = interface_index(name)
    if not index:
        mend = "compare with the output of ip link; the server waits until it exists"
        return warning(INTERFACE, f"{name} does not exist", mend)
    if index not in usable_interfaces() + loopback_interfaces():
        mend = f"run: ip link set {name} up; and check its cable"
        said = f"{name} is not up, has no carrier, or is not a broadcast network"
        return warning(INTERFACE, said, mend)
    return ok(INTERFACE, f"{name} is up")


def _link_local(interface: str) -> Finding:
    """Report link-local addresses: clients connect to them, as they need no configuration."""
    indexes = _chosen(interface)
    having = [index for index in indexes if any(_is_link_local(it) for it in addresses6(index))]
    if having:
        names = ", ".join(interface_name(index) for index in having)
        return ok(_IPV6, f"there is a link-local address on {names}")
    names = ", ".join(interface_name(index) for index in indexes) or "no interface that is up"
    return warning(
        _IPV6,
        f"there is no link-local address on {names}, and clients connect to such addresses",
        "see: ip -6 address; sysctl net.ipv6.conf.all.disable_ipv6",
    )


def _is_link_local(address: tuple[bytes, bytes]) -> bool:
    return ipaddress.IPv6Address(address[0]).is_link_local
