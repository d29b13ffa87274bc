# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator's half: makes a client's OpenPGP keys, and seals its password for it.

Everything made here is RFC 4880 (keys of version 4, encrypted data of type 18), so that GnuPG 2.2
and the reference's client can use it.  GnuPG does only the work that the library cannot do: keys
that expire, and sealing for an ElGamal key.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mandos.errors import AdministratorError, MachineError, UsageError
from mandos.openpgp import gnupg
from mandos.openpgp.opening import load, read_secret_key

if TYPE_CHECKING:
    from openpgp.composed import SignedPublicKey, SignedPublicSubKey, SignedSecretKey

    from mandos.openpgp.kinds import KeyKind

_END_OF_TIME = 1 << 32
_FORBIDDEN_IN_NAMES = frozenset("<>()")
#: Preferences that every OpenPGP program knows; no OCB, which the initramfs could not open.
_GNUPG_PREFERENCES = "Preferences: AES256 AES192 AES SHA512 SHA384 SHA256 ZLIB ZIP Uncompressed\n"


@dataclass(frozen=True)
class KeyPair:
    """Both halves as armored files; the fingerprint is in upper-case hexadecimal digits."""

    public: bytes
    secret: bytes
    fingerprint: str


@dataclass(frozen=True)
class UserID:
    """The user ID of a key: a name, and perhaps a comment and an address."""

    name: str
    comment: str = ""
    email: str = ""

    def __post_init__(self) -> None:
        for part in (self.name, self.comment, self.email):
            if not part.isprintable() or _FORBIDDEN_IN_NAMES.intersection(part):
                raise UsageError(f"{part!r} cannot be part of a key's user ID", "no <>() in it")

    def __str__(self) -> str:
        comment = f" ({self.comment})" if self.comment else ""
        return f"{self.name}{comment}" + (f" <{self.email}>" if self.email else "")

    def gnupg_parameters(self) -> str:
        """The lines of GnuPG's unattended key generation."""
        parts = {"Real": self.name, "Comment": self.comment, "Email": self.email}
        return "".join(f"Name-{part}: {value}\n" for part, value in parts.items() if value)


def require_a_time() -> None:
    """Raise MachineError when the clock shows a time that no OpenPGP key or signature can have.

    Their dates have 32 bits: RFC 9580, section 3.5.
    """
    now = time.time()
    if not 0 <= now < _END_OF_TIME:
        raise MachineError(
            f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now))}, and OpenPGP keys can "
            "only be made from 1970 to 2106",
            "set the clock, for example: date --set 2026-12-31",
        )


def generate_keys(
    user_id: UserID, primary: KeyKind, subkey: KeyKind, expire: str | None = None
) -> KeyPair:
    """Make a key pair without passphrase.  ``expire`` is a result of ``kinds.expiry``.

    Raises MachineError when the keys are to expire and GnuPG is missing or refuses.
    """
    require_a_time()
    if expire is None:
        key = _generate_by_library(user_id, primary, subkey)
    else:
        key = read_secret_key(_generate_by_gnupg(user_id, primary, subkey, expire))
    return KeyPair(
        public=key.to_public_key().to_armored().encode(),
        secret=key.to_armored().encode(),
        fingerprint=key.fingerprint.upper(),
    )


def _generate_by_library(user_id: UserID, primary: KeyKind, subkey: KeyKind) -> SignedSecretKey:
    library = load()
    second = (
        library.SubkeyParamsBuilder()
        .version(4)
        .key_type(subkey.library_type(library.KeyType))
        .can_encrypt(library.EncryptionCaps.all())
        .build()
    )
    key: SignedSecretKey = (
        library.SecretKeyParamsBuilder()
        .version(4)
        .key_type(primary.library_type(library.KeyType))
        .can_certify(value=True)
        .can_sign(value=True)
        .feature_seipd_v1(value=True)
        .feature_seipd_v2(value=False)
        .preferred_symmetric_algorithms(["aes256", "aes192", "aes128"])
        .preferred_hash_algorithms(["sha512", "sha384", "sha256"])
        .preferred_compression_algorithms(["zlib", "zip", "uncompressed"])
        .primary_user_id(str(user_id))
        .subkey(second)
        .generate()
    )
    return key


def _generate_by_gnupg(user_id: UserID, primary: KeyKind, subkey: KeyKind, expire: str) -> bytes:
    if not gnupg.available():
        raise MachineError(
            "keys that expire are made by GnuPG, and gpg is not here",
            "leave --expire out (no program that opens the secret honours it), or install gpg",
        )
    return gnupg.generate(
        primary.gnupg_parameters("Key")
        + "Key-Usage: cert,sign\n"
        + subkey.gnupg_parameters("Subkey")
        + "Subkey-Usage: encrypt\n"
        + user_id.gnupg_parameters()
        + f"Expire-Date: {expire}\n"
        + _GNUPG_PREFERENCES
    )


def fingerprint(key: bytes) -> str:
    """The fingerprint of a public or secret key file, in upper case.  Raises AdministratorError."""
    library = load()
    if b"PRIVATE KEY" in key[:100]:
        return str(read_secret_key(key).fingerprint).upper()
    try:
        public, _headers = library.SignedPublicKey.from_armor(key.decode("ascii"))
    except ValueError as error:
        raise AdministratorError("not an armored OpenPGP public key") from error
    return str(public.fingerprint).upper()


def seal(password: bytes, secret_key: bytes) -> bytes:
    """Encrypt a password to a client's own key and sign it with that key; returns binary.

    Raises AdministratorError when the key cannot do that, MachineError when the clock is wrong.
    """
    key = read_secret_key(secret_key)
    require_a_time()
    try:
        return _seal_by_library(password, key)
    except ValueError as error:  # the library's only error class; ElGamal, for one
        if gnupg.available():
            return gnupg.seal(password, secret_key, key.fingerprint)
        raise AdministratorError(
            f"nothing can be encrypted for the key {key.fingerprint.upper()}",
            "install gpg for keys of old types, or make new keys: mandos-keygen --force",
        ) from error


def _seal_by_library(password: bytes, key: SignedSecretKey) -> bytes:
    sealed: bytes = (
        load()
        .MessageBuilder.from_bytes("", password)
        .seipd_v1("aes256")
        .sign(key, None, "sha512")
        .encrypt_to_key(_recipient(key.to_public_key()))
        .to_vec()
    )
    return sealed


def _recipient(key: SignedPublicKey) -> SignedPublicSubKey | SignedPublicKey:
    """The newest subkey that may encrypt, as GnuPG chooses; else the primary key."""
    able = [subkey for subkey in key.public_subkeys if _may_encrypt(subkey)]
    return max(able, key=lambda subkey: subkey.key.created_at, default=key)


def _may_encrypt(subkey: SignedPublicSubKey) -> bool:
    flags = [signature.key_flags() for signature in subkey.signatures]
    return any(flag.encrypt_storage or flag.encrypt_communications for flag in flags)
