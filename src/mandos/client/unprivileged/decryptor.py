# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens servers' messages in processes of their own, which can be slow, grow or die at no cost.

The first such process is started before anything is heard from the network, so that it loads the
OpenPGP library and the key while servers answer, on another core where there is one.  Each works
without root, with limited memory, and a limited time for a message.  One that a message has left as
it was opens the next one: to start a process for each would let expensive messages hold up others.
"""

from __future__ import annotations

import os
import time

from mandos import process
from mandos.client.privileges import give_up_root
from mandos.client.unprivileged.loop import FOREVER, READ, WRITE
from mandos.errors import AdministratorError, MachineError, MandosError, PeerError
from mandos.lean_stdlib import signal, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mandos.client.unprivileged.loop import Loop

#: Seconds for one message; an RSA key of 4096 bits takes 0.02 s, an emulated machine 50 times that.
_TIME = 30.0
#: Seconds between tries to end a process that has not given root up yet; that takes it 0.1 s.
_PAUSE = 0.01
#: How many messages are opened at once, and how many wait for their turn: as many as the client has
#: connections (``turns.AT_ONCE``), so that none is given up for others.
_AT_ONCE, _QUEUE_LIMIT = 2, 64
_ANSWER_LIMIT = 1 << 16  # a password, or why there is none
#: Bytes that a process may have grown by when it opens another message.
_GROWTH = 4 << 20
_GOES_ON, _ENDS = b"+", b"."
_SIGNED, _UNSIGNED, _FAILED, _UNUSABLE = b"S", b"N", b"F", b"U"
_DEAD = "cannot decrypt the secret: damaged, too large, or encrypted for another key"


class Opened:
    """A password, and whether the client's own key has signed it."""

    __slots__ = ("password", "signed")

    def __init__(self, password: bytes, *, signed: bool) -> None:
        self.password = password
        self.signed = signed


class _Opener:
    """One process; ``done`` is set while it has a message to open."""

    __slots__ = ("deadline", "done", "message", "pid", "socket")

    def __init__(self, secret_key: bytes) -> None:
        self.done: Callable[[Opened | MandosError], None] | None = None
        #: The message until it has been handed over, whole: the sockets keep bounds.
        self.message = b""
        self.deadline = FOREVER
        self.pid, self.socket = process.accompany(
            lambda end: _serve(end, secret_key), socket.SOCK_SEQPACKET, errors=None
        )

    def end(self) -> None:
        """End and reap it.  The first can still have root, when we have none: then once it has not.

        It may have ended by itself before that, since there is nothing more to open.
        """
        self.socket.close()
        while True:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except PermissionError:
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    return
                time.sleep(_PAUSE)
            else:
                os.waitpid(self.pid, 0)
                return


