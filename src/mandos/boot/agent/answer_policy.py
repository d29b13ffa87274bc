# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which question gets which password, and when; no input or output, no clock of its own.

A program that gets a wrong password asks again, in a new file about the same subject, and often
only three times.  No subject therefore gets the same password twice; a question that cannot be
answered with the current password asks for another one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mandos.boot.agent.question import Question

#: The name, inode, size and time of change of a question's file.
Key = tuple[str, int, int, int]
#: How long, in seconds, to try an asker's socket that is full or gone, and how often at least.
TRYING = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
FOREVER = float("inf")


class Case:
    """A question whose file exists, and the state of its answer."""

    __slots__ = ("due", "first_try", "name", "pause", "question", "settled")

    def __init__(self, name: str, question: Question) -> None:
        self.name = name
        self.question = question
        self.settled = False  # answered, or given up
        self.due = 0.0
        self.first_try: float | None = None
        self.pause = _FIRST_PAUSE


class AnswerPolicy:
    """All questions that are open, and which passwords each subject has had (by their numbers)."""

    __slots__ = ("_cases", "_had")

    def __init__(self) -> None:
        self._cases: dict[Key, Case] = {}
        self._had: dict[bytes, set[int]] = {}

    def knows(self, key: Key) -> bool:
        """Whether this file has been read, and has not changed since."""
        return key in self._cases

    def update(self, questions: Mapping[Key, Question | None]) -> None:
        """Take the questions that the directory holds now; None for a question known already.

        Another program has answered, removed or renamed each question that is missing.
        """
        cases = {}
        for key, question in questions.items():
            if question is not None:
                cases[key] = Case(key[0], question)
            elif key in self._cases:
                cases[key] = self._cases[key]
        self._cases = cases

    def open(self, now: float) -> list[Case]:
        """The questions whose askers live and wait, answered or not."""
        return [case for case in self._cases.values() if _waits(case.question, now)]

    def due(self, password: int, now: float) -> Iterator[Case]:
        """The questions to answer now; each is decided after the answer to the one before."""
        for case in self._unsettled(now):
            if case.due <= now and not self._has_had(case, password):
                yield case

    def lacks(self, password: int | None, now: float) -> bool:
        """Whether a question is open that needs another password than this one."""
        return any(
            password is None or self._has_had(case, password) for case in self._unsettled(now)
        )

    def deadline(self, password: int | None, now: float) -> float:
        """When the next question is due, or has expired."""
        times = [
            case.due
            for case in self._unsettled(now)
            if password is not None and not self._has_had(case, password)
        ]
        times += [
            case.question.not_after / 1_000_000
            for case in self.open(now)
            if case.question.not_after
        ]
        return min(times, default=FOREVER)

    def answered(self, case: Case, password: int) -> None:
        """Note that the password has been sent."""
        case.settled = True
        self._had.setdefault(case.question.subject, set()).add(password)

    def failed(self, case: Case, now: float, *, hopeless: bool) -> None:
        """Note a failure to send; give up after TRYING seconds, or at once when hopeless."""
        if case.first_try is None:
            case.first_try = now
        case.due = now + case.pause
        case.pause = min(case.pause * 2, _LONGEST_PAUSE)
        case.settled = hopeless or now - case.first_try >= TRYING

    def _unsettled(self, now: float) -> Iterator[Case]:
        return (case for case in self.open(now) if not case.settled)

    def _has_had(self, case: Case, password: int) -> bool:
        return password in self._had.get(case.question.subject, ())


def _waits(question: Question, now: float) -> bool:
    return not question.expired(now) and question.asker_lives()
