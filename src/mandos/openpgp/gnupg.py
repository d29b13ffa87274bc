# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the library cannot make, made by GnuPG where it is installed: keys that expire, mostly.

Each use has a home directory of its own, readable by us alone, which is gone afterwards together
with the agent that GnuPG starts in it.  Keys, messages and passwords travel by pipe.
"""

from __future__ import annotations

import os
import shutil
import tempfile
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
#: What leaves room for the agent's socket in the 108 bytes of unix(7).
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
    """A private, temporary GnuPG home directory; a context manager."""

    def __enter__(self) -> Self:
        usual = tempfile.gettempdir()
        folder = usual if len(usual) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 - mkdtemp is safe
        self._folder = tempfile.mkdtemp(prefix="mandos-gnupg-", dir=folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            command = ["gpgconf", "--homedir", self._folder, "--kill", "all"]
            process.run(command, timeout=_ENDING_TIME)
        except MachineError:
            pass  # without gpgconf: the agent ends by itself when its directory goes
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, command: Sequence[str], data: bytes, timeout: float) -> bytes:
        """Run gpg with ``data`` as its input; returns its output.  Raises MachineError."""
        whole = ["gpg", "--homedir", self._folder, *_OPTIONS, *command]
        env = {**os.environ, "LC_ALL": "C", "GNUPGHOME": self._folder}
        return process.run(whole, input=data, env=env, timeout=timeout).require_success()
