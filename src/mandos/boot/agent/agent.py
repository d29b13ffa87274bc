# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's loop: reads the questions, starts the fetch, answers, and waits for more."""

from __future__ import annotations

import select
import time

from mandos.boot.agent import question
from mandos.boot.agent.answer_policy import FOREVER, TRYING, AnswerPolicy
from mandos.boot.agent.delivery import DeliveryError, deliver
from mandos.boot.agent.fetch import FetchError
from mandos.boot.agent.vault import Vault
from mandos.errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.boot.agent.answer_policy import Case, Key
    from mandos.boot.agent.directory import Directory
    from mandos.boot.agent.fetch import ClientProcess
    from mandos.boot.agent.messages import Messages
    from mandos.boot.agent.question import Question

#: Seconds between the end of a client that failed and the next: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: The agent reads the directory this often without an event: an asker may die and leave its file.
_LOOK_TIME = 10.0


class Agent:
    """One run of the agent.  It calls ``start`` to start the client once there is a question.

    Times in seconds: ``linger`` is how long to wait after the last question has gone, ``retry``
    how long until the password is fetched again after a wrong one.
    """

    __slots__ = (
        "_asked",
        "_bad",
        "_directory",
        "_fetch",
        "_linger",
        "_messages",
        "_next_fetch",
        "_pause",
        "_policy",
        "_quiet_since",
        "_retry",
        "_say",
        "_start",
        "_vault",
    )  # fmt: skip

    def __init__(
        self,
        directory: Directory,
        start: Callable[[], ClientProcess],
        linger: float,
        retry: float,
        say: Callable[[str], None],
        messages: Messages,
    ) -> None:
        self._directory = directory
        self._messages = messages
        self._start = start
        self._linger = linger
        self._retry = retry
        self._say = say
        self._policy = AnswerPolicy()
        self._vault = Vault()
        self._fetch: ClientProcess | None = None
        self._next_fetch = 0.0
        self._pause = FIRST_PAUSE
        self._bad: set[Key] = set()
        self._asked = False
        self._quiet_since = FOREVER

    def run(self, ending: int) -> None:
        """Work until there was a question and none has been for a while, or until a signal.

        The descriptor ``ending`` becomes readable when a signal asks for the end.
        """
        ended = False
        while not ended:
            now = time.monotonic()
            self._look(now)
            if now >= self._quiet_since + self._linger:
                return
            self._take_password(now)
            self._answer(now)
            self._start_client(now)
            self._messages.show(now, [one.question.title for one in self._policy.open(now)])
            ended = self._wait(ending, self._deadline(now))
            self._messages.read()

    def close(self) -> None:
        """End the client and forget the passwords."""
        if self._fetch is not None:
            self._fetch.stop()
            self._fetch = None
        self._messages.close()
        self._vault.wipe()

    def _look(self, now: float) -> None:
        keys = self._directory.listing()
        self._bad.intersection_update(keys)
        self._policy.update({key: self._read(key) for key in keys if key not in self._bad})
        if self._policy.open(now):
            self._asked = True
            self._quiet_since = FOREVER
        elif self._asked and self._quiet_since == FOREVER:
            self._quiet_since = now

    def _read(self, key: Key) -> Question | None:
        if self._policy.knows(key):
            return None
        try:
            return question.read(self._directory.path, key[0])
        except question.QuestionError as error:
            if not error.gone:
                self._bad.add(key)
                self._say(f"left alone: {key[0]!a}: {error}")
            return None

    def _take_password(self, now: float) -> None:
        if self._fetch is None:
            return
        self._fetch.read()
        if not self._fetch.ended():
            return
        fetch, self._fetch = self._fetch, None
        try:
            different = self._vault.add(fetch.result())
        except FetchError as error:
            self._client_failed(error, now)
            return
        self._messages.end()
        self._pause = FIRST_PAUSE
        self._next_fetch = now + self._retry
        if not different:
            self._say(
                "the servers sent a password that was wrong before; asking them again every"
                f" {self._retry:g} s until they send another one"
            )

    def _answer(self, now: float) -> None:
        password = self._vault.current
        if password is None:
            return
        for case in self._policy.due(password, now):
            try:
                with self._vault.content(password) as content:
                    deliver(case.question.socket, content)
            except DeliveryError as error:
                self._delivery_failed(case, error, now)
            else:
                self._policy.answered(case, password)
                self._say(f"answered: {case.question.title}")

    def _delivery_failed(self, case: Case, error: DeliveryError, now: float) -> None:
        first = case.first_try is None
        self._policy.failed(case, now, hopeless=error.hopeless)
        if case.settled:
            self._say(f"gave up: {case.question.title}: {error}")
        elif first:
            self._say(f"cannot answer yet: {case.question.title}: {error}; trying for {TRYING:g} s")

    def _start_client(self, now: float) -> None:
        if self._fetch is None and now >= self._next_fetch and self._lacks_password(now):
            try:
                self._messages.begin(now)
                self._fetch = self._start()
            except MachineError as error:
                self._client_failed(error, now)

    def _lacks_password(self, now: float) -> bool:
        return self._policy.lacks(self._vault.current, now)

    def _client_failed(self, error: MachineError, now: float) -> None:
        self._say(f"{error}; starting it again in {self._pause:g} s")
        self._next_fetch = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _deadline(self, now: float) -> float:
        times = [
            now + _LOOK_TIME,
            self._quiet_since + self._linger,
            self._policy.deadline(self._vault.current, now),
        ]
        if self._messages.deadline is not None:
            times.append(self._messages.deadline)
        if self._fetch is None and self._lacks_password(now):
            times.append(self._next_fetch)
        return min(times)

    def _wait(self, ending: int, deadline: float) -> bool:
        """Wait for something to happen; returns whether a signal asks for the end."""
        poll = select.poll()
        fetching = () if self._fetch is None else self._fetch.descriptors()
        for descriptor in (ending, self._directory.fileno(), self._messages.fileno(), *fetching):
            poll.register(descriptor, select.POLLIN)
        # A millisecond more: a deadline that is nearly reached would make the loop spin.
        milliseconds = max(deadline - time.monotonic(), 0.0) * 1000 + 1
        ready = [descriptor for descriptor, _event in poll.poll(milliseconds)]
        if self._directory.fileno() in ready:
            self._directory.read_events()
        return ending in ready
