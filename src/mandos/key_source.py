# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a client, for the programs that look at them from outside: images, checks, rotations.

Today the only source is a folder with files.  Keys that a TPM has sealed can be another one; the
rest of these programs need not know.  The client itself reads its files by ``keyfiles``: at boot
each import counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mandos.keyfiles import read_key_file
from mandos.openpgp import sealing
from mandos.section_note import Note
from mandos.tls import keys as tls_keys

if TYPE_CHECKING:
    from pathlib import Path

_TLS_PUBLIC, _TLS_PRIVATE, _OPENPGP = "tls-pubkey.pem", "tls-privkey.pem", "seckey.txt"
#: Files without which the client cannot work.
NEEDED = (_OPENPGP, _TLS_PRIVATE, _TLS_PUBLIC)


class KeySource(Protocol):
    """A place that a client can have its keys from."""

    def missing(self) -> list[str]:
        """The names of keys that are needed and not there."""

    def differing(self, other: KeySource) -> list[str]:
        """The names of keys that are not the same in another source; none may be missing."""

    def read(self, name: str) -> bytes:
        """The key of this name, as the client uses it.  Raises AdministratorError."""

    def tls_pair(self) -> tuple[bytes, bytes]:
        """The public and the private TLS key, in PEM.  Raises AdministratorError."""

    def names(self) -> Note:
        """The key ID and the fingerprint, from the secret halves.  Raises AdministratorError."""


class KeyFolder:
    """Keys in the files of a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def missing(self) -> list[str]:
        """The names of files that are needed and not there."""
        return [name for name in NEEDED if not (self._path / name).is_file()]

    def differing(self, other: KeySource) -> list[str]:
        """The names of files whose contents are not the same in another source."""
        return [name for name in NEEDED if self.read(name) != other.read(name)]

    def read(self, name: str) -> bytes:
        """The contents of a file.  Raises AdministratorError."""
        return read_key_file(str(self._path / name))

    def tls_pair(self) -> tuple[bytes, bytes]:
        """The public and the private TLS key, in PEM.  Raises AdministratorError."""
        return self.read(_TLS_PUBLIC), self.read(_TLS_PRIVATE)

    def names(self) -> Note:
        """The key ID and the fingerprint, from the secret halves.  Raises AdministratorError."""
        key_id = tls_keys.key_id_of_private_pem(self.read(_TLS_PRIVATE))
        return Note(key_id, sealing.fingerprint(self.read(_OPENPGP)))
