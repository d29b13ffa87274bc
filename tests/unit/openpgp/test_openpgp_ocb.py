# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that the OpenPGP library does not open by itself, made by GnuPG 2.4 and recorded."""

from __future__ import annotations

import time

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESOCB3
from hypothesis import given, settings
from hypothesis import strategies as st
from openpgp.composed import Message, MessageBuilder, SignedSecretKey

from harness.recorded_gnupg import CHUNKS, KEYS, MESSAGES, OPTIONS, PASSWORD, PLAIN
from mandos.errors import MachineError, PeerError
from mandos.openpgp import by_session_key, gnupg_ocb, libcrypto, opening, packets, session_keys
from mandos.openpgp.libcrypto import OCB, CryptoError
from mandos.openpgp.opening import SecretError, open_in_this_process, open_secret

SESSION_KEY = bytes(range(32))
AES256 = 9


@pytest.fixture(autouse=True)
def _no_gnupg(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program can help."""
    monkeypatch.setenv("PATH", "/nonexistent")


def _key(name: str = "cv25519") -> SignedSecretKey:
    return opening.read_secret_key(KEYS[name])


@pytest.mark.parametrize("name", MESSAGES)
def test_opens_what_gnupg_2_4_made(name: str) -> None:
    """For every kind of key that GnuPG makes; the exact bytes."""
    assert packets.outline(MESSAGES[name]).data_packet == packets.GNUPG_OCB
    assert open_secret(MESSAGES[name], KEYS[name]) == PASSWORD


@pytest.mark.parametrize("name", ["hidden", "aes192"])
def test_opens_other_forms(name: str) -> None:
    """A recipient that is not named, shorter AES keys, armor."""
    assert open_secret(OPTIONS[name], KEYS["cv25519"]) == PASSWORD


def test_opens_many_chunks() -> None:
    """Each chunk has its number; the last is shorter."""
    assert open_secret(CHUNKS["message"], KEYS["cv25519"]) == CHUNKS["content"]


def test_opens_for_elgamal() -> None:
    """Keys of DSA and ElGamal, which the reference's keygen made for years, with type 18."""
    assert packets.outline(PLAIN["elgamal"]).data_packet == packets.SEIPD
    assert open_secret(PLAIN["elgamal"], KEYS["elgamal"]) == PASSWORD


def test_another_cipher_is_named() -> None:
    """OCB is defined with other ciphers too, which GnuPG makes only when it is forced."""
    with pytest.raises(SecretError, match=r"type 20 is not AES-OCB.*cipher 13, mode 2"):
        open_secret(OPTIONS["camellia"], KEYS["cv25519"])


def test_without_libcrypto_the_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image without it says so, and opens everything else."""
    monkeypatch.setattr(libcrypto, "_library", None)
    with pytest.raises(MachineError, match=r"libcrypto\.so\.3"):
        open_secret(MESSAGES["rsa"], KEYS["rsa"])


@pytest.mark.parametrize("name", MESSAGES)
def test_own_signature_is_seen(name: str) -> None:
    """GnuPG signed them with the client's key."""
    assert _judge_here(MESSAGES[name], _key(name))[1]


@pytest.mark.parametrize("name", MESSAGES)
def test_another_key_does_not_open(name: str) -> None:
    """Of the same kind or not: one error, the usual one."""
    other = "rsa" if name != "rsa" else "cv25519"
    with pytest.raises(SecretError, match="encrypted for another key"):
        open_secret(MESSAGES[name], KEYS[other])


@pytest.mark.parametrize("name", ["rsa", "cv25519", "nistp256", "elgamal"])
def test_every_changed_byte_is_refused(name: str) -> None:
    """Nothing gives other bytes.  Only the lengths of numbers, in bits, may be a little wrong."""
    message, key = MESSAGES[name], _key(name)
    data_begins = len(_pkesk(name))
    for position in range(0, len(message), 1 if name != "rsa" else 5):
        damaged = bytearray(message)
        damaged[position] ^= 0x04
        try:
            opened = _open_here(bytes(damaged), key)
        except SecretError:
            continue
        assert opened == PASSWORD
        assert position < data_begins


@pytest.mark.parametrize("name", ["cv25519", "elgamal"])
def test_every_beginning_is_refused(name: str) -> None:
    """A message that was cut off anywhere."""
    key = _key(name)
    for length in range(len(MESSAGES[name])):
        with pytest.raises(SecretError):
            _open_here(MESSAGES[name][:length], key)


def test_chunks_cannot_be_moved_or_taken_away() -> None:
    """Swapped, repeated, missing at the end, or missing in the middle."""
    chunks = [b"a" * 64, b"b" * 64, b"c" * 64]
    sealed = _seal(chunks)
    head, body = sealed[:19], sealed[19:]
    pieces = [body[start : start + 80] for start in range(0, len(body) - 16, 80)]
    last = body[-16:]
    assert _open_body(head + b"".join(pieces) + last) == b"".join(chunks)
    for order in ([1, 0, 2], [0, 1], [0, 2], [0, 1, 1, 2], [0, 1, 2, 2], []):
        whole = [pieces[index] for index in order]
        with pytest.raises(CryptoError):
            _open_body(head + b"".join(whole) + last)
    with pytest.raises(CryptoError):
        _open_body(head + b"".join(pieces))


@given(st.binary(max_size=300), st.binary(max_size=50), st.binary(min_size=15, max_size=15))
def test_ocb_is_the_one_of_another_library(data: bytes, associated: bytes, nonce: bytes) -> None:
    """Whatever is sealed opens to the same bytes (RFC 7253)."""
    for size in (16, 24, 32):
        sealed = AESOCB3(SESSION_KEY[:size]).encrypt(nonce, data, associated)
        with OCB(SESSION_KEY[:size], 15) as ocb:
            assert ocb.open(nonce, associated, sealed) == data
            with pytest.raises(CryptoError):
                ocb.open(nonce, associated + b"x", sealed)


@given(st.sampled_from(sorted(MESSAGES)), st.data())
@settings(max_examples=200)
def test_only_one_error_leaves(name: str, data: st.DataObject) -> None:
    """Whatever a stranger changes, inserts or cuts."""
    message = bytearray(MESSAGES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(message)))
        end = data.draw(st.integers(start, min(len(message), start + 40)))
        message[start:end] = data.draw(st.binary(max_size=40))
    try:
        opened = _open_here(bytes(message), _key(name))
    except SecretError:
        return
    assert opened == PASSWORD  # the change was in a part that says nothing, such as a key ID


