# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host names, looked up in a process of its own: the C library's resolver blocks, at times long."""

from __future__ import annotations

import os
import time

from mandos import process
from mandos.client.unprivileged.loop import FOREVER
from mandos.lean_stdlib import signal, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.client.unprivileged.loop import Loop

#: Seconds that one look-up may take.
_TIME = 15.0
_ADDRESS_LIMIT = 16
_ANSWER_LIMIT = 1 << 12
#: Beginning of an answer that is no list of addresses but the reason why there is none.
_WHY = "!"


class Lookup:
    """One look-up under way; ``done`` gets numeric addresses, or none and why it failed."""

    __slots__ = ("_done", "_loop", "_pid", "_said", "_socket", "deadline")

    def __init__(self, host: str, loop: Loop, done: Callable[[list[str], str], object]) -> None:
        self._loop = loop
        self._done = done
        self._said = b""
        self.deadline = time.monotonic() + _TIME
        self._pid, self._socket = process.accompany(
            lambda end: end.sendall(_answer(host)),
            socket.SOCK_STREAM,
            errors=None,
        )
        loop.watch(self._socket.fileno(), self._hear)

    def close(self) -> None:
        """End it; nothing comes of it any more."""
        if self.deadline < FOREVER:
            self.deadline = FOREVER
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def give_up(self) -> None:
        """End it as a failure."""
        self.close()
        self._done([], f"no answer within {_TIME:g} seconds")

    def _hear(self) -> None:
        try:
            piece = self._socket.recv(_ANSWER_LIMIT)
        except BlockingIOError:
            return
        self._said += piece
        if piece and len(self._said) < _ANSWER_LIMIT:
            return
        self.close()
        said = self._said.decode(errors="replace")
        if said.startswith(_WHY):
            self._done([], said.removeprefix(_WHY))
        else:
            self._done(said.split()[:_ADDRESS_LIMIT], "no address")


def _answer(host: str) -> bytes:
    try:
        return "\n".join(_look_up(host)).encode()
    except OSError as error:
        return f"{_WHY}{error.strerror}".encode(errors="replace")


def _look_up(host: str) -> list[str]:
    """All addresses of a host, the preferred first (getaddrinfo(3), gai.conf(5))."""
    # As bytes: the codec for non-ASCII names is expensive, and such names are refused before.
    found = socket.getaddrinfo(host.encode(), None, socket.AF_UNSPEC, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
