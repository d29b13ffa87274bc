# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and indexes of network interfaces, where one that is not there is no error."""

from __future__ import annotations

from mandos.lean_stdlib import socket


def interface_index(name: str) -> int:
    """The index of a network interface, 0 when there is none of that name."""
    try:
        return socket.if_nametoindex(name) if name else 0
    except OSError:
        return 0


def interface_name(index: int) -> str:
    """The name of a network interface, its index in digits when it is gone."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return str(index)
