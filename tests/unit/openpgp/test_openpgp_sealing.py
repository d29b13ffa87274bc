# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making keys, sealing a password and opening it again, without GnuPG."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from openpgp.composed import Message, MessageBuilder, SignedPublicKey, SignedSecretKey
from openpgp.types import StringToKey

from mandos import passwords
from mandos.errors import AdministratorError, MachineError, UsageError
from mandos.openpgp import opening, packets
from mandos.openpgp.kinds import primary_kind, subkey_kind
from mandos.openpgp.opening import SecretError, open_secret, read_secret_key
from mandos.openpgp.sealing import KeyPair, UserID, fingerprint, generate_keys, seal

PASSWORD = b"correct horse\x00battery \xff\r\nstaple\n"


def _make(primary: str = "ed25519", subkey: str = "cv25519", name: str = "client") -> KeyPair:
    return generate_keys(UserID(name), primary_kind(primary, 2048), subkey_kind(subkey, 2048))


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    """Keys of the kind that is made fastest."""
    return _make()


@pytest.fixture(scope="module")
def sealed(pair: KeyPair) -> bytes:
    """The password, sealed for that pair."""
    return seal(PASSWORD, pair.secret)


@pytest.mark.parametrize(
    ("primary", "subkey"),
    [
        ("rsa", "rsa"),
        ("ed25519", "cv25519"),
        ("nistp256", "nistp256"),
        ("nistp384", "rsa"),
        ("nistp521", "nistp521"),
    ],
)
def test_every_kind_of_key_opens_what_it_seals(primary: str, subkey: str) -> None:
    """The bytes come back exactly, from plain RFC 4880 packets."""
    pair = _make(primary, subkey)
    sealed = seal(PASSWORD, pair.secret)
    assert packets.outline(sealed).data_packet == packets.SEIPD
    assert open_secret(sealed, pair.secret) == PASSWORD


def test_the_seal_is_signed_by_the_client(pair: KeyPair, sealed: bytes) -> None:
    """The message carries a good signature of the client's own primary key."""
    message = Message.from_bytes(sealed).decrypt(None, read_secret_key(pair.secret))
    message.verify(SignedPublicKey.from_armor(pair.public.decode())[0])


def test_both_halves_have_one_fingerprint(pair: KeyPair) -> None:
    """Upper-case, from either file."""
    assert len(pair.fingerprint) == 40
    assert pair.fingerprint == pair.fingerprint.upper()
    assert fingerprint(pair.public) == fingerprint(pair.secret) == pair.fingerprint


def test_the_user_id_is_composed() -> None:
    """Name, comment and address as OpenPGP programs write them."""
    assert str(UserID("a", "b", "c@d")) == "a (b) <c@d>"
    assert str(UserID("a")) == "a"


@pytest.mark.parametrize("name", ["a\nb", "a <b>", "a\x00", "(a)"])
def test_odd_names_are_refused(name: str) -> None:
    """Nothing can smuggle a line into GnuPG's parameters or an address into a name."""
    with pytest.raises(UsageError, match="user ID"):
        UserID(name)


def test_expiry_needs_gnupg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without gpg the error says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    kinds = primary_kind("ecc", 0), subkey_kind("ecc", 0)
    with pytest.raises(MachineError, match="made by GnuPG") as caught:
        generate_keys(UserID("client"), *kinds, expire="1y")
    assert "--expire" in str(caught.value.hint)


