# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the server will find the host that a section names, as far as that can be seen here.

The server's checker pings that name.  A client that it cannot reach is disabled, and does not boot.
"""

from __future__ import annotations

import ipaddress
import socket

from mandos import process
from mandos.errors import MachineError

_TIME = 5.0  # seconds; a name server that does not answer takes longer
_MEMORY = 64 << 20
_SIZE = 1 << 16
_MEND = "after host = write a name or an address that the server can reach"


def remark(name: str) -> str | None:
    """Warnings for the administrator about this name, if any."""
    addresses = _addresses(name)
    if not addresses:
        return (
            f"warning: the name {name} does not resolve here. The server checks that host: {_MEND}"
        )
    if all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses):
        return (
            f"note: here, {name} is this machine itself ({addresses[0]}). "
            f"If the server does not know the name, {_MEND}"
        )
    return None


def _addresses(name: str) -> list[str]:
    """The host's addresses; looked up in a process of its own, which can be ended."""

    def look_up() -> bytes:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        return "\n".join(str(entry[4][0]) for entry in found).encode()

    try:
        found = process.run_isolated(look_up, memory=_MEMORY, size=_SIZE, timeout=_TIME)
    except MachineError:
        return []
    return found.decode().splitlines()