def test_many_small_chunks_are_bounded() -> None:
    """The largest message in the smallest chunks opens within the time for one message."""
    count = 150_000
    sealed = _seal([bytes(64)] * count)
    start = time.process_time()
    assert len(_open_body(sealed)) == 64 * count
    assert time.process_time() - start < opening._TIME


@pytest.mark.parametrize(
    ("add", "limit"),
    [
        ("encrypt_to_key", packets.RECIPIENT_LIMIT),
        ("encrypt_to_key_anonymous", packets.HIDDEN_LIMIT),
    ],
)
def test_recipients_are_limited(add: str, limit: int) -> None:
    """Each may cost a computation with the secret key: a stranger cannot ask for hundreds."""

    def message(count: int) -> bytes:
        builder = MessageBuilder.from_bytes("", b"x").seipd_v1("aes256")
        for _ in range(count):
            builder = getattr(builder, add)(_key("rsa").to_public_key().public_subkeys[0])
        return builder.to_vec()

    assert open_secret(message(limit), KEYS["rsa"]) == b"x"
    with pytest.raises(SecretError, match="too many recipients"):
        open_secret(message(limit + 1), KEYS["rsa"])


@pytest.mark.parametrize(
    ("opened", "count"),
    [(b"\x09key\x01\x49", 1), (b"\x09key\x01\x4a", 0), (b"\x09key", 0), (b"\x01", 0), (b"", 0)],
)
def test_a_session_key_has_a_checksum(
    opened: bytes, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of the key's bytes, RFC 9580, section 5.1.3; nothing else is tried as a key."""
    monkeypatch.setitem(session_keys._OPENING, "ecdh", lambda *_values: opened)
    found = list(session_keys.session_keys(Message.from_bytes(MESSAGES["cv25519"]), _key()))
    assert found == [(9, b"key")] * count


def test_what_is_encrypted_twice_is_refused() -> None:
    """Inside is a message of its own, not another encrypted one."""
    key = _key()
    ((_cipher, session_key),) = session_keys.session_keys(
        Message.from_bytes(MESSAGES["cv25519"]), key
    )
    twice = _pkesk() + _packet(_seal([MESSAGES["cv25519"]], session_key, chunk_size=16))
    with pytest.raises(PeerError, match="encrypted twice"):
        by_session_key.decrypted(twice, key)
    literal = b"\xcb\x0bb\0\0\0\0\0hello"
    once = _pkesk() + _packet(_seal([literal], session_key, chunk_size=16))
    assert open_secret(once, KEYS["cv25519"]) == b"hello"


def _judge_here(message: bytes, key: SignedSecretKey) -> tuple[bytes, bool]:
    """As in a process of its own, without one; memory is not limited."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mandos.process.limit_memory", lambda _memory: None)
        return open_in_this_process(message, key)


def _open_here(message: bytes, key: SignedSecretKey) -> bytes:
    return _judge_here(message, key)[0]


def _pkesk(name: str = "cv25519") -> bytes:
    """The packet with the session key, which the message begins with."""
    message = MESSAGES[name]
    body = packets.body(message)
    return message[: message.index(body) + len(body)]


def _seal(chunks: list[bytes], key: bytes = SESSION_KEY, chunk_size: int = 0) -> bytes:
    """The body of a packet of type 20; chunks have 64 bytes when their size is 0."""
    head, vector = bytes((1, 9, 2, chunk_size)), bytes(15)
    body, cipher = bytearray(head + vector), AESOCB3(key)
    for index, chunk in enumerate(chunks):
        body += cipher.encrypt(_nonce(index), chunk, b"\xd4" + head + index.to_bytes(8))
    total = sum(map(len, chunks)).to_bytes(8)
    count = len(chunks)
    return bytes(body) + cipher.encrypt(
        _nonce(count), b"", b"\xd4" + head + count.to_bytes(8) + total
    )


def _nonce(index: int) -> bytes:
    return bytes(7) + index.to_bytes(8)


def _packet(body: bytes) -> bytes:
    return b"\xd4\xff" + len(body).to_bytes(4) + body


def _open_body(body: bytes) -> bytes:
    packet = Message.from_bytes(_pkesk() + _packet(body)).encrypted_data_packet()
    return gnupg_ocb.open_packet(packet, AES256, SESSION_KEY)
