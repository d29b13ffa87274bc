# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes TLS key pairs, and computes key IDs (RFC 7250, gnutls_pubkey_get_key_id(3))."""

from __future__ import annotations

import ctypes
from ctypes import byref

from mandos.errors import AdministratorError, UsageError
from mandos.tls import gnutls
from mandos.tls.gnutls import Datum, Handle, TLSError, datum

_RSA_BITS = 4096
_CURVE = 0x80000000  # GNUTLS_CURVE_TO_BITS: the number is a gnutls_ecc_curve_t

#: Name: (gnutls_pk_algorithm_t, bits or curve), gnutls/gnutls.h.
KEY_TYPES = {
    "ed25519": (7, _CURVE | 7),
    "ed448": (12, _CURVE | 21),
    "secp256r1": (4, _CURVE | 2),
    "secp384r1": (4, _CURVE | 3),
    "secp521r1": (4, _CURVE | 4),
    "ecdsa": (4, _CURVE | 4),
    "rsa": (1, _RSA_BITS),
}


def generate_tls_key(key_type: str) -> tuple[bytes, bytes]:
    """Make a key pair: (private key as PEM PKCS#8, public key as PEM SubjectPublicKeyInfo)."""
    if key_type.lower() not in KEY_TYPES:
        raise UsageError(f"unknown TLS key type {key_type!r}", "known: " + ", ".join(KEY_TYPES))
    algorithm, bits = KEY_TYPES[key_type.lower()]
    with _private() as key:
        gnutls.privkey_generate(key, algorithm, ctypes.c_uint(bits), 0)
        return _private_pem(key), _public_pem(key)


def key_id_of(public: bytes, form: int = gnutls.FORMAT_DER) -> str:
    """The key ID of a SubjectPublicKeyInfo, as 64 lower-case hexadecimal digits.

    Raises TLSError when it cannot be read.
    """
    with _public() as key:
        gnutls.pubkey_import(key, byref(datum(public)), form)
        digest = ctypes.create_string_buffer(32)
        size = ctypes.c_size_t(len(digest))
        gnutls.pubkey_key_id(key, gnutls.KEYID_USE_SHA256, digest, byref(size))
        return digest.raw[: size.value].hex()


def key_id_of_public_pem(pem: bytes) -> str:
    """The key ID of a public key file.  Raises AdministratorError when it cannot be read."""
    try:
        return key_id_of(pem, gnutls.FORMAT_PEM)
    except TLSError as error:
        raise AdministratorError(f"not a PEM public key: {error}") from error


def key_id_of_private_pem(pem: bytes) -> str:
    """The key ID of the public half of a private key file.  Raises AdministratorError."""
    try:
        with _private() as key:
            gnutls.privkey_import(key, byref(datum(pem)), gnutls.FORMAT_PEM, None, 0)
            return key_id_of_public_pem(_public_pem(key))
    except TLSError as error:
        raise AdministratorError(f"not a PEM private key without passphrase: {error}") from error


def _private() -> Handle:
    return Handle(gnutls.privkey_init, gnutls.privkey_deinit)


def _public() -> Handle:
    return Handle(gnutls.pubkey_init, gnutls.pubkey_deinit)


def _private_pem(key: ctypes.c_void_p) -> bytes:
    def export(pointer: object) -> int:
        return gnutls.privkey_export_x509(key, pointer)

    pem = Datum()
    with Handle(export, gnutls.x509_privkey_deinit) as plain:
        gnutls.x509_privkey_export(plain, gnutls.FORMAT_PEM, None, 0, byref(pem))
    return _taken(pem)


def _public_pem(key: ctypes.c_void_p) -> bytes:
    pem = Datum()
    with _public() as public:
        gnutls.pubkey_import_privkey(public, key, 0, 0)
        gnutls.pubkey_export(public, gnutls.FORMAT_PEM, byref(pem))
    return _taken(pem)


def _taken(data: Datum) -> bytes:
    copy = data.copy()
    gnutls.free(data)
    return copy
