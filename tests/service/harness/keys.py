# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's keys and its section of clients.conf, made by either family's mandos-keygen."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.families import Family
    from harness.host import Host

FILES = ("pubkey.txt", "seckey.txt", "tls-pubkey.pem", "tls-privkey.pem")
#: What only our mandos-keygen writes.
SIGNED = "signed-secret"
#: Small RSA keys: what these tests are about does not depend on the size, their time does.
SMALL_RSA = ("--type", "RSA", "--length", "2048", "--subtype", "RSA", "--sublength", "2048")
#: certtool's words for the TLS key types; mandos-keygen's own default is ed25519.
TLS_KEY_TYPES = {
    "ed25519": ("--key-type", "ed25519"),
    "secp256r1": ("--key-type", "ecdsa", "--curve", "secp256r1"),
    "secp521r1": ("--key-type", "ecdsa", "--curve", "secp521r1"),
    "rsa": ("--key-type", "rsa", "--bits", "2048"),
}


@dataclass(frozen=True)
class Credentials:
    """What one client owns, as files of the host that made them, and its section."""

    maker: Host
    directory: str
    name: str
    password: bytes
    section: str
    #: Whether the note that the password is signed is installed, if there is one.
    noted: bool = True

    @property
    def key_id(self) -> str:
        """The SHA-256 of the TLS key's SubjectPublicKeyInfo, reckoned here (RFC 7250)."""
        return key_id(self.maker.path(f"{self.directory}/tls-pubkey.pem"))

    @property
    def sealed(self) -> bytes:
        """What a server has to send."""
        text = re.search(r"^secret\s*[=:](.*(?:\n[ \t]+.*)*)", self.section, flags=re.MULTILINE)
        assert text, "the section has no secret"
        return base64.b64decode("".join(text[1].split()))

    def install(self, host: Host) -> str:
        """Copy the key files to ``host``; return their directory there."""
        there = f"/run/keys-{self.directory.rpartition('/')[2]}{'' if self.noted else '-by-hand'}"
        if not host.path(there).exists():
            host.path(there).mkdir(mode=0o700)
            made = self.maker.path(self.directory)
            signed = (SIGNED,) if self.noted and (made / SIGNED).exists() else ()
            for name in (*FILES, *signed):
                shutil.copy2(made / name, host.path(there))
        return there

    def with_tls_key(self, key_type: str) -> Credentials:
        """Return the same client with another TLS key, made by certtool."""
        there = f"{self.directory}-{key_type}"
        if not self.maker.path(there).exists():
            self.maker.run("cp", "-a", self.directory, there)
            private = f"{there}/tls-privkey.pem"
            making = ("certtool", "--generate-privkey", *TLS_KEY_TYPES[key_type])
            # An RSA key of 8192 bits is found by chance, after seconds or minutes.
            self.maker.run(*making, "--no-text", "--outfile", private, seconds=900.0)
            showing = ("certtool", "--load-privkey", private, "--pubkey-info", "--no-text")
            self.maker.run(*showing, "--outfile", f"{there}/tls-pubkey.pem")
        changed = replace(self, directory=there)
        return replace(changed, section=self.section.replace(self.key_id, changed.key_id))

    def with_secret(self, blob: bytes) -> Credentials:
        """Return the same client with another sealed password in its section, and no note."""
        rest = re.sub(r"^secret\s*[=:].*\n(^[ \t]+.*\n?)*", "", self.section, flags=re.MULTILINE)
        secret = base64.b64encode(blob).decode()
        return replace(self, section=f"{rest.rstrip()}\nsecret = {secret}\n", noted=False)


def key_id(public_key: Path) -> str:
    """Return the SHA-256 of a PEM public key's DER form in 64 hexadecimal digits."""
    lines = public_key.read_text(encoding="ascii").splitlines()
    start = lines.index("-----BEGIN PUBLIC KEY-----")
    body = "".join(lines[start + 1 : lines.index("-----END PUBLIC KEY-----")])
    return hashlib.sha256(base64.b64decode(body)).hexdigest()


def make_credentials(
    maker: Host, family: Family, name: str, password: bytes, kind: Sequence[str] = SMALL_RSA
) -> Credentials:
    """Make a client's keys and section with ``family``'s mandos-keygen on the host ``maker``."""
    directory = f"/run/{family.name}-{name}"
    maker.path(directory).mkdir(mode=0o700, exist_ok=True)
    maker.run(family.keygen, "--dir", directory, "--name", name, "--force", *kind)
    maker.path(f"{directory}.password").write_bytes(password)
    sealing = ("--dir", directory, "--name", name, "--no-ssh", "--passfile")
    section = maker.run(family.keygen, *sealing, f"{directory}.password").decode()
    return Credentials(maker, directory, name, password, section)


def seal_with_gnupg(credentials: Credentials, password: bytes) -> bytes:
    """Encrypt ``password`` to the client's OpenPGP key with gpg alone, unsigned."""
    maker = credentials.maker
    maker.path("/run/clear").write_bytes(password)
    return maker.run(
        *("gpg", "--batch", "--quiet", "--no-default-keyring", "--trust-model", "always"),
        *("--recipient-file", f"{credentials.directory}/pubkey.txt"),
        *("--encrypt", "--output", "-", "/run/clear"),
    )
