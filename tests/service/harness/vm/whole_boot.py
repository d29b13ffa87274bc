# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot without a hand, until the whole system is up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.peers import SENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.peers import Server
    from harness.vm.boot import Machine, Site
    from harness.vm.images import Disks, Image

#: What a booted guest's journal says that is no fault: of the kernel in QEMU, of a small Debian.
EXPECTED = re.compile(r"kernel: |unknown /etc/crypttab option 'initramfs'")
#: What the console says of faults that we could have made.
FAULT = re.compile(r"(?i)traceback|segfault|mandos.*(error|fail|unexpected)|python.*error")


def boots_by_itself(
    site: Site,
    disks: Disks,
    made: Image,
    server: Server,
    took: Callable[[dict[str, float]], None],
) -> Machine:
    """Boot the whole system; nothing of ours is left then, and nothing complains."""
    machine = site.boot(disks, made, words="")
    took(machine.expect_boot())
    server.wait_for(SENT[server.family.name])
    told = machine.report
    assert not [line for line in told["process"] if re.search("mandos|python", line)]
    assert not [line for line in told.get("journal", []) if not EXPECTED.search(line)]
    assert not FAULT.search(machine.console.text)
    assert "DefaultDeviceTimeoutUSec=1h" in told["patience"], "a loaded machine would fail"
    return machine
