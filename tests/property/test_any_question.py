# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password agent: any bytes as a question file, and any history of questions."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mandos.boot.agent import question
from mandos.boot.agent.answer_policy import AnswerPolicy, Key
from mandos.boot.agent.question import QuestionError

KEYS = st.sampled_from([b"PID", b"Socket", b"NotAfter", b"Message", b"Id", b"Echo", b"\0", b""])
VALUES = st.one_of(st.binary(max_size=130), st.integers().map(lambda number: b"%d" % number))
LINES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"[Ask]", b"[Ask] ", b"[", b"#", b"PID=1", b"Socket=/run/s"]),
    st.tuples(KEYS, VALUES).map(b"=".join),
)
FILES = st.one_of(st.binary(), st.lists(LINES).map(b"\n".join))


@given(FILES)
def test_any_bytes_are_a_question_or_a_refusal(data: bytes) -> None:
    """One error class leaves the parser, and what it returns keeps its bounds."""
    with contextlib.suppress(QuestionError):
        asked = question.parse(data)
        assert asked.pid > 0
        assert asked.not_after >= 0
        assert asked.socket.startswith(b"/")
        assert len(asked.socket) < 108
        assert b"\0" not in asked.socket
        assert asked.subject
        assert asked.title.isprintable()
        assert asked.expired(0.0) is False
        assert asked.asker_lives() in {True, False}


@given(FILES)
def test_any_file_is_read_as_its_bytes_are(data: bytes) -> None:
    """The road through the file system adds no other error."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "ask.1").write_bytes(data)
        outcomes = [
            _outcome(lambda: question.parse(data)),
            _outcome(lambda: question.read(directory, "ask.1")),
        ]
    assert outcomes[0] == outcomes[1]


def _outcome(reading: object) -> object:
    assert callable(reading)
    try:
        asked = reading()
    except QuestionError as error:
        return str(error)
    return asked.pid, asked.socket, asked.not_after, asked.message, asked.subject


NAMES, SUBJECTS = st.integers(0, 4), st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("appears"), NAMES, SUBJECTS),
    st.tuples(st.just("goes"), NAMES, st.just(0)),
    st.tuples(st.just("fetched"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("full"), NAMES, st.just(0)),
)


@given(st.lists(STEPS))
def test_no_subject_gets_one_password_twice(steps: list[tuple[str, int, int]]) -> None:
    """Whatever comes in whatever order."""
    policy, there, password = AnswerPolicy(), dict[Key, int](), 0
    sent: list[tuple[int, int]] = []
    full: set[str] = set()
    for now, (what, number, subject) in enumerate(steps):
        name = f"ask.{number}"
        if what == "appears":
            there = {key: about for key, about in there.items() if key[0] != name}
            there[name, now, 0, 0] = subject
        elif what == "goes":
            there = {key: about for key, about in there.items() if key[0] != name}
        elif what == "fetched":
            password = number
        else:
            full ^= {name}
        policy.update({key: None if policy.knows(key) else _ask(there[key]) for key in there})
        for case in policy.due(password, now * 1.0):
            if case.name in full:
                policy.failed(case, now * 1.0, hopeless=False)
            else:
                policy.answered(case, password)
                sent.append((int(case.question.subject[7:]), password))
    assert len(sent) == len(set(sent))


def _ask(subject: int) -> question.Question:
    return question.parse(b"[Ask]\nPID=%d\nSocket=/s\nId=subject%d\n" % (os.getpid(), subject))
