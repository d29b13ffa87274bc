# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses that root makes a route to, and those that a stranger may name in vain."""

from __future__ import annotations

import socket

import pytest

from mandos.client.root.interface_setup import may_be_a_server


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "10.0.0.1", "203.0.113.9", "2001:db8::1", "fd12:3456::1"]
)
def test_host_may_be_a_server(address: str) -> None:
    """Global and private addresses."""
    assert may_be_a_server(_packed(address))


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "169.254.169.254", "169.254.0.1"),  # noqa: S104
        *("224.0.0.251", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::ffff:192.0.2.1", "fe80::1", "febf::1", "ff02::fb", "fd00:ec2::254"),
    ],
)
def test_special_address_is_no_server(address: str) -> None:
    """RFC 6890, and where clouds keep their secrets."""
    assert not may_be_a_server(_packed(address))


def test_rubbish_is_no_address() -> None:
    """Other lengths."""
    for length in (0, 1, 3, 5, 15):
        assert not may_be_a_server(b"\xc0" * length)
