# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few functions of OpenSSL's libcrypto that open session keys and OCB (manual pages EVP_*(3)).

Early boot loads it for the rare secret that the OpenPGP library does not open; images have it
already, since cryptsetup needs it.  Each function is declared once; every failure is a
CryptoError, without a reason, since that could tell a stranger about a key.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_void_p

from mandos.errors import MachineError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

_RSA, _EC, _X25519 = 6, 408, 1034  # EVP_PKEY_RSA and its like: NID_* of openssl/obj_mac.h
_PKCS1_PADDING = 1
_SET_IV_LENGTH, _SET_TAG = 0x9, 0x11  # EVP_CTRL_AEAD_*
_WRAP_ALLOW = 1  # EVP_CIPHER_CTX_FLAG_WRAP_ALLOW
_BLOCK = 16
_TAG = 16
#: Bytes of an AES key and the name of its size.
_AES = {16: "128", 24: "192", 32: "256"}


class CryptoError(PeerError):
    """The bytes do not fit the key, or were changed."""

    def __init__(self) -> None:
        super().__init__("it does not decrypt")


def _load() -> ctypes.CDLL | None:
    """OpenSSL 3; without it only those rare secrets cannot be opened."""
    try:
        return ctypes.CDLL("libcrypto.so.3")
    except OSError:
        return None


_library = _load()


def require() -> None:
    """Raise MachineError when the library is missing."""
    if _library is None:
        raise MachineError("libcrypto.so.3 cannot be loaded", "install OpenSSL 3 (libssl3)")


