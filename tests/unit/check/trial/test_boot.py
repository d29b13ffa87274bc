# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots that cannot be tried on a running machine are "not sure", with the reason."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mandos.check import disks, servers
from mandos.check.findings import Link, Verdict
from mandos.check.loader.boot_entry import Boot
from mandos.check.servers import Server
from mandos.check.trial import boot
from mandos.check.trial.boot import Trial, card_of

if TYPE_CHECKING:
    from mandos.check.findings import Finding

UUID = "UUID=6d616e64-6f73-4000-8000-000000000001"

SERVER = Server("Mandos at 192.0.2.1:4711", socket.AF_INET, ("192.0.2.1", 4711))


def _check(
    tree: Path,
    *options: str,
    words: tuple[str, ...] | None = ("ro",),
    table: str = f"root {UUID} none luks",
    found: tuple[Server, ...] = (SERVER,),
) -> Finding:
    (tree / "etc").mkdir()
    (tree / "etc/crypttab").write_text(table, encoding="ascii")
    kernel = Boot("6.1", Path("/nonexistent"), Path("/nonexistent"), words)
    opened = disks.in_image(tree, words or ())
    return boot.check(Trial(kernel, tree, opened, servers.options_of(options), found, tree))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("", "opens no disk by a password"),
        (f"root {UUID} /etc/key luks", "opens no disk by a password"),
        ("root /dev/sda3 none luks", "root is found by /dev/sda3"),
        ("root PARTUUID=1 none luks", "root is found by PARTUUID=1"),
        (f"root {UUID} none luks,header=/boot/header", "has its header elsewhere"),
    ],
)
def test_unfit_disk(tmp_path: Path, table: str, reason: str) -> None:
    """The copy of a header has the UUID alone."""
    finding = _check(tmp_path, table=table)
    assert (finding.link, finding.verdict) == (Link.BOOT, Verdict.NOT_SURE)
    assert reason in finding.text


@pytest.mark.parametrize(
    ("options", "words", "reason"),
    [
        ((), None, "kernel command line of this kernel is unknown"),
        ((), ("ipv6.disable=1",), "has no IPv6"),
        (("--connect=host.example:4711",), ("ro",), "looks the name host.example up"),
        (("--connect=192.0.2.1:4711",), ("ro",), "needs an IPv4 address"),
        (("--connect=192.0.2.1:4711",), ("ip=dhcp",), "needs an IPv4 address"),
    ],
)
def test_unfit_network(
    tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...] | None, reason: str
) -> None:
    """The private network has no name server, no DHCP server, and no way without IPv6."""
    finding = _check(tmp_path, *options, words=words)
    assert (finding.link, finding.verdict) == (Link.BOOT, Verdict.NOT_SURE)
    assert reason in finding.text


def test_missing_file(tmp_path: Path) -> None:
    """A kernel that cannot be read is a finding, not a traceback."""
    finding = _check(tmp_path)
    assert (finding.link, finding.verdict) == (Link.BOOT, Verdict.NOT_SURE)
    assert "No such file or directory: '/nonexistent'" in finding.text


def test_no_server(tmp_path: Path) -> None:
    """Without a server that rehearses, the machine would wait in vain."""
    finding = _check(tmp_path, found=())
    assert (finding.link, finding.verdict) == (Link.BOOT, Verdict.NOT_SURE)
    assert "no server gives a password" in finding.text


@pytest.mark.parametrize(
    ("word", "gateway"),
    [
        ("ip=192.0.2.5::192.0.2.1:255.255.255.0::eth0:none", "192.0.2.1"),
        ("ip=192.0.2.5:192.0.2.9::255.255.255.0", "192.0.2.9"),
        ("ip=192.0.2.5:::255.255.255.0", ""),
        ("ip=dhcp", ""),
        ("root=/dev/sda1", ""),
    ],
)
def test_gateway(word: str, gateway: str) -> None:
    """Of a static configuration."""
    assert boot._gateway(word) == gateway


def test_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of hardware with a link is used, unless the options name one; loopback is none."""
    for name, address, carrier in (
        ("br0", "52:54:00:00:00:02", "1"),
        ("lo", "00:00:00:00:00:00", "1"),
        ("eno1", "52:54:00:00:00:01", "0"),
        ("eno2", "52:54:00:00:00:02", "1"),
    ):
        (tmp_path / name).mkdir()
        if name.startswith("eno"):
            (tmp_path / name / "device").mkdir()
        (tmp_path / name / "address").write_text(f"{address}\n")
        (tmp_path / name / "carrier").write_text(f"{carrier}\n")
    monkeypatch.setattr(boot, "_CARDS", tmp_path)
    assert card_of(servers.options_of([])) == ("eno2", "52:54:00:00:00:02")
    assert card_of(servers.options_of(["--interface=eno1"])).name == "eno1"
    assert card_of(servers.options_of(["--interface=eno9"])).name == "eno2"
