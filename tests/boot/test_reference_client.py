# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with the reference's client: that they boot shows that the harness is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.families import ours, reference
from harness.peers import start_server
from harness.vm.images import TYPED, image

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.families import Family
    from harness.vm.boot import Site
    from harness.vm.images import Disks

pytestmark = [pytest.mark.boot, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("server", [ours(), reference()], ids=lambda family: family.name)
def test_boots(
    site: Site, disks: Disks, server: Family, took: Callable[[dict[str, float]], None]
) -> None:
    """The reference's client boots a machine with either family's server."""
    made = image("initramfs-tools", "reference")
    host = site.host(avahi=True)
    with start_server(host, server, made.section, zeroconf=True):
        took(site.boot(disks, made).expect_boot())


def test_typed(site: Site, disks: Disks, took: Callable[[dict[str, float]], None]) -> None:
    """Without a server the password is typed at the console."""
    machine = site.boot(disks, image("initramfs-tools", "reference"))
    machine.expect_prompt()
    machine.console.type(TYPED)
    took(machine.expect_boot())
