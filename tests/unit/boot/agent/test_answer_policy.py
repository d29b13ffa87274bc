# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the password agent answers with which password, and when; the clock is a number."""

from __future__ import annotations

import itertools
import os

from mandos.boot.agent import question
from mandos.boot.agent.answer_policy import FOREVER, TRYING, Agenda, Case, Key
from mandos.boot.agent.question import Question

FIRST, SECOND = 0, 1
NOBODY = 10**9


def _question(subject: bytes = b"disk", *, pid: int = 0, not_after: int = 0) -> Question:
    return question.parse(
        b"[Ask]\nPID=%d\nSocket=/s\nNotAfter=%d\nId=%b\n" % (pid or os.getpid(), not_after, subject)
    )


def _key(name: str) -> Key:
    return name, 0, 0, 0


def _agenda(**questions: Question) -> Agenda:
    agenda = Agenda()
    agenda.update({_key(name): asked for name, asked in questions.items()})
    return agenda


def _due(agenda: Agenda, password: int, now: float = 1.0) -> list[str]:
    return [case.name for case in agenda.due(password, now)]


def _answer(agenda: Agenda, password: int, now: float = 1.0) -> list[str]:
    done = []
    for case in agenda.due(password, now):
        agenda.answered(case, password)
        done.append(case.name)
    return done


def test_questions_about_different_things_get_the_same_password() -> None:
    """Two disks with one password."""
    agenda = _agenda(a=_question(b"one"), b=_question(b"two"))
    assert agenda.lacks(None, 1.0)
    assert _answer(agenda, FIRST) == ["a", "b"]
    assert _answer(agenda, FIRST) == []
    assert not agenda.lacks(FIRST, 1.0)


def test_an_answered_question_stays_open_until_its_file_goes() -> None:
    """It is not answered again meanwhile, by whatever password."""
    agenda = _agenda(a=_question())
    _answer(agenda, FIRST)
    assert [case.name for case in agenda.open(1.0)] == ["a"]
    assert _due(agenda, SECOND) == []
    agenda.update({})
    assert agenda.open(1.0) == []


def test_a_question_that_comes_again_needs_another_password() -> None:
    """Its askers have few tries, so the same password is not sent to it again."""
    agenda = _agenda(a=_question())
    _answer(agenda, FIRST)
    agenda.update({_key("b"): _question()})
    assert _due(agenda, FIRST) == []
    assert agenda.lacks(FIRST, 1.0)
    assert not agenda.lacks(SECOND, 1.0)
    assert _answer(agenda, SECOND) == ["b"]
    agenda.update({_key("c"): _question()})
    assert agenda.lacks(FIRST, 1.0)
    assert agenda.lacks(SECOND, 1.0)


def test_one_subject_asked_twice_at_once_is_answered_once() -> None:
    """Each question is decided when its turn comes."""
    agenda = _agenda(a=_question(), b=_question())
    assert _answer(agenda, FIRST) == ["a"]
    assert agenda.lacks(FIRST, 1.0)


def test_dead_and_expired_questions_are_left_alone() -> None:
    """They need no password, and are not open."""
    agenda = _agenda(a=_question(pid=NOBODY), b=_question(not_after=1_000_000))
    assert _due(agenda, FIRST) == []
    assert not agenda.lacks(None, 1.0)
    assert agenda.open(1.0) == []
    assert [case.name for case in agenda.open(0.9)] == ["b"]
    assert agenda.deadline(None, 0.5) == 1.0


def test_a_file_that_changed_is_a_new_question() -> None:
    """The same name with another inode, size or time."""
    agenda = _agenda(a=_question(b"one"))
    _answer(agenda, FIRST)
    agenda.update({("a", 1, 0, 0): _question(b"two")})
    assert _answer(agenda, FIRST) == ["a"]


def test_a_known_file_keeps_its_place() -> None:
    """It need not be read again; an unknown one that could not be read is nothing."""
    agenda = _agenda(a=_question())
    _answer(agenda, FIRST)
    assert agenda.knows(_key("a"))
    agenda.update({_key("a"): None, _key("b"): None})
    assert not agenda.knows(_key("b"))
    assert _due(agenda, FIRST) == []


def _only(agenda: Agenda, now: float) -> Case:
    (case,) = agenda.due(FIRST, now)
    return case


def test_a_socket_that_takes_nothing_is_tried_for_a_while() -> None:
    """With growing pauses of at most two seconds, and then no longer."""
    agenda = _agenda(a=_question())
    assert agenda.deadline(None, 0.0) == FOREVER
    now, times = 0.0, []
    while agenda.lacks(None, now):
        times.append(now)
        agenda.failed(_only(agenda, now), now, hopeless=False)
        assert _due(agenda, FIRST, now) == []
        now = min(agenda.deadline(FIRST, now), 1000.0)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert times[-1] >= TRYING
    assert times[-1] <= TRYING + 2.0
    assert all(0.09 < pause < 2.01 for pause in pauses)
    assert [case.name for case in agenda.open(now)] == ["a"]


def test_a_hopeless_answer_is_tried_once() -> None:
    """Such as one that is too long for the socket."""
    agenda = _agenda(a=_question())
    agenda.failed(_only(agenda, 1.0), 1.0, hopeless=True)
    assert not agenda.lacks(None, 1.0)


def test_an_answer_that_failed_is_no_try_of_the_asker() -> None:
    """What did not arrive may be sent again."""
    agenda = _agenda(a=_question())
    agenda.failed(_only(agenda, 1.0), 1.0, hopeless=False)
    assert _answer(agenda, FIRST, 2.0) == ["a"]
