# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the password agent answers with which password, and when; the clock is a number."""

from __future__ import annotations

import itertools
import os

from mandos.boot.agent import question
from mandos.boot.agent.answer_policy import FOREVER, TRYING, AnswerPolicy, Case, Key
from mandos.boot.agent.question import Question

FIRST, SECOND = 0, 1
NOBODY = 10**9


def _question(subject: bytes = b"disk", *, pid: int = 0, not_after: int = 0) -> Question:
    return question.parse(
        b"[Ask]\nPID=%d\nSocket=/s\nNotAfter=%d\nId=%b\n" % (pid or os.getpid(), not_after, subject)
    )


def _key(name: str) -> Key:
    return name, 0, 0, 0


def _policy(**questions: Question) -> AnswerPolicy:
    policy = AnswerPolicy()
    policy.update({_key(name): asked for name, asked in questions.items()})
    return policy


def _due(policy: AnswerPolicy, password: int, now: float = 1.0) -> list[str]:
    return [case.name for case in policy.due(password, now)]


def _answer(policy: AnswerPolicy, password: int, now: float = 1.0) -> list[str]:
    done = []
    for case in policy.due(password, now):
        policy.answered(case, password)
        done.append(case.name)
    return done


def test_questions_about_different_things_get_the_same_password() -> None:
    """Two disks with one password."""
    policy = _policy(a=_question(b"one"), b=_question(b"two"))
    assert policy.lacks(None, 1.0)
    assert _answer(policy, FIRST) == ["a", "b"]
    assert _answer(policy, FIRST) == []
    assert not policy.lacks(FIRST, 1.0)


def test_an_answered_question_stays_open_until_its_file_goes() -> None:
    """It is not answered again meanwhile, by whatever password."""
    policy = _policy(a=_question())
    _answer(policy, FIRST)
    assert [case.name for case in policy.open(1.0)] == ["a"]
    assert _due(policy, SECOND) == []
    policy.update({})
    assert policy.open(1.0) == []


def test_a_question_that_comes_again_needs_another_password() -> None:
    """Its askers have few tries, so the same password is not sent to it again."""
    policy = _policy(a=_question())
    _answer(policy, FIRST)
    policy.update({_key("b"): _question()})
    assert _due(policy, FIRST) == []
    assert policy.lacks(FIRST, 1.0)
    assert not policy.lacks(SECOND, 1.0)
    assert _answer(policy, SECOND) == ["b"]
    policy.update({_key("c"): _question()})
    assert policy.lacks(FIRST, 1.0)
    assert policy.lacks(SECOND, 1.0)


def test_one_subject_asked_twice_at_once_is_answered_once() -> None:
    """Each question is decided when its turn comes."""
    policy = _policy(a=_question(), b=_question())
    assert _answer(policy, FIRST) == ["a"]
    assert policy.lacks(FIRST, 1.0)


def test_dead_and_expired_questions_are_left_alone() -> None:
    """They need no password, and are not open."""
    policy = _policy(a=_question(pid=NOBODY), b=_question(not_after=1_000_000))
    assert _due(policy, FIRST) == []
    assert not policy.lacks(None, 1.0)
    assert policy.open(1.0) == []
    assert [case.name for case in policy.open(0.9)] == ["b"]
    assert policy.deadline(None, 0.5) == 1.0


def test_a_file_that_changed_is_a_new_question() -> None:
    """The same name with another inode, size or time."""
    policy = _policy(a=_question(b"one"))
    _answer(policy, FIRST)
    policy.update({("a", 1, 0, 0): _question(b"two")})
    assert _answer(policy, FIRST) == ["a"]


def test_a_known_file_keeps_its_place() -> None:
    """It need not be read again; an unknown one that could not be read is nothing."""
    policy = _policy(a=_question())
    _answer(policy, FIRST)
    assert policy.knows(_key("a"))
    policy.update({_key("a"): None, _key("b"): None})
    assert not policy.knows(_key("b"))
    assert _due(policy, FIRST) == []


def _only(policy: AnswerPolicy, now: float) -> Case:
    (case,) = policy.due(FIRST, now)
    return case


def test_a_socket_that_takes_nothing_is_tried_for_a_while() -> None:
    """With growing pauses of at most two seconds, and then no longer."""
    policy = _policy(a=_question())
    assert policy.deadline(None, 0.0) == FOREVER
    now, times = 0.0, []
    while policy.lacks(None, now):
        times.append(now)
        policy.failed(_only(policy, now), now, hopeless=False)
        assert _due(policy, FIRST, now) == []
        now = min(policy.deadline(FIRST, now), 1000.0)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert times[-1] >= TRYING
    assert times[-1] <= TRYING + 2.0
    assert all(0.09 < pause < 2.01 for pause in pauses)
    assert [case.name for case in policy.open(now)] == ["a"]


def test_a_hopeless_answer_is_tried_once() -> None:
    """Such as one that is too long for the socket."""
    policy = _policy(a=_question())
    policy.failed(_only(policy, 1.0), 1.0, hopeless=True)
    assert not policy.lacks(None, 1.0)


def test_an_answer_that_failed_is_no_try_of_the_asker() -> None:
    """What did not arrive may be sent again."""
    policy = _policy(a=_question())
    policy.failed(_only(policy, 1.0), 1.0, hopeless=False)
    assert _answer(policy, FIRST, 2.0) == ["a"]
