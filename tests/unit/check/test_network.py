# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces that the configuration or the kernel command line name, and that do not exist."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from mandos.check import servers
from mandos.check.chain import _needs_ip
from mandos.check.findings import Verdict
from mandos.check.network import check_command_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

IP = "ip=192.0.2.2::192.0.2.1:255.255.255.0::eno7:off"


class _Silent:
    """A link on which no server is."""

    indexes: tuple[int, ...] = ()

    def __init__(self, indexes: Sequence[int]) -> None:
        type(self).indexes = tuple(indexes)
        self.sockets: list[socket.socket] = []

    def tick(self, now: float) -> None:
        """Nothing is asked."""

    def deadline(self, now: float) -> float:
        """At once."""
        return now

    def close(self) -> None:
        """There is nothing to close."""


def test_search_without_the_named_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at boot, all others are used if none of the names exists; else those that exist."""
    monkeypatch.setattr(servers, "Finder", _Silent)
    monkeypatch.setattr(servers, "SEARCH_TIME", 0.0)
    monkeypatch.setattr(servers, "usable_interfaces", lambda: [7])
    assert servers.search(["nosuch0"]) == []
    assert _Silent.indexes == (7,)
    servers.search(["nosuch0", "lo", "none"])
    assert _Silent.indexes == (socket.if_nametoindex("lo"),)


@pytest.mark.parametrize(("needed", "verdict"), [(True, Verdict.BROKEN), (False, Verdict.WARNING)])
def test_ip_of_no_interface(tmp_path: Path, verdict: Verdict, *, needed: bool) -> None:
    """It is broken only where no server is reached without ``ip=``."""
    (finding,) = check_command_line(tmp_path, tmp_path, ["quiet", IP], "6.1", needed=needed)
    assert finding.verdict is verdict
    assert "eno7" in finding.text


@pytest.mark.parametrize(
    ("addresses", "needed"),
    [
        ((), False),
        (("192.0.2.1:4711",), True),
        (("mandos.example:4711",), True),
        (("[fe80::1%lo]:4711",), False),
        (("192.0.2.1:4711", "[2001:db8::1]:4711"), False),
    ],
)
def test_servers_that_need_ip(addresses: Sequence[str], *, needed: bool) -> None:
    """Interfaces get IPv6 addresses by themselves."""
    options = servers.options_of([f"--connect={address}" for address in addresses])
    assert _needs_ip(options) is needed
