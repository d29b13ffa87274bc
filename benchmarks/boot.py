# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client adds to a boot: seconds from switching on to the root mapped, side by side.

``boot.py [ROUNDS]``.  The same encrypted machine is booted in QEMU in turn: without a client, with
the password typed as soon as there is a prompt; with the reference's client; with ours.  Emulated
seconds are long; what counts is our extra over typing, as a share of the reference's.  The exit
status says whether the bar is met.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.families import ours
from harness.peers import start_server
from harness.vm.boot import Site
from harness.vm.images import TYPED, disks, image, why_no_vm

ROUNDS = 3
#: Our extra over the reference's.
BAR = 0.5
CLIENTS = ("none", "reference", "ours")
NAMES = {"none": "typed at once", "reference": "the reference's client", "ours": "our client"}


def main() -> int:
    """Print the table; returns the exit status."""
    if reason := why_no_vm():
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    took: dict[str, list[float]] = {client: [] for client in CLIENTS}
    for _round in range(rounds):
        for client in CLIENTS:
            took[client].append(_boot(client))
    print(f"{'root mapped after seconds':38}{'min median max':>22}{'extra':>8}{'initrd MB':>11}")
    typed = median(took["none"])
    for client, seconds in took.items():
        spread = f"{min(seconds):.1f} {median(seconds):.1f} {max(seconds):.1f}"
        size = image("initramfs-tools", client).size / 1e6
        print(f"{NAMES[client]:38}{spread:>22}{median(seconds) - typed:>8.1f}{size:>11.1f}")
    ratio = (median(took["ours"]) - typed) / (median(took["reference"]) - typed)
    print(f"our extra over the reference's: {ratio:.2f} (bar: {BAR})")
    return 0 if ratio <= BAR else 1


def _boot(client: str) -> float:
    """Boot once; returns the seconds until the root was mapped."""
    made = image("initramfs-tools", client)
    with ExitStack() as stack:
        site = Site.of(stack)
        if client != "none":
            host = site.host(avahi=True)
            stack.enter_context(start_server(host, ours(), made.section, zeroconf=True))
        machine = site.boot(disks(), made)
        if client == "none":
            machine.expect_prompt()
            machine.console.type(TYPED)
        return machine.expect_boot()["root"]


if __name__ == "__main__":
    sys.exit(main())
