# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a client's own key has signed a password is known, for messages of every making."""

from __future__ import annotations

import shutil

import pytest
from openpgp.composed import MessageBuilder

from mandos.openpgp import gnupg
from mandos.openpgp.kinds import primary_kind, subkey_kind
from mandos.openpgp.opening import _decrypted as decrypted
from mandos.openpgp.opening import _with_mark as with_mark
from mandos.openpgp.opening import open_secret, read_secret_key
from mandos.openpgp.sealing import KeyPair, UserID, generate_keys, seal

PASSWORD = b"correct horse"


def _make(primary: str = "ed25519", subkey: str = "cv25519") -> KeyPair:
    return generate_keys(UserID("client"), primary_kind(primary, 2048), subkey_kind(subkey, 2048))


def _look(message: bytes, pair: KeyPair) -> bytes:
    """S or U, and the password, without the process that usually opens it."""
    key = read_secret_key(pair.secret)
    return with_mark(decrypted(message, key), key)


def _forged(victim: KeyPair, signer: KeyPair | None = None) -> bytes:
    """What a stranger with the public key can make, and sign with a key of his own."""
    subkey = read_secret_key(victim.secret).to_public_key().public_subkeys[0]
    builder = MessageBuilder.from_bytes("", b"wrong").seipd_v1("aes256")
    if signer:
        builder = builder.sign(read_secret_key(signer.secret), None, "sha512")
    message: bytes = builder.encrypt_to_key(subkey).to_vec()
    return message


@pytest.mark.parametrize(
    ("primary", "subkey"), [("ed25519", "cv25519"), ("rsa", "rsa"), ("nistp384", "nistp256")]
)
def test_own_signature_is_seen(primary: str, subkey: str) -> None:
    """mandos-keygen signs with the client's own key."""
    pair = _make(primary, subkey)
    assert _look(seal(PASSWORD, pair.secret), pair) == b"S" + PASSWORD


def test_forged_message_is_not_signed() -> None:
    """Without a signature, or with one of another key: it opens, and is told apart."""
    pair = _make()
    for signer in (None, _make()):
        message = _forged(pair, signer)
        assert open_secret(message, pair.secret) == b"wrong"
        assert _look(message, pair) == b"Uwrong"


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
@pytest.mark.parametrize("options", [(), ("--compress-algo", "zlib"), ("--textmode",)])
def test_own_signature_by_gnupg_is_seen(options: tuple[str, ...]) -> None:
    """As the reference's mandos-keygen makes it, compressed or not."""
    pair = _make()
    whose = ("--recipient", pair.fingerprint, "--local-user", pair.fingerprint)
    with gnupg.Home() as home:
        home.run(["--import"], pair.secret, 60)
        command = [*whose, "--trust-model", "always", *options]
        signed = home.run([*command, "--sign", "--encrypt"], PASSWORD, 60)
        unsigned = home.run([*command, "--encrypt"], PASSWORD, 60)
    assert _look(signed, pair) == b"S" + PASSWORD
    assert _look(unsigned, pair) == b"U" + PASSWORD
