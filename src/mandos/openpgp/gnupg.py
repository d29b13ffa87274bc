# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs GnuPG, where it is installed, for work that the library cannot do, mostly expiring keys.

Each use has a home directory of its own, readable by us alone, which is gone afterwards together
with the agent that GnuPG starts in it, even when this process is killed.  Keys, messages and
passwords travel by pipe.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from typing import TYPE_CHECKING

from mandos import process
from mandos.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

_OPENING_TIME = 60.0  # an emulated or overloaded machine needs seconds
_GENERATION_TIME = 600.0  # primes of 4096 bits on the slowest machines
_ENDING_TIME = 20.0
_PAUSE = 0.01
#: Longest directory that leaves room for the agent's socket in the 108 bytes of unix(7).
_LONGEST_FOLDER = 60
_OPTIONS = ("--batch", "--quiet", "--no-tty", "--no-options", "--trust-model", "always")
#: No OCB, which the library cannot open, and no SHA-1.
_PLAIN = ("--rfc4880", "--cipher-algo", "AES256", "--digest-algo", "SHA512")


def available() -> bool:
    """Whether gpg can be found."""
    return shutil.which("gpg") is not None


def generate(parameters: str) -> bytes:
    """Make a key pair without passphrase; returns the armored secret key.  Raises MachineError.

    ``parameters`` are lines as in "Unattended key generation" of the GnuPG manual.
    """
    script = f"%no-protection\n{parameters}%commit\n".encode()
    with Home() as home:
        home.run(["--generate-key"], script, _GENERATION_TIME)
        return home.run(["--armor", "--export-secret-keys"], b"", _OPENING_TIME)


def seal(password: bytes, secret_key: bytes, fingerprint: str) -> bytes:
    """Encrypt a password to a key and sign it with that key.  Raises MachineError."""
    key = ["--recipient", fingerprint, "--local-user", fingerprint]
    with Home() as home:
        home.run(["--import"], secret_key, _OPENING_TIME)
        return home.run([*_PLAIN, *key, "--sign", "--encrypt"], password, _OPENING_TIME)


class Home:
    """A private, temporary GnuPG home directory; a context manager.

    A cleaner, a process of its own, removes it when this process is killed; if the cleaner is
    killed, this process does.  Both end the programs of GnuPG that use the directory.
    """

    def __enter__(self) -> Self:
        usual = tempfile.gettempdir()
        place = usual if len(usual) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 - not guessable
        self._folder = os.path.join(place, f"mandos-gnupg-{secrets.token_hex(8)}")  # noqa: PTH118
        self._cleaner, self._end = process.accompany(
            self._clean_up_after_us, socket.SOCK_STREAM, errors=None
        )
        try:
            os.mkdir(self._folder, mode=0o700)  # noqa: PTH102
        except OSError as error:
            self._dismiss_cleaner()
            raise MachineError(f"cannot make {self._folder}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            _remove(self._folder)
        finally:
            self._dismiss_cleaner()

    def run(self, command: Sequence[str], data: bytes, timeout: float) -> bytes:
        """Run gpg with ``data`` as its input; returns its output.  Raises MachineError."""
        whole = ["gpg", "--homedir", self._folder, *_OPTIONS, *command]
        env = {**os.environ, "LC_ALL": "C", "GNUPGHOME": self._folder}
        return process.run(whole, input=data, env=env, timeout=timeout).require_success()

    def _clean_up_after_us(self, end: socket.socket) -> None:
        """The cleaner's work: wait until the process that uses the directory has ended."""
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end.recv(1)
        _remove(self._folder)

    def _dismiss_cleaner(self) -> None:
        self._end.close()
        os.waitpid(self._cleaner, 0)


def _remove(folder: str) -> None:
    """End the programs that use a home directory, and remove it, until neither is there."""
    deadline = time.monotonic() + _ENDING_TIME
    while time.monotonic() < deadline:
        users = _users(folder)
        for user in users:
            with contextlib.suppress(OSError):  # it has just ended, or is not ours
                os.kill(user, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
        if not users and not os.path.lexists(folder):
            return
        time.sleep(_PAUSE)


def _users(folder: str) -> list[int]:
    """Processes that have the directory as an argument: gpg and its agent.

    Their owner would not find them: an agent that no process may trace counts as root's.
    """
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has just ended
            with open(f"/proc/{entry.name}/cmdline", "rb") as file:  # noqa: PTH123
                arguments = file.read().split(b"\0")
            if os.fsencode(folder) in arguments:
                found.append(int(entry.name))
    return found
