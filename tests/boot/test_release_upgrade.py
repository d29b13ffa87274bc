# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with Debian 12 and our client boots by itself after its upgrade to Debian 13."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness.families import ours
from harness.vm.choices import machines
from harness.vm.images import UPGRADED
from harness.vm.whole_boot import boots_by_itself

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.peers import Server
    from harness.vm.boot import Site
    from harness.vm.images import Disks, Image

    Took = Callable[[dict[str, float]], None]
    Start = Callable[..., Server]

pytestmark = [pytest.mark.boot, pytest.mark.timeout(5400)]

#: How the versions of our packages end.
ENDING = {"bookworm": "~deb12", "trixie": "~deb13"}


@machines(suites=tuple(UPGRADED), generators=("initramfs-tools",))
def test_boots_after_the_release_upgrade(
    site: Site, disks: Disks, made: Image, started: Start, took: Took
) -> None:
    """First with Debian 12's packages of ours, then with those of 13 installed over them.

    Both have the keys that the server knows from before the upgrade, and images that the packages'
    own scripts have made.  (That Debian 12 boots before the upgrade is a test of test_boots.)
    """
    lines = (made.folder / "packages").read_text(encoding="utf-8").splitlines()
    versions = dict(line.split("\t") for line in lines)
    assert versions["mandos-boot-client"].endswith(ENDING[UPGRADED[made.suite]])
    assert versions["mandos-common"] == versions["mandos-boot-client"]
    machine = boots_by_itself(site, disks, made, started(site.host(avahi=True), made, ours()), took)
    kernel = re.search(r"Linux version (\S+)", machine.console.text)
    assert kernel is not None
    assert f"linux-image-{kernel[1]}" in versions
    assert kernel[1].startswith("6.12.")
    assert "Welcome to Debian GNU/Linux 13 (trixie)" in machine.console.text
