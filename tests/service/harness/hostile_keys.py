# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""RSA keys that GnuTLS takes for good ones, and whose signatures are expensive to verify."""

from __future__ import annotations

import base64
import math

from mandos.tls import keys

_RSA = bytes.fromhex("300d06092a864886f70d0101010500")  # AlgorithmIdentifier, RFC 3279
_SEQUENCE, _INTEGER, _BITS = 0x30, 0x02, 0x03
#: An odd number that serves as a private exponent: what the public one becomes is large.
_PRIVATE = (1 << 257) + 93


def expensive_key() -> tuple[bytes, bytes]:
    """A key pair (private, public PEM) of 4096 bits with a public exponent of as many."""
    private, _public = keys.generate_tls_key("rsa")
    modulus, one, other = _primes(private)
    order = math.lcm(one - 1, other - 1)
    secret = next(d for d in range(_PRIVATE, _PRIVATE + 1000, 2) if math.gcd(d, order) == 1)
    exponent = pow(secret, -1, order)
    numbers = (
        *(0, modulus, exponent, secret, one, other),
        *(secret % (one - 1), secret % (other - 1), pow(other, -1, one)),
    )
    inner = element(_SEQUENCE, b"".join(map(integer, numbers)))
    return _pem("RSA PRIVATE KEY", inner), _pem("PUBLIC KEY", public_key(modulus, exponent))


def public_key(modulus: int, exponent: int) -> bytes:
    """The SubjectPublicKeyInfo of an RSA key."""
    key = element(_SEQUENCE, integer(modulus) + integer(exponent))
    return element(_SEQUENCE, _RSA + element(_BITS, b"\0" + key))


def element(kind: int, content: bytes) -> bytes:
    """One element of DER."""
    size = len(content)
    if size < 1 << 7:
        return bytes((kind, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((kind, 0x80 | len(length))) + length + content


def integer(number: int) -> bytes:
    """An INTEGER."""
    return element(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _primes(pem: bytes) -> tuple[int, int, int]:
    """Modulus and primes of an RSA key (PEM PKCS#8)."""
    der = base64.b64decode(b"".join(pem.strip().splitlines()[1:-1]))
    inner = der[der.index(_RSA) + len(_RSA) :]
    numbers = _integers(_content(_content(inner)[0])[0])
    return numbers[1], numbers[4], numbers[5]


def _integers(data: bytes) -> list[int]:
    found = []
    while data:
        content, data = _content(data)
        found.append(int.from_bytes(content, "big"))
    return found


def _content(data: bytes) -> tuple[bytes, bytes]:
    start, size = 2, data[1]
    if size > 0x80:
        start += size - 0x80
        size = int.from_bytes(data[2:start], "big")
    return data[start : start + size], data[start + size :]


def _pem(label: str, der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()
