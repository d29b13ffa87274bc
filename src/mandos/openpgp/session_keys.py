# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a message's session key: its packets of type 1 (RFC 9580, section 5.1) and a secret key.

Only for messages that the OpenPGP library does not open itself.  The library reads all packets, and
libcrypto does the mathematics.  This module converts between them: numbers (section 3.2), ECDH's
key derivation (section 11.5) and the padding of ElGamal.  It raises CryptoError only.
"""

from __future__ import annotations

from mandos.openpgp import libcrypto, packets
from mandos.openpgp.libcrypto import CryptoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from openpgp.composed import Message, SignedSecretKey
    from openpgp.packet import PublicKeyEncryptedSessionKey, SecretKey, SecretSubkey

    _Part = SecretKey | SecretSubkey

_UNPROTECTED = 0  # section 3.7.2.1
#: Version, time and algorithm of a key packet, before its numbers: section 5.5.2.
_KEY_HEAD = 6
_CHECKSUM = 2
_SENDER = b"Anonymous Sender    "  # RFC 6637, section 8
_CURVE25519 = bytes.fromhex("2b060104019755010501")
_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")  # RFC 5480, as DER
#: AES as the library names it: its number (section 9.3) and the bytes of its keys.
AES = {"aes128": (7, 16), "aes192": (8, 24), "aes256": (9, 32)}


def session_keys(message: Message, key: SignedSecretKey) -> Iterator[tuple[int, bytes]]:
    """Each cipher and session key that some part of the secret key opens; often one, or none."""
    parts: list[_Part] = [key.primary_key, *(subkey.key for subkey in key.secret_subkeys)]
    for packet in message.public_key_encrypted_session_key_packets():
        for part in parts:
            if packet.public_key_algorithm == part.public_key_algorithm and (
                packet.recipient_is_anonymous or packet.recipient_key_id == part.key_id
            ):
                try:
                    yield _session_key(packet, part)
                except CryptoError:
                    continue  # of another recipient, which is not named


def _session_key(packet: PublicKeyEncryptedSessionKey, part: _Part) -> tuple[int, bytes]:
    opening = _OPENING.get(str(part.public_key_algorithm))
    values = packet.values_bytes()
    if opening is None or values is None:
        raise CryptoError
    opened = opening(part, _secret_numbers(part), values)
    cipher, session_key, checksum = opened[:1], opened[1:-_CHECKSUM], opened[-_CHECKSUM:]
    if not cipher or sum(session_key) & 0xFFFF != int.from_bytes(checksum):
        raise CryptoError
    return cipher[0], session_key


def _open_rsa(part: _Part, secret: list[bytes], values: bytes) -> bytes:
    """OpenPGP's u is the inverse of p modulo q: RFC 8017 has it for q modulo p, so both swap."""
    modulus, exponent = _numbers(part.public_params.to_bytes(), 2)
    d, p, q, u = map(int.from_bytes, secret)
    fields = (0, *map(int.from_bytes, (modulus, exponent)), d, q, p, d % (q - 1), d % (p - 1), u)
    private = _der(0x30, b"".join(map(_der_number, fields)))
    (sealed,) = _numbers(values, 1)
    return libcrypto.rsa_decrypt(private, sealed.rjust(len(modulus), b"\0"))


def _open_elgamal(part: _Part, secret: list[bytes], values: bytes) -> bytes:
    prime = _numbers(part.public_params.to_bytes(), 3)[0]
    first, second = _numbers(values, 2)
    modulus, exponent = int.from_bytes(prime), int.from_bytes(secret[0])
    # The power p-1-x is the inverse of the power x.
    inverse = libcrypto.power(first, (modulus - 1 - exponent).to_bytes(len(prime)), prime)
    product = int.from_bytes(second) * int.from_bytes(inverse) % modulus
    padded = product.to_bytes(len(prime))
    _zeros, separator, opened = padded[2:].partition(b"\0")
    if padded[:2] != b"\0\2" or not separator:
        raise CryptoError
    return opened


def _open_ecdh(part: _Part, secret: list[bytes], values: bytes) -> bytes:
    public = part.public_params.to_bytes()
    curve = public[1 : 1 + public[0]]
    (point,) = _numbers(values, 1)
    wrapped = values[2 + len(point) :]
    if not wrapped or len(wrapped) != 1 + wrapped[0]:
        raise CryptoError
    shared = _shared(curve, secret[0], point)
    hash_name = str(part.public_params.kdf_hash_algorithm)
    cipher = str(part.public_params.kdf_symmetric_algorithm)
    if cipher not in AES:
        raise CryptoError
    # The curve, the algorithm, the parameters of the derivation, in the order of the key.
    about = public[: 1 + len(curve)] + b"\x12" + public[-4:]
    about += _SENDER + bytes.fromhex(part.fingerprint)
    derived = libcrypto.digest(hash_name, (1).to_bytes(4) + shared + about)
    padded = libcrypto.unwrap(derived[: AES[cipher][1]], wrapped[1:])
    count = padded[-1] if padded else 0
    if not 0 < count <= len(padded) or padded[-count:] != bytes((count,)) * count:
        raise CryptoError
    return padded[:-count]


def _shared(curve: bytes, secret: bytes, point: bytes) -> bytes:
    """The other side's point and our secret number, on a curve that its object identifier names."""
    if curve == _CURVE25519:
        private = secret.rjust(32, b"\0")[::-1]  # RFC 7748 has it the other way round
        return libcrypto.agree_x25519(private, point[1:])
    name = _der(0x06, curve)
    size = (len(point) - 1) // 2
    private = _der_number(1) + _der(0x04, secret.rjust(size, b"\0")) + _der(0xA0, name)
    public = _der(0x30, _EC_PUBLIC_KEY + name) + _der(0x03, b"\0" + point)
    return libcrypto.agree_on_curve(_der(0x30, private), _der(0x30, public))


_OPENING = {"rsa": _open_rsa, "elgamal-encrypt": _open_elgamal, "ecdh": _open_ecdh}
_SECRET_NUMBERS = {"rsa": 4, "elgamal-encrypt": 1, "ecdh": 1}


def _secret_numbers(part: _Part) -> list[bytes]:
    """Those of a key without passphrase: section 5.5.3."""
    secret = packets.body(part.to_bytes())[_KEY_HEAD + len(part.public_params.to_bytes()) :]
    if secret[:1] != bytes((_UNPROTECTED,)):
        raise CryptoError
    return _numbers(secret[1:], _SECRET_NUMBERS[str(part.public_key_algorithm)])


def _numbers(data: bytes, count: int) -> list[bytes]:
    """So many multiprecision integers from the beginning, each after its length in bits."""
    found = []
    for _ in range(count):
        size = (int.from_bytes(data[:2]) + 7) // 8
        number, data = data[2 : 2 + size], data[2 + size :]
        if not size or len(number) != size:
            raise CryptoError
        found.append(number)
    return found


def _der_number(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def _der(tag: int, content: bytes) -> bytes:
    """One element of X.690: its tag, length and content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content