def _call(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:  # noqa: ANN401
    """A function that fails by 0, a negative number or a null pointer."""

    def call(*values: object) -> Any:  # noqa: ANN401
        require()
        function = getattr(_library, name)
        function.restype, function.argtypes = result, arguments
        returned = function(*values)
        if not returned or (result is c_int and returned < 0):
            raise CryptoError
        return returned

    return call


def _plain(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:  # noqa: ANN401
    def call(*values: object) -> Any:  # noqa: ANN401
        function = getattr(_library, name)
        function.restype, function.argtypes = result, arguments
        return function(*values)

    return call


_private_key = _call("d2i_PrivateKey", c_void_p, c_int, c_void_p, POINTER(c_char_p), c_long)
_public_key = _call("d2i_PUBKEY", c_void_p, c_void_p, POINTER(c_char_p), c_long)
_raw_private = _call("EVP_PKEY_new_raw_private_key", c_void_p, c_int, c_void_p, c_char_p, c_size_t)
_raw_public = _call("EVP_PKEY_new_raw_public_key", c_void_p, c_int, c_void_p, c_char_p, c_size_t)
_key_free = _plain("EVP_PKEY_free", None, c_void_p)
_work_new = _call("EVP_PKEY_CTX_new", c_void_p, c_void_p, c_void_p)
_work_free = _plain("EVP_PKEY_CTX_free", None, c_void_p)
_decrypt_init = _call("EVP_PKEY_decrypt_init", c_int, c_void_p)
_set_padding = _call("EVP_PKEY_CTX_set_rsa_padding", c_int, c_void_p, c_int)
_decrypt = _call(
    "EVP_PKEY_decrypt", c_int, c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t
)
_derive_init = _call("EVP_PKEY_derive_init", c_int, c_void_p)
_set_peer = _call("EVP_PKEY_derive_set_peer", c_int, c_void_p, c_void_p)
_derive = _call("EVP_PKEY_derive", c_int, c_void_p, c_char_p, POINTER(c_size_t))
_hash = _call("EVP_Digest", c_int, c_char_p, c_size_t, c_char_p, c_void_p, c_void_p, c_void_p)
_cipher_new = _call("EVP_CIPHER_CTX_new", c_void_p)
_cipher_free = _plain("EVP_CIPHER_CTX_free", None, c_void_p)
_set_flags = _plain("EVP_CIPHER_CTX_set_flags", None, c_void_p, c_int)
_control = _call("EVP_CIPHER_CTX_ctrl", c_int, c_void_p, c_int, c_int, c_char_p)
_init = _call("EVP_DecryptInit_ex", c_int, c_void_p, c_void_p, c_void_p, c_char_p, c_char_p)
_update = _call("EVP_DecryptUpdate", c_int, c_void_p, c_char_p, POINTER(c_int), c_char_p, c_int)
_final = _call("EVP_DecryptFinal_ex", c_int, c_void_p, c_char_p, POINTER(c_int))
_number = _call("BN_bin2bn", c_void_p, c_char_p, c_int, c_void_p)
_number_new = _call("BN_new", c_void_p)
_number_free = _plain("BN_clear_free", None, c_void_p)
_number_bytes = _call("BN_bn2binpad", c_int, c_void_p, c_char_p, c_int)
_space_new = _call("BN_CTX_new", c_void_p)
_space_free = _plain("BN_CTX_free", None, c_void_p)
_power = _call(
    "BN_mod_exp_mont_consttime",
    c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
)  # fmt: skip


def rsa_decrypt(private_key: bytes, data: bytes) -> bytes:
    """Decrypt PKCS #1 version 1.5; the key is an RSAPrivateKey of RFC 8017, in DER."""
    key = _Held(_key_free, _private_key(_RSA, None, byref(c_char_p(private_key)), len(private_key)))
    with key, _Held(_work_free, _work_new(key.pointer, None)) as work:
        _decrypt_init(work)
        _set_padding(work, _PKCS1_PADDING)
        size = c_size_t(len(private_key))  # more than the modulus has
        room = ctypes.create_string_buffer(size.value)
        _decrypt(work, room, byref(size), data, len(data))
        return room.raw[: size.value]


def agree_x25519(private: bytes, public: bytes) -> bytes:
    """The shared secret of two raw keys of RFC 7748."""
    return _agree(
        _raw_private(_X25519, None, private, len(private)),
        lambda: _raw_public(_X25519, None, public, len(public)),
    )


def agree_on_curve(private: bytes, public: bytes) -> bytes:
    """The shared secret of an ECPrivateKey (RFC 5915) and a SubjectPublicKeyInfo, both in DER."""
    return _agree(
        _private_key(_EC, None, byref(c_char_p(private)), len(private)),
        lambda: _public_key(None, byref(c_char_p(public)), len(public)),
    )


def _agree(private: int, public: Callable[[], int]) -> bytes:
    with (
        _Held(_key_free, private),
        _Held(_key_free, public()) as peer,
        _Held(_work_free, _work_new(private, None)) as work,
    ):
        _derive_init(work)
        _set_peer(work, peer)
        size = c_size_t()
        _derive(work, None, byref(size))
        room = ctypes.create_string_buffer(size.value)
        _derive(work, room, byref(size))
        return room.raw[: size.value]


def power(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    """Modular exponentiation in a time that does not depend on the exponent's bits."""
    with (
        _Held(_number_free, _number(base, len(base), None)) as a,
        _Held(_number_free, _number(exponent, len(exponent), None)) as b,
        _Held(_number_free, _number(modulus, len(modulus), None)) as m,
        _Held(_number_free, _number_new()) as result,
        _Held(_space_free, _space_new()) as space,
    ):
        _power(result, a, b, m, space, None)
        room = ctypes.create_string_buffer(len(modulus))
        _number_bytes(result, room, len(modulus))
        return room.raw


def digest(name: str, data: bytes) -> bytes:
    """A hash by its name: sha256, sha384 or sha512."""
    room = ctypes.create_string_buffer(int(name[-3:]) // 8)
    method = _call(f"EVP_{name}", c_void_p)()
    _hash(data, len(data), room, None, method, None)
    return room.raw


def unwrap(key: bytes, data: bytes) -> bytes:
    """Undo AES key wrap, RFC 3394."""
    with _Held(_cipher_free, _cipher_new()) as work:
        _set_flags(work, _WRAP_ALLOW)
        _init(work, _aes(key, "wrap"), None, key, None)
        size = c_int()
        room = ctypes.create_string_buffer(len(data) + _BLOCK)
        _update(work, room, byref(size), data, len(data))
        return room.raw[: size.value]


class OCB:
    """Opens pieces of AES-OCB with a tag of 16 bytes (RFC 7253), all with one key."""

    def __init__(self, key: bytes, nonce_size: int) -> None:
        self._key = key
        cipher = _aes(key, "ocb")
        self._work = _Held(_cipher_free, _cipher_new())
        _init(self._work.pointer, cipher, None, None, None)
        _control(self._work.pointer, _SET_IV_LENGTH, nonce_size, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._work.close()

    def open(self, nonce: bytes, associated: bytes, sealed: bytes) -> bytes:
        """Decrypt one piece, whose tag is at its end.  Raises CryptoError when it was changed."""
        work, data, tag = self._work.pointer, sealed[:-_TAG], sealed[-_TAG:]
        _init(work, None, None, self._key, nonce)
        _control(work, _SET_TAG, _TAG, tag)
        size, rest = c_int(), c_int()
        _update(work, None, byref(size), associated, len(associated))
        size.value = 0
        room = ctypes.create_string_buffer(len(data) + _BLOCK)
        if data:
            _update(work, room, byref(size), data, len(data))
        _final(work, ctypes.cast(byref(room, size.value), c_char_p), byref(rest))
        return room.raw[: size.value + rest.value]


def _aes(key: bytes, mode: str) -> int:
    if len(key) not in _AES:
        raise CryptoError
    return int(_call(f"EVP_aes_{_AES[len(key)]}_{mode}", c_void_p)())


class _Held:
    """An object of the library's, released at the end of a ``with`` block."""

    __slots__ = ("_release", "pointer")

    def __init__(self, release: Callable[..., object], pointer: int) -> None:
        self.pointer = pointer
        self._release = release

    def __enter__(self) -> int:
        return self.pointer

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release it; a second call does nothing."""
        pointer, self.pointer = self.pointer, 0
        if pointer:
            self._release(pointer)
