# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person at the console is told while a client waits, and how little of it."""

from __future__ import annotations

import itertools

import pytest

from mandos.client.notices import HELD_BACK, SHOWN_BURST, SHOWN_PAUSE, Board, Sparing
from mandos.client.unprivileged import waiting
from mandos.client.unprivileged.waiting import Waiting, waiting_text
from mandos.links import Link

UP, BROADCAST, RUNNING = 0x1, 0x2, 0x40


def test_first_texts_are_told_at_once_and_later_ones_one_by_one() -> None:
    """However many there are, few are told; how many were not is known."""
    sparing = Sparing(burst=3, pause=60.0, again=0.0)
    told = [second for second in range(300) if sparing.allows(f"text {second}", 1000.0 + second)]
    assert told[:3] == [0, 1, 2]
    assert told[3:] == [60, 120, 180, 240]
    assert sparing.dropped == 300 - 7


def test_same_text_is_told_again_only_later() -> None:
    """A repetition costs nothing, and does not count as one that was left out."""
    sparing = Sparing(burst=3, pause=1.0, again=100.0)
    assert sparing.allows("a", 0.0)
    assert not any(sparing.allows("a", second) for second in range(1, 100))
    assert sparing.dropped == 0
    assert sparing.allows("a", 100.0)


def test_memory_for_texts_is_bounded() -> None:
    """Ever new texts are forgotten again."""
    sparing = Sparing(burst=10**6, pause=1.0, again=10.0**9)
    for number in range(5000):
        assert sparing.allows(str(number), 0.0)
    assert len(sparing._told) < 300


def test_board_shows_notices_of_a_client_that_takes_long() -> None:
    """Other lines are for the log; the client's first seconds are nobody's business."""
    board = Board()
    board.begin(100.0)
    board.feed("mandos-client: notice: the first")
    board.feed("mandos-client: [fe80::1%eth0]:4711: something for the log")
    board.feed("local-plugin: notice: not ours")
    assert board.deadline == 100.0 + HELD_BACK
    assert board.due(100.0 + HELD_BACK - 0.1) == []
    assert board.due(100.0 + HELD_BACK) == ["mandos-client: the first"]
    assert board.due(1000.0) == []
    board.feed("mandos-client: notice: the second")
    assert board.due(200.0) == ["mandos-client: the second"]


def test_board_shows_nothing_of_a_client_that_had_the_password() -> None:
    """One of two servers does not know the client: no line disturbs such a boot."""
    board = Board()
    board.begin(0.0)
    board.feed("mandos-client: notice: a server refused")
    board.end()
    assert board.deadline is None
    assert board.due(1000.0) == []


def test_board_shows_why_clients_end_one_after_the_other() -> None:
    """One that cannot use its keys is started again before its words were due."""
    board = Board()
    shown = []
    for second in range(60):
        if second % 5 == 0:
            board.begin(float(second))
            board.feed("mandos-client: notice: a key cannot be read")
        shown += [(second, line) for line in board.due(float(second))]
    assert shown == [(HELD_BACK, "mandos-client: a key cannot be read")]


def test_board_is_never_flooded() -> None:
    """Rogues that make every new client complain anew are shown within the same bounds."""
    board = Board()
    shown = []
    for run in range(100):
        board.begin(run * 30.0)
        for number in range(50):
            board.feed(f"mandos-client: notice: rogue {run}-{number}")
        shown += board.due(run * 30.0 + HELD_BACK)
    assert len(shown) <= SHOWN_BURST + 100 * 30.0 / SHOWN_PAUSE


def test_waiting_names_interfaces_and_what_they_lack() -> None:
    """One line says where a server is waited for, and why none may be heard there."""
    links = [
        Link(2, ("eth0",), BROADCAST | UP | RUNNING),
        Link(3, ("eth1",), BROADCAST | UP),
        Link(4, ("eth2",), BROADCAST),
        Link(5, ("eth3",), BROADCAST | UP | RUNNING),
    ]
    assert waiting_text(links, {2, 4}) == (
        "waiting for a Mandos server to announce itself on "
        "eth0 (ready), eth1 (no link), eth2 (down), eth3 (no address)"
    )


def test_waiting_without_or_with_very_many_interfaces() -> None:
    """The line stays a line."""
    assert "there is none" in waiting_text([], set())
    links = [Link(number, (f"eth{number}",), BROADCAST) for number in range(80)]
    text = waiting_text(links, set())
    assert text.endswith("eth5 (down), 74 more")


class _Network:
    """A network without interfaces, as far as this part is concerned."""

    selected: tuple[Link, ...] = ()


class _Knowing:
    knows_a_server = False


def test_waiting_is_told_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 10 seconds, then with growing pauses of an hour at most; never once one is known."""

    class Clock:
        monotonic = staticmethod(lambda: 0.0)

    monkeypatch.setattr(waiting, "time", Clock)
    fetcher = _Knowing()
    told: list[str] = []
    times: list[int] = []
    part = Waiting(_Network, fetcher, told.append)  # type: ignore[arg-type]
    for second in range(24 * 3600):
        part.tick(float(second))
        if len(told) > len(times):
            times.append(second)
    assert times[:4] == [10, 40, 130, 400]
    assert len(times) < 40
    assert all(later - former <= 3600 for former, later in itertools.pairwise(times))
    fetcher.knows_a_server = True
    part.tick(10.0**9)
    assert len(told) == len(times)
    assert part.deadline(0.0) == float("inf")
