# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits on the work that a peer's handshake may cost the server, before that work is done.

The server verifies a signature by a key that a stranger chose.  The cost of that grows with the
cube of an RSA key's size: a key of 65 536 bits takes a minute.  GnuTLS has no limit of its own, but
hands over the Certificate message before it reads it (gnutls_handshake_set_hook_function(3)).  A
stranger also chooses the group of the key exchange: in those of RFC 7919 (FFDHE) it costs up to 800
times as much as the handshake of an honest client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mandos.tls import gnutls
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a handshake message; the largest honest one is a Certificate with an RSA key.
MESSAGE_LIMIT = 4096
#: Bits of an RSA key's modulus and exponent.  Usual exponents have 17 bits.
RSA_BITS = 8192
EXPONENT_BITS = 32
#: Bits that a modulus has at least: less proves nothing.
_LEAST_RSA_BITS = 1024

#: Removed from the default priority string; every client knows the elliptic curves.
_EXPENSIVE_GROUPS = "".join(f":-GROUP-FFDHE{bits}" for bits in (2048, 3072, 4096, 6144, 8192))
#: The curves of NIST go behind X25519, whose key exchange costs both ends a fifth less.
_NIST = ("SECP256R1", "SECP384R1", "SECP521R1")
_X25519_FIRST = "".join(f":{sign}GROUP-{curve}" for sign in "-+" for curve in _NIST)

_SEQUENCE, _INTEGER, _BITS, _OID = 0x30, 0x02, 0x03, 0x06
_LONG = 0x80
#: Object identifiers as DER has them: RFC 3279, RFC 5480, RFC 8410.
_RSA = frozenset((bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d01010a")))
_EC = bytes.fromhex("2a8648ce3d0201")
_CURVES = {
    bytes.fromhex("2a8648ce3d030107"): 65,  # secp256r1, bytes of an uncompressed point
    bytes.fromhex("2b81040022"): 97,  # secp384r1
    bytes.fromhex("2b81040023"): 133,  # secp521r1
}
_EDWARDS = {bytes.fromhex("2b6570"): 32, bytes.fromhex("2b6571"): 57}  # Ed25519, Ed448

#: Why a session's peer was refused, by the session's address, until ``refusal`` asks.
_refusals: dict[int, str] = {}


def bounded(priority: str) -> str:
    """The priority string to use: the default one with cheap groups only, any other as it is.

    The order is that of the offer: the first group is the one whose key share is sent along.
    """
    if priority != grammar.PRIORITY:
        return priority
    return priority + _EXPENSIVE_GROUPS + _X25519_FIRST


def install(session: gnutls.Pointer) -> None:
    """Have the peer's handshake messages and key checked in this session, before GnuTLS does."""
    gnutls.handshake_set_max_length(session, MESSAGE_LIMIT)
    gnutls.handshake_set_hook(session, gnutls.HANDSHAKE_CERTIFICATE, gnutls.HOOK_PRE, _hook)


def refusal(session: gnutls.Pointer) -> str:
    """Why this session's peer was refused here; empty when it was not, or was asked before."""
    return _refusals.pop(session.value or 0, "")


def _examine(
    session: int, _kind: int, _when: int, incoming: int, message: gnutls.DatumPointer
) -> int:
    """Return 0 to go on, or an error that ends the handshake; called by GnuTLS."""
    if not incoming:
        return 0
    try:
        why = _objection(session, message)
    except Exception as error:  # noqa: BLE001 - ctypes would drop it and return 0: success
        why = f"internal error: {error!r}"
    if why:
        _refusals[session] = why
    return gnutls.E_CERTIFICATE if why else 0


def _objection(session: int, message: gnutls.DatumPointer) -> str:
    if gnutls.certificate_type(session, gnutls.CTYPE_PEERS) != gnutls.CRT_RAWPK:
        return "the peer showed no raw public key"
    return objection_to(message.contents.copy())


_hook = gnutls.Hook(_examine)


class _LimitError(Exception):
    """The key is malformed, or not one that a client may have."""


def objection_to(message: bytes) -> str:
    """The fault of the key in a Certificate message; empty when it has none."""
    try:
        _check_key(_key_in(message))
    except _LimitError as error:
        return str(error)
    return ""


def _key_in(message: bytes) -> bytes:
    """The SubjectPublicKeyInfo: RFC 8446, section 4.4.2; before TLS 1.3 RFC 7250, section 3."""
    if _number(message[:3]) == len(message) - 3:
        return message[3:]
    size = _number(message[4:7])
    if message[:1] != b"\0" or _number(message[1:4]) != len(message) - 4 or not size:
        raise _LimitError("the peer showed no key")
    return message[7 : 7 + size]


def _check_key(key: bytes) -> None:
    algorithm, public = _parts(_whole(key, _SEQUENCE), _SEQUENCE, _BITS)
    if public[:1] != b"\0":
        raise _LimitError("the peer's key cannot be read")
    kind, parameters = _first(algorithm, _OID)
    if kind in _RSA:
        _check_rsa(public[1:])
    elif kind == _EC:
        _check_size(_CURVES.get(_whole(parameters, _OID), 0), public)
    else:
        _check_size(_EDWARDS.get(kind, 0), public)


def _check_size(size: int, public: bytes) -> None:
    if not size:
        raise _LimitError("the peer's key is of a kind that clients do not have")
    if len(public) != 1 + size:
        raise _LimitError("the peer's key cannot be read")


def _check_rsa(public: bytes) -> None:
    modulus, exponent = map(_number, _parts(_whole(public, _SEQUENCE), _INTEGER, _INTEGER))
    if not _LEAST_RSA_BITS <= modulus.bit_length() <= RSA_BITS or not modulus % 2:
        raise _LimitError(
            f"the peer's RSA key has {modulus.bit_length()} bits;"
            f" allowed are odd ones of {_LEAST_RSA_BITS} to {RSA_BITS} bits"
        )
    if not 1 < exponent.bit_length() <= EXPONENT_BITS:
        raise _LimitError(
            f"the exponent of the peer's RSA key has {exponent.bit_length()} bits;"
            f" at most {EXPONENT_BITS} are allowed"
        )


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _whole(data: bytes, kind: int) -> bytes:
    """The content of the one element that the data is (DER, ITU-T X.690)."""
    content, rest = _first(data, kind)
    if rest:
        raise _LimitError("the peer's key cannot be read")
    return content


def _parts(data: bytes, *kinds: int) -> Iterator[bytes]:
    """The contents of the elements that the data is made of."""
    for kind in kinds:
        content, data = _first(data, kind)
        yield content
    if data:
        raise _LimitError("the peer's key cannot be read")


def _first(data: bytes, kind: int) -> tuple[bytes, bytes]:
    """The content of the first element, which is of this kind, and the data after it."""
    start, size = 2, data[1] if len(data) > 1 else 0
    if size > _LONG:
        start += size - _LONG
        size = _number(data[2:start])
    end = start + size
    if not data or data[0] != kind or end > len(data):
        raise _LimitError("the peer's key cannot be read")
    return data[start:end], data[end:]
