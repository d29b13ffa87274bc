# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines a boot test is about: releases of Debian, generators, layouts of the disks.

A test runs with all of its machines in ``make test-all``, and with a few of them, which it names,
in ``make test``: the others have the marker ``slow``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from harness.vm.images import SUITES
from harness.vm.layouts import PLAIN, Layout

GENERATORS = ("initramfs-tools", "dracut")
#: For what an image without systemd does otherwise: dracut's scripts ask there, or plugin-runner.
EVERY = (*GENERATORS, "dracut-plain")
#: Machines that cannot come up: without systemd dracut ends with switch_root(8), which is in
#: util-linux-extra on testing, and so not in our guest.
IMPOSSIBLE = {("forky", "dracut-plain")}


@dataclass(frozen=True)
class Choice:
    """A machine: its Debian, what makes its initial RAM disk, its client, and its disks."""

    suite: str
    generator: str
    client: str = "ours"
    layout: Layout = PLAIN

    def __str__(self) -> str:
        return f"{self.suite}-{self.generator}"


def machines(
    *daily: str,
    generators: tuple[str, ...] = GENERATORS,
    suites: tuple[str, ...] = SUITES,
    client: str = "ours",
    layout: Layout = PLAIN,
) -> pytest.MarkDecorator:
    """Run a test, which has the fixture ``made``, with each suite and generator.

    ``daily`` are those of ``make test``, as "SUITE-GENERATOR".
    """
    choices = [
        Choice(suite, made, client, layout)
        for suite, made in itertools.product(suites, generators)
        if (suite, made) not in IMPOSSIBLE
    ]
    if unknown := set(daily) - set(map(str, choices)):
        raise ValueError(f"not among the machines of the test: {', '.join(sorted(unknown))}")
    parameters = [
        pytest.param(choice, id=str(choice), marks=() if str(choice) in daily else pytest.mark.slow)
        for choice in choices
    ]
    return pytest.mark.parametrize("made", parameters, indirect=True)
