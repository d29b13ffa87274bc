# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of turns, for any arrivals from any sources."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from mandos.server.requests.fair_queue import FairQueue

Source = tuple[str, ...]

_SOURCES = st.tuples(st.sampled_from("ABC"), st.sampled_from("1234"))
#: A source that adds an item; a number: the item that is given up among those that wait; or a turn.
_STEPS = st.lists(st.one_of(_SOURCES, st.integers(0, 20), st.none()), max_size=200)


class Model:
    """Who waits, and how many turns others had since the one before the next of each."""

    def __init__(self) -> None:
        self.waiting: dict[int, Source] = {}
        self.passed: defaultdict[Source, Counter[Source]] = defaultdict(Counter)
        self._number = 0

    def add(self, source: Source) -> int:
        """A new item of this source."""
        self._number += 1
        self.waiting[self._number] = source
        return self._number

    def remove(self, item: int) -> None:
        """An item waits no more; a group that is empty now has no claims."""
        source = self.waiting.pop(item)
        for group in (source, source[:1]):
            if not any(other[: len(group)] == group for other in self.waiting.values()):
                self.passed.pop(group, None)

    def turn(self, item: int) -> None:
        """An item has its turn: it is the oldest of its address, and overtakes no group twice."""
        source = self.waiting[item]
        assert item == min(one for one, where in self.waiting.items() if where == source)
        for group in (source, source[:1]):
            self.passed[group].clear()
            others = {where[: len(group)] for where in self.waiting.values()} - {group}
            for other in others:
                if other[:-1] == group[:-1]:
                    self.passed[other][group] += 1
                    assert self.passed[other][group] <= 1, f"{group} overtook {other}"
        self.remove(item)


@given(_STEPS)
def test_turns_go_round(steps: list[Source | int | None]) -> None:
    """No address has two turns while another of its network waits; so do networks."""
    queue, model = FairQueue[int](), Model()
    for step in steps:
        if isinstance(step, tuple):
            queue.add(step, model.add(step))
        elif step is not None and model.waiting:
            item = sorted(model.waiting)[step % len(model.waiting)]
            queue.discard(model.waiting[item], item)
            model.remove(item)
        elif model.waiting:
            model.turn(queue.take())
        assert bool(queue) is bool(model.waiting)
    while queue:
        model.turn(queue.take())
    assert not model.waiting
    assert not queue._members
