# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GnuTLS through our table: sessions over a socket pair, keys, priorities, and their errors."""

from __future__ import annotations

import hashlib
import socket
import subprocess
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mandos.errors import AdministratorError, UsageError
from mandos.tls import keys
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.session import Session, TLSError, WouldBlock
from mandos.wire import grammar

#: What the priority string of the reference allows; the others need a laxer one.
ALLOWED = ("ed25519", "ed448", "secp256r1", "secp384r1", "secp521r1")
LAX = "NORMAL:!CTYPE-X.509:+CTYPE-RAWPK:!VERS-ALL:+VERS-TLS1.3"


class Ends:
    """Both ends of a TLS connection: ``server`` and ``client`` in the words of Mandos."""

    def __init__(self, key: tuple[bytes, bytes], priority: str = grammar.PRIORITY) -> None:
        self.sockets = socket.socketpair()
        for sock in self.sockets:
            sock.settimeout(0)
        compiled = Priority(priority)
        shown = Credentials()
        shown.load_raw_key(key[1], key[0])
        self.server = Session(compiled, Credentials(), self.sockets[0].fileno(), is_server=False)
        self.client = Session(compiled, shown, self.sockets[1].fileno(), is_server=True)

    def shake_hands(self) -> None:
        """Alternate until both are done."""
        waiting = [self.server.handshake, self.client.handshake]
        while waiting:
            waiting = [step for step in waiting if not _done(step)]

    def close(self) -> None:
        """Free all."""
        self.server.close()
        self.client.close()
        for sock in self.sockets:
            sock.close()


def _done(step: Callable[[], None]) -> bool:
    try:
        step()
    except WouldBlock:
        return False
    return True


@pytest.fixture(scope="module")
def key() -> tuple[bytes, bytes]:
    """An ed25519 key pair: private, public."""
    return keys.generate_tls_key("ed25519")


@pytest.fixture
def ends(key: tuple[bytes, bytes]) -> Iterator[Ends]:
    """Two ends with their handshake done."""
    pair = Ends(key)
    pair.shake_hands()
    yield pair
    pair.close()


def test_server_sees_who_the_client_is(ends: Ends, key: tuple[bytes, bytes]) -> None:
    """The key ID that the server computes is that of the client's public key file."""
    shown = ends.server.peer_key()
    assert shown is not None
    assert keys.key_id_of(shown) == keys.key_id_of_public_pem(key[1])
    assert ends.client.peer_key() is None


def test_bytes_arrive_and_goodbye_ends_the_stream(ends: Ends) -> None:
    """What one end sends the other receives, then the end of the stream."""
    assert ends.server.send(memoryview(b"sealed")) == 6
    ends.server.say_goodbye()
    assert ends.client.receive() == b"sealed"
    assert ends.client.receive() == b""


def test_large_data_goes_record_by_record(ends: Ends) -> None:
    """One call sends at most one record; the caller goes on with the rest."""
    data = bytes(range(256)) * 100
    sent = ends.server.send(memoryview(data))
    assert sent == 1 << 14
    assert ends.client.receive() == data[:sent]


def test_nothing_to_read_would_block(ends: Ends) -> None:
    """A socket that is not ready raises WouldBlock and says what to wait for."""
    with pytest.raises(WouldBlock):
        ends.client.receive()
    assert not ends.client.wants_write


def test_close_without_goodbye_is_the_end_too(ends: Ends) -> None:
    """A peer that just closes its socket ended the stream."""
    ends.sockets[0].close()
    assert ends.client.receive() == b""


def test_close_twice_is_harmless(ends: Ends) -> None:
    """A session may be closed again."""
    ends.server.close()
    ends.server.close()


@pytest.mark.parametrize("key_type", sorted(keys.KEY_TYPES))
def test_key_types(key_type: str) -> None:
    """Every key type works in a handshake: by the default priority or a laxer one."""
    pair = Ends(keys.generate_tls_key(key_type), grammar.PRIORITY if key_type in ALLOWED else LAX)
    try:
        pair.shake_hands()
        assert pair.server.peer_key()
    finally:
        pair.close()


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100), b"\x16\x03\x03\xff\xff" + b"x" * 99],
)
def test_garbage_instead_of_a_handshake(key: tuple[bytes, bytes], garbage: bytes) -> None:
    """What is not TLS ends the session with GnuTLS's own name for it."""
    pair = Ends(key)
    pair.sockets[1].send(garbage)
    with pytest.raises(TLSError) as caught:
        pair.server.handshake()
    assert caught.value.name.startswith("GNUTLS_E_")
    pair.close()


def test_key_id_is_sha256_of_the_public_key(key: tuple[bytes, bytes]) -> None:
    """The key ID is the SHA-256 over the DER SubjectPublicKeyInfo, in lower-case hexadecimal."""
    der = b64decode(b"".join(key[1].splitlines()[1:-1]))
    expected = hashlib.sha256(der).hexdigest()
    assert keys.key_id_of(der) == expected
    assert keys.key_id_of_private_pem(key[0]) == expected


@pytest.mark.parametrize("key_type", sorted(keys.KEY_TYPES))
def test_openssl_agrees_about_our_keys(key_type: str, tmp_path: Path) -> None:
    """OpenSSL reads the private key and derives the same public key from it."""
    private, public = keys.generate_tls_key(key_type)
    path = tmp_path / "key.pem"
    path.write_bytes(private)
    done = subprocess.run(
        ["openssl", "pkey", "-in", path, "-pubout"], capture_output=True, check=True
    )
    assert done.stdout.split() == public.split()


def test_key_types_are_not_case_sensitive_and_unknown_ones_are_named() -> None:
    """An unknown type lists the known ones."""
    assert keys.generate_tls_key("ED25519")
    with pytest.raises(UsageError, match="unknown TLS key type 'dsa'") as caught:
        keys.generate_tls_key("dsa")
    assert "ed25519" in str(caught.value.hint)


@pytest.mark.parametrize("pem", [b"", b"rubbish", b"-----BEGIN PUBLIC KEY-----\nAAAA\n"])
def test_rubbish_is_no_key(pem: bytes) -> None:
    """Files that hold no key are an administrator's error."""
    with pytest.raises(AdministratorError, match="not a PEM public key"):
        keys.key_id_of_public_pem(pem)
    with pytest.raises(AdministratorError, match="not a PEM private key"):
        keys.key_id_of_private_pem(pem)


def test_bad_priority_says_where() -> None:
    """A priority string that GnuTLS does not know is quoted from where it goes wrong."""
    with pytest.raises(AdministratorError, match="NONSENSE"):
        Priority("NORMAL:+NONSENSE")


def test_dh_parameters() -> None:
    """Diffie-Hellman settings are taken, and rubbish is refused."""
    credentials = Credentials()
    credentials.use_dh_bits(3072)
    with pytest.raises(TLSError):
        credentials.use_dh_parameters(b"rubbish")
