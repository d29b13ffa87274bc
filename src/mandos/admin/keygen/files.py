# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four key files in their directory: written all or none, and read as one identity."""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mandos.errors import AdministratorError
from mandos.keyfiles import exposure, read_key_file
from mandos.openpgp import sealing
from mandos.tls import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Pair = tuple[str, str]


@dataclass(frozen=True)
class KeyOwner:
    """The facts that a client's key files state about it, and warnings about them."""

    key_id: str
    fingerprint: str
    secret_key: bytes
    warnings: tuple[str, ...]


class KeyDirectory:
    """A directory with a client's keys, such as /etc/keys/mandos."""

    #: File names, the public half first.
    OPENPGP: ClassVar[Pair] = ("pubkey.txt", "seckey.txt")
    TLS: ClassVar[Pair] = ("tls-pubkey.pem", "tls-privkey.pem")

    def __init__(self, path: Path) -> None:
        self.path = path

    def pairs_to_make(self, *, force: bool) -> list[Pair]:
        """All pairs by force; else the missing ones, which may be none.

        Raises AdministratorError when half a pair is missing.
        """
        pairs = [self.OPENPGP, self.TLS]
        if force:
            return pairs
        missing = [pair for pair in pairs if not any(map(self._exists, pair))]
        for pair in pairs:
            if pair not in missing and not all(map(self._exists, pair)):
                raise AdministratorError(
                    f"half of the pair {' and '.join(pair)} in {self.path} is missing",
                    "restore it, or replace all keys with --force",
                )
        return missing

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While no other mandos-keygen makes keys here.  The directory is made when it is missing.

        It goes again when nothing was put into it.  Raises AdministratorError.
        """
        made = [path for path in (self.path, *self.path.parents) if not os.path.lexists(path)]
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise AdministratorError(f"cannot write {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise AdministratorError(
                f"another mandos-keygen is making keys in {self.path} now",
                "wait until it has ended; nothing was changed",
            ) from error
        finally:
            os.close(descriptor)
            for path in made:
                with suppress(OSError):  # it is not empty
                    path.rmdir()

    def names(self) -> list[str]:
        """The key files that there are."""
        return [name for name in (*self.OPENPGP, *self.TLS) if self._exists(name)]

    def write(self, files: Mapping[str, bytes], *, force: bool) -> None:
        """Write key files with mode 0600, all or none, also when a signal interrupts it.

        The directory has to be there.  Raises AdministratorError.
        """
        try:
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.path) as staging:
                self._stage(files, Path(staging))
                with _signals_wait():
                    self._put_in_place(files, Path(staging), force=force)
            _sync(self.path, os.O_DIRECTORY)
        except OSError as error:
            where = error.filename or self.path
            raise AdministratorError(f"cannot write {where}: {error.strerror}") from error

    def identity(self) -> KeyOwner:
        """Read and check the keys.  Raises AdministratorError; both halves must belong together."""
        public, secret = (str(self.path / name) for name in self.OPENPGP)
        tls_public, tls_private = (str(self.path / name) for name in self.TLS)
        secret_key = read_key_file(secret)
        fingerprint = _of_pair((public, secret), sealing.fingerprint, sealing.fingerprint)
        key_id = _of_pair(
            (tls_public, tls_private), keys.key_id_of_public_pem, keys.key_id_of_private_pem
        )
        warnings = filter(None, map(exposure, (secret, tls_private)))
        return KeyOwner(key_id, fingerprint, secret_key, tuple(warnings))

    def _exists(self, name: str) -> bool:
        return os.path.lexists(self.path / name)

    def _stage(self, files: Mapping[str, bytes], staging: Path) -> None:
        """Write the new files, and remember the old ones beside them."""
        for name, content in files.items():
            new = staging / name
            new.touch(mode=0o600)
            new.write_bytes(content)
            _sync(new)
            if self._exists(name):
                os.link(self.path / name, staging / f"{name}.old", follow_symlinks=False)

    def _put_in_place(self, files: Mapping[str, bytes], staging: Path, *, force: bool) -> None:
        done: list[str] = []
        try:
            for name in files:
                put = os.replace if force else os.link  # a link never overwrites
                put(staging / name, self.path / name)
                done.append(name)
        except OSError:
            for name in done:
                self._put_back(name, staging / f"{name}.old")
            raise

    def _put_back(self, name: str, old: Path) -> None:
        if os.path.lexists(old):
            old.replace(self.path / name)
        else:
            (self.path / name).unlink()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals that ask for an end have their effect afterwards."""
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _of_pair(
    paths: Pair, of_public: Callable[[bytes], str], of_private: Callable[[bytes], str]
) -> str:
    """The identifier on which both halves of a key pair agree."""
    shown, proved = (
        _naming(path, of) for path, of in zip(paths, (of_public, of_private), strict=True)
    )
    if shown != proved:
        raise AdministratorError(
            f"{paths[0]} is not the public key of {paths[1]}",
            "restore the right one, or replace all keys with --force",
        )
    return proved


def _naming(path: str, function: Callable[[bytes], str]) -> str:
    content = read_key_file(path)
    try:
        return function(content)
    except AdministratorError as error:
        raise AdministratorError(f"{path}: {error}", error.hint) from error


def _sync(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