class Openers:
    """The processes that open messages with one secret key, read from the file ``path``."""

    def __init__(self, secret_key: bytes, path: str) -> None:
        """Start the first; it must be given a loop before it is of use."""
        self._secret_key = secret_key
        self._path = path
        self._loop: Loop | None = None
        self._idle = [_Opener(secret_key)]
        self._busy: list[_Opener] = []
        self._queue: list[tuple[int, bytes, Callable[[Opened | MandosError], None]]] = []

    def attach(self, loop: Loop) -> None:
        """From now on let the loop serve them."""
        self._loop = loop
        for opener in self._idle:
            self._watch(opener)

    def open(
        self, sealed: bytes, done: Callable[[Opened | MandosError], None], before: int = 0
    ) -> None:
        """Open a message; ``done`` gets the password, or why there is none.

        ``before`` is how many of the same host were opened before: a host of which fewer were is
        served first.  When too many wait, the last of those with the most is given up.
        """
        self._queue.append((before, sealed, done))
        self._queue.sort(key=lambda entry: entry[0])  # stable
        self._begin()
        if len(self._queue) > _QUEUE_LIMIT:
            *_, given_up = self._queue.pop()
            given_up(PeerError(f"more than {_QUEUE_LIMIT} secrets wait to be decrypted"))

    def deadline(self, now: float) -> float:  # noqa: ARG002 - as every part of the loop
        """When the first of them has to be ended."""
        return min((one.deadline for one in self._busy), default=FOREVER)

    def tick(self, now: float) -> None:
        """End those that took too long."""
        for opener in [one for one in self._busy if one.deadline <= now]:
            self._finish(opener, PeerError("decrypting the secret took too long"))

    def close(self) -> None:
        """End all of them."""
        for opener in (*self._busy, *self._idle):
            self._drop(opener)
        self._busy, self._idle = [], []

    def _begin(self) -> None:
        while self._queue and len(self._busy) < _AT_ONCE:
            opener = self._idle.pop() if self._idle else self._start()
            _before, opener.message, opener.done = self._queue.pop(0)
            opener.deadline = time.monotonic() + _TIME
            self._busy.append(opener)
            self._write(opener)

    def _start(self) -> _Opener:
        opener = _Opener(self._secret_key)
        self._watch(opener)
        return opener

    def _watch(self, opener: _Opener) -> None:
        assert self._loop is not None  # noqa: S101 - attach comes first
        self._loop.watch(opener.socket.fileno(), lambda: self._serve(opener))

    def _serve(self, opener: _Opener) -> None:
        if opener.message:
            self._write(opener)
        self._read(opener)

    def _write(self, opener: _Opener) -> None:
        """Hand the message over."""
        assert self._loop is not None  # noqa: S101 - as above
        try:
            opener.socket.send(opener.message)
        except BlockingIOError:
            self._loop.change(opener.socket.fileno(), READ | WRITE)
            return
        except OSError:
            pass  # it has died; reading shows the reason
        opener.message = b""
        self._loop.change(opener.socket.fileno(), READ)

    def _read(self, opener: _Opener) -> None:
        try:
            answer = opener.socket.recv(_ANSWER_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            answer = b""  # it died with a message unread
        goes_on = answer[:1] == _GOES_ON
        self._finish(opener, _verdict(answer[1:], self._path), goes_on=goes_on)

    def _finish(
        self, opener: _Opener, result: Opened | MandosError, *, goes_on: bool = False
    ) -> None:
        """Pass the result for the message on; a key that cannot be used ends the program."""
        for openers in (self._busy, self._idle):
            if opener in openers:
                openers.remove(opener)
        done, opener.done, opener.deadline = opener.done, None, FOREVER
        if goes_on and done:
            self._idle.append(opener)
        else:
            self._drop(opener)
        if isinstance(result, (AdministratorError, MachineError)):
            raise result
        if done:
            done(result)
        self._begin()

    def _drop(self, opener: _Opener) -> None:
        if self._loop:
            self._loop.forget(opener.socket.fileno())
        opener.end()


def _serve(end: socket.socket, secret_key: bytes) -> None:
    """Run in such a process; load the library first, while root can still read it."""
    try:
        from mandos.openpgp import opening  # noqa: PLC0415 - the parent never needs it

        opening.load()
        process.load()
        give_up_root()
        key = opening.read_secret_key(secret_key)
    except (AdministratorError, MachineError) as error:
        end.send(_ENDS + _UNUSABLE + bytes([error.exit_code]) + _told(error))
        return
    most = process.address_space() + _GROWTH
    goes_on = True
    while goes_on and (message := end.recv(opening.MESSAGE_LIMIT + 1)):
        answer = _answer(lambda: opening.open_in_this_process(message, key))
        goes_on = process.address_space() <= most
        end.send((_GOES_ON if goes_on else _ENDS) + answer)


def _answer(open_message: Callable[[], tuple[bytes, bool]]) -> bytes:
    """The password, or why there is none; no message can end the client."""
    try:
        password, signed = open_message()
    except MandosError as error:
        return _FAILED + _told(error)
    return (_SIGNED if signed else _UNSIGNED) + password


def _told(error: MandosError) -> bytes:
    return "\0".join((str(error), error.hint or "")).encode(errors="replace")


def _verdict(answer: bytes, path: str) -> Opened | MandosError:
    kind, rest = answer[:1], answer[1:]
    if kind in {_SIGNED, _UNSIGNED}:
        return Opened(rest, signed=kind == _SIGNED)
    if kind == _FAILED:
        return _as_error(PeerError, "", rest)
    if kind == _UNUSABLE and rest[0] == MachineError.exit_code:
        return _as_error(MachineError, "", rest[1:])
    if kind == _UNUSABLE:
        return _as_error(AdministratorError, f"{path}: ", rest[1:])
    return PeerError(_DEAD, "encrypt the password again, on the client: mandos-keygen --password")


def _as_error(kind: type[MandosError], prefix: str, told: bytes) -> MandosError:
    message, _, hint = told.decode(errors="replace").partition("\0")
    return kind(prefix + message, hint or None)