def test_rubbish_has_no_fingerprint() -> None:
    """A file that is no key is an error of the administrator."""
    for rubbish in (b"rubbish", b"\xff\xfe", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n"):
        with pytest.raises(AdministratorError):
            fingerprint(rubbish)


def test_keys_and_messages_may_be_binary_or_armored(pair: KeyPair) -> None:
    """The library's own armor, in both places."""
    key = SignedSecretKey.from_armor(pair.secret.decode())[0]
    subkey = key.to_public_key().public_subkeys[0]
    armored = MessageBuilder.from_bytes("", b"x").seipd_v1("aes256").encrypt_to_key(subkey)
    assert open_secret(armored.to_armored_string().encode(), key.to_bytes()) == b"x"


def test_text_comes_back_with_line_feeds(pair: KeyPair) -> None:
    """A message in text mode has CR LF inside; GnuPG gives LF, and so do we."""
    subkey = read_secret_key(pair.secret).to_public_key().public_subkeys[0]
    text = MessageBuilder.from_bytes("", b"a\r\nb\r\n").data_mode("utf8").seipd_v1("aes256")
    assert open_secret(text.encrypt_to_key(subkey).to_vec(), pair.secret) == b"a\nb\n"


@pytest.mark.parametrize(
    "key",
    [b"rubbish", b"\xff\x00", b"", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxx\n"],
)
def test_a_broken_key_is_the_administrators(sealed: bytes, key: bytes) -> None:
    """A key file that is no key is told apart from a bad message."""
    with pytest.raises(AdministratorError, match="not an OpenPGP secret key"):
        open_secret(sealed, key)


def test_a_public_key_is_no_secret_key(pair: KeyPair, sealed: bytes) -> None:
    """Mixed-up files are found."""
    with pytest.raises(AdministratorError, match="not an OpenPGP secret key"):
        open_secret(sealed, pair.public)


def test_another_key_does_not_open(sealed: bytes) -> None:
    """A message for somebody else is refused, with what to do."""
    with pytest.raises(SecretError, match="encrypted for another key") as caught:
        open_secret(sealed, _make().secret)
    assert "mandos-keygen --password" in str(caught.value.hint)


def test_every_flipped_bit_is_refused(pair: KeyPair, sealed: bytes) -> None:
    """Damage anywhere in the encrypted data never gives other bytes, and quotes none."""
    for position in range(len(sealed) - 60, len(sealed), 7):
        damaged = bytearray(sealed)
        damaged[position] ^= 0x10
        with pytest.raises(SecretError) as caught:
            open_secret(bytes(damaged), pair.secret)
        assert b"horse" not in repr(caught.value.lines()).encode()


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"", "without encrypted data"),
        (b"HTTP/1.0 404 Not Found\r\n", "not an OpenPGP message"),
        (b"-----BEGIN PGP MESSAGE-----\n\n!!!\n", "armor"),
        (b"\xc9\x05hello", "no integrity protection"),
        (bytes(opening.MESSAGE_LIMIT + 1), "larger than"),
    ],
)
def test_bad_messages_are_refused(pair: KeyPair, message: bytes, complaint: str) -> None:
    """Each kind of rubbish has its own words."""
    with pytest.raises(SecretError, match=complaint):
        open_secret(message, pair.secret)


def test_a_cut_message_is_refused(pair: KeyPair, sealed: bytes) -> None:
    """No beginning of a message opens."""
    for length in (len(sealed) - 1, len(sealed) // 2, 20):
        with pytest.raises(SecretError):
            open_secret(sealed[:length], pair.secret)


def test_the_longest_password_opens(pair: KeyPair) -> None:
    """Exactly; one byte more is refused, and so is the largest key file of cryptsetup."""
    longest = os.urandom(passwords.LIMIT)
    assert open_secret(seal(longest, pair.secret), pair.secret) == longest
    for size, complaint in (
        (passwords.LIMIT + 1, f"{passwords.LIMIT + 1} bytes, more than the 2048"),
        (8 << 20, "larger than 65536 bytes, as no password of at most 2048"),
    ):
        with pytest.raises(SecretError, match=complaint) as caught:
            open_secret(seal(os.urandom(size), pair.secret), pair.secret)
        assert "luksAddKey" in str(caught.value.hint)


def test_a_bomb_is_refused(pair: KeyPair) -> None:
    """A few bytes that stand for more than the limit cost an error, not the machine's memory."""
    subkey = read_secret_key(pair.secret).to_public_key().public_subkeys[0]
    builder = MessageBuilder.from_bytes("", bytes(opening._CONTENT_LIMIT + 1)).compression("bzip2")
    bomb = builder.seipd_v1("aes256").encrypt_to_key(subkey).to_vec()
    assert len(bomb) < 1000
    with pytest.raises(SecretError, match="too large"):
        open_secret(bomb, pair.secret)


def test_a_message_for_a_passphrase_is_refused(pair: KeyPair) -> None:
    """Nobody can type one at boot."""
    s2k = StringToKey.iterated("sha256", 96)
    message = MessageBuilder.from_bytes("", b"x").seipd_v1("aes256")
    with pytest.raises(SecretError):
        open_secret(message.encrypt_with_password(s2k, "typed").to_vec(), pair.secret)
