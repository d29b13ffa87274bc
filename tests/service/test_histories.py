# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories of real servers, and the rules that hold in each of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.history_run import play
from harness.host import why_impossible
from harness.postgresql import why_no_postgresql

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(why_impossible() is not None, reason=str(why_impossible())),
]
THREE = ("one", "two", "three")
#: Seconds that servers go on without their database, where they do.
ALONE = 4


def _seeds(some: int, all_of_them: int) -> list[object]:
    """The seeds of the quick tests, and those of the slow ones."""
    slow = (pytest.param(seed, marks=pytest.mark.slow) for seed in range(some, all_of_them))
    return [*range(some), *slow]


@pytest.mark.skipif(why_no_postgresql() is not None, reason=str(why_no_postgresql()))
@pytest.mark.parametrize("seed", _seeds(4, 200))
async def test_servers_that_share_a_database_keep_the_rules(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    """Three servers, a primary and a synchronous standby; all may be killed, paused or cut off."""
    broken = await play(seed, THREE, record_property, shared=True)
    assert not broken, "\n".join(broken)


@pytest.mark.skipif(why_no_postgresql() is not None, reason=str(why_no_postgresql()))
@pytest.mark.parametrize("seed", _seeds(1, 60))
async def test_servers_that_go_on_without_the_database_keep_the_rules(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    """A disabled client gets nothing as soon as that time is over, and all is recorded then."""
    broken = await play(seed, THREE, record_property, shared=True, alone=ALONE)
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("seed", _seeds(2, 40))
async def test_one_server_keeps_the_rules(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    """A server with its own SQLite database, which is killed and paused."""
    broken = await play(seed, ("one",), record_property, shared=False)
    assert not broken, "\n".join(broken)
