# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a boot test, the disks, and how long each boot took."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from harness.families import reference
from harness.vm.boot import Site
from harness.vm.images import disks as make_disks
from harness.vm.images import why_no_vm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.vm.images import Disks

    Took = Callable[[dict[str, float]], None]


@pytest.fixture(scope="session")
def disks() -> Disks:
    """The encrypted disks."""
    if (reason := why_no_vm()) is not None:
        pytest.skip(reason)
    if missing := reference().missing():
        pytest.skip(f"not installed: {', '.join(missing)} (tools/test-setup does it when root)")
    return make_disks()


@pytest.fixture
def site(disks: Disks) -> Iterator[Site]:
    """A network of the test's own; whatever is on it ends with the test."""
    del disks
    with ExitStack() as stack:
        yield Site.of(stack)


@pytest.fixture
def took(record_property: Callable[[str, object], None]) -> Took:
    """Record how long a boot took: shown when all tests have ended (tests/conftest.py)."""

    def record(seconds: dict[str, float]) -> None:
        for name, figure in seconds.items():
            record_property(f"seconds to {name}", round(figure, 1))

    return record
