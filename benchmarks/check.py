# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long mandos-check takes on a healthy machine: seconds, minimum median maximum.

``check.py [ROUNDS]``.  The machine has an image of this machine's mkinitramfs, a LUKS disk, and one
server on its link, then three.  Beside it, in the same round, a shell unpacks the image, which the
check does too.  The exit status says whether the slowest check met the bar.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "service"))

from harness.checked import CHECK, IMAGE, Checked, make_checked
from harness.families import ours
from harness.host import Host, why_impossible
from harness.initramfs import ImageMaker, why_no_images
from harness.peers import start_server

ROUNDS = 5
#: Seconds that a check may take on a machine with two processors.
BAR = 10.0
SERVERS = (1, 3)
YARDSTICK = "the image unpacked by a shell"
#: Unpacks as the kernel finds the files: into a file system in memory.
UNPACK = f"""
rm -rf /run/plain && mkdir /run/plain && cd /run/plain
zstd -dcq {IMAGE} | cpio -id --quiet
"""


def main() -> int:
    """Print the table; returns the exit status."""
    if reason := why_impossible() or why_no_images():
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with ExitStack() as stack:
        took = _measure(stack, rounds)
    plain = median(took[YARDSTICK])
    print(f"{'seconds':38}{'min median max':>22}{'ratio':>8}")
    for name, seconds in took.items():
        spread = f"{min(seconds):.2f} {median(seconds):.2f} {max(seconds):.2f}"
        print(f"{name:38}{spread:>22}{median(seconds) / plain:>8.1f}")
    slowest = max(max(seconds) for name, seconds in took.items() if name != YARDSTICK)
    print(f"the slowest check: {slowest:.2f} s (bar: {BAR:g} s)")
    return 0 if slowest <= BAR else 1


def _measure(stack: ExitStack, rounds: int) -> dict[str, list[float]]:
    maker = stack.enter_context(ImageMaker())
    first = stack.enter_context(Host("server"))
    maker.run("mount", "-t", "sysfs", "sysfs", "/sys")
    checked = make_checked(maker, first, stack.enter_context(Host("workshop")))
    checked.restore()
    hosts = {"eth0": first}
    took: dict[str, list[float]] = {YARDSTICK: []}
    stack.enter_context(checked.serve())
    for number in SERVERS:
        while len(hosts) < number:
            _add_server(stack, checked, hosts)
        name = f"check, {number} server{'s' if number > 1 else ''}"
        took[name] = []
        for _round in range(rounds):
            took[YARDSTICK].append(_time(checked, "sh", "-ec", UNPACK))
            took[name].append(_time(checked, CHECK, servers=number))
    return took


def _add_server(stack: ExitStack, checked: Checked, hosts: dict[str, Host]) -> None:
    """Put another server on a link of its own."""
    interface = f"eth{len(hosts)}"
    host = hosts[interface] = stack.enter_context(Host(interface))
    checked.machine.connect(host, interface)
    options = ("--interface", interface)
    section = checked.keys.section
    stack.enter_context(start_server(host, ours(), section, zeroconf=True, options=options))


def _time(checked: Checked, *command: str, servers: int = 0) -> float:
    """Seconds of a command that has to get the password from so many servers."""
    began = time.perf_counter()
    shown = checked.machine.run(*command).decode()
    took = time.perf_counter() - began
    if shown.count(" gave the password ") != servers:
        raise SystemExit(f"bench: not {servers} servers gave the password:\n{shown}")
    return took


if __name__ == "__main__":
    sys.exit(main())
