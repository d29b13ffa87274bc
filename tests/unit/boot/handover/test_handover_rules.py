# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which password goes to which prompt, and when the servers are asked again."""

from __future__ import annotations

from mandos.boot.handover.rules import FIRST_PAUSE, FIRST_RESPITE, LONGEST_PAUSE, Handover, Prompt

NOW = 100.0


def _after_a_wrong_one() -> tuple[Handover, Prompt]:
    """A hand-over that has given its password to a disk, which asks again."""
    rules = Handover()
    rules.fetched(b"wrong", NOW)
    rules.gave(Prompt(1, "root"), b"wrong", NOW)
    return rules, Prompt(2, "root")


def test_first_fetch_is_due_at_once() -> None:
    """Before anything is known, a fetch is due, and no prompt has an answer."""
    rules = Handover()
    assert rules.next_fetch([], NOW) == 0.0
    assert rules.answer(Prompt(1, "root"), NOW) is None


def test_prompt_is_answered_once() -> None:
    """A prompt that was answered and has not ended yet is neither answered nor wrong."""
    rules, _again = _after_a_wrong_one()
    assert rules.answer(Prompt(1, "root"), NOW) is None
    assert rules.next_fetch([Prompt(1, "root")], NOW) is None


def test_disk_that_asks_again_wants_another_password() -> None:
    """It does not get the same one; a fetch is due after the pause, and a new one is given."""
    rules, again = _after_a_wrong_one()
    assert rules.answer(again, NOW) is None
    assert rules.next_fetch([again], NOW) == NOW + FIRST_PAUSE
    rules.fetched(b"right", NOW)
    assert rules.answer(again, NOW) == b"right"


def test_another_disk_gets_the_same_password() -> None:
    """What is wrong for one disk may be right for the next."""
    rules, _again = _after_a_wrong_one()
    assert rules.answer(Prompt(3, "data"), NOW) == b"wrong"


def test_pauses_grow_to_a_limit() -> None:
    """A server that stays wrong, or away, is asked less and less often, but for ever."""
    rules, again = _after_a_wrong_one()
    pauses = []
    for password in (b"wrong", None, b"wrong", None, *[b""] * 8):
        rules.fetched(password, NOW)
        due = rules.next_fetch([again], NOW)
        assert due is not None
        pauses.append(due - NOW)
    assert pauses == sorted(pauses)
    assert pauses[0] > FIRST_PAUSE
    assert pauses[-1] == LONGEST_PAUSE


def test_same_password_is_tried_again_after_a_respite() -> None:
    """Each time the respite is twice as long."""
    rules, again = _after_a_wrong_one()
    later = NOW + FIRST_RESPITE
    assert rules.answer(again, later - 1) is None
    assert rules.answer(again, later) == b"wrong"
    rules.gave(again, b"wrong", later)
    third = Prompt(3, "root")
    assert rules.answer(third, later + FIRST_RESPITE) is None
    assert rules.answer(third, later + 2 * FIRST_RESPITE) == b"wrong"
