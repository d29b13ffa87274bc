# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making keys, which may take half a minute: in a process of its own, with signs of life.

The library's work cannot be interrupted, so that Ctrl-C would wait for its end.  Its process can be
killed at once, and has nothing but memory to lose.
"""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Self

from mandos import process
from mandos.openpgp import sealing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from mandos.openpgp.kinds import KeyKind
    from mandos.openpgp.sealing import KeyPair, UserID

_MEMORY = 256 << 20
_SIZE = 1 << 20
_TIME = 900.0  # seconds; the slowest machines need minutes for primes of 4096 bits


class Interrupted(BaseException):
    """A signal asks the program to end; not an Exception, so that only clean-up comes before."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Meanwhile a signal that asks for an end raises Interrupted, so that things are put back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is not signal.SIG_IGN:  # as under nohup(1)
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    for later in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(later, signal.SIG_IGN)  # nothing holds up the clean-up
    raise Interrupted(number)


def make(user_id: UserID, primary: KeyKind, subkey: KeyKind, expire: str | None) -> KeyPair:
    """As ``sealing.generate_keys``, and it can be interrupted at any time."""
    with _Progress(primary, subkey) as progress:
        if expire is not None:  # by GnuPG, which is a process already and puts its home away
            return sealing.generate_keys(user_id, primary, subkey, expire)
        sealing.require_a_time()

        def work() -> bytes:
            pair = sealing.generate_keys(user_id, primary, subkey)
            return b"\0".join((pair.public, pair.secret, pair.fingerprint.encode()))

        made = process.run_isolated(
            work, memory=_MEMORY, size=_SIZE, timeout=_TIME, waiting=progress.tick
        )
    public, secret, fingerprint = made.split(b"\0")
    return sealing.KeyPair(public, secret, fingerprint.decode())


class _Progress:
    """A line on standard error: at once when it will take long, else after a second.

    A terminal gets a dot for each second more.
    """

    def __init__(self, primary: KeyKind, subkey: KeyKind) -> None:
        self._slow = [kind for kind in (primary, subkey) if kind.is_rsa]
        self._begun = False

    def __enter__(self) -> Self:
        if self._slow:
            bits = " and ".join(str(kind.length) for kind in self._slow)
            self._begin(f"making RSA keys of {bits} bits, which can take half a minute")
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._begun and sys.stderr.isatty():
            _show("\n")

    def tick(self) -> None:
        """A second has gone by."""
        self._begin("making keys")
        if sys.stderr.isatty():
            _show(".")

    def _begin(self, text: str) -> None:
        if not self._begun:
            self._begun = True
            _show(f"mandos-keygen: {text}" + (" " if sys.stderr.isatty() else "\n"))


def _show(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
