# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with the reference's client: that they boot shows that the harness is sound."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from harness.families import ours, reference
from harness.vm.choices import machines
from harness.vm.images import TYPED

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.peers import Server
    from harness.vm.boot import Site
    from harness.vm.images import Disks, Image

    Took = Callable[[dict[str, float]], None]
    Start = Callable[..., Server]

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3600)]


references = functools.partial(machines, generators=("initramfs-tools",), client="reference")


@references("trixie-initramfs-tools")
def test_boots(site: Site, disks: Disks, made: Image, started: Start, took: Took) -> None:
    """The reference's client of the release boots a machine with our server."""
    started(site.host(avahi=True), made, ours())
    took(site.boot(disks, made).expect_boot())


@references()
def test_boots_with_its_own_server(
    site: Site, disks: Disks, made: Image, started: Start, took: Took
) -> None:
    """The same with the reference's server: the harness is sound."""
    started(site.host(avahi=True), made, reference())
    took(site.boot(disks, made).expect_boot())


@references()
def test_typed(site: Site, disks: Disks, made: Image, took: Took) -> None:
    """Without a server the password is typed at the console."""
    machine = site.boot(disks, made)
    machine.expect_prompt()
    machine.console.type(TYPED)
    took(machine.expect_boot())
