# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The C functions of GnuTLS that we call, each declared once (manual pages gnutls_*(3)).

Every negative return code becomes an exception here: WouldBlock for "try again when the socket is
ready", TLSError with GnuTLS's own name for everything else.  GnuTLS checks no argument types, so a
wrong declaration would corrupt memory: change nothing here without the header beside it.
ctypes releases the interpreter lock during each call.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_void_p

from mandos.errors import MachineError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

# gnutls_init_flags_t
SERVER = 1
CLIENT = 1 << 1
NONBLOCK = 1 << 3
NO_SIGNAL = 1 << 6
NO_TICKETS = 1 << 10
KEY_SHARE_TOP = 1 << 11
ENABLE_RAWPK = 1 << 18  # since 3.6.6

CTYPE_PEERS = 3
CRT_RAWPK = 3
CRD_CERTIFICATE = 1
FORMAT_DER = 0
FORMAT_PEM = 1
SHUT_WR = 1
KEYID_USE_SHA256 = 1
PK_DH = 3

HANDSHAKE_CERTIFICATE = 11
HOOK_PRE = 0

E_AGAIN = -28
E_CERTIFICATE = -43
E_INTERRUPTED = -52
E_PREMATURE_TERMINATION = -110

OLDEST_VERSION = b"3.6.6"


class TLSError(PeerError):
    """GnuTLS refused: ``code`` and ``name`` are GnuTLS's own (gnutls/gnutls.h)."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.name = (_error_name(code) or b"unknown").decode()
        super().__init__(f"{_error_text(code).decode().rstrip('.')} ({self.name})")


class WouldBlock(BlockingIOError):  # noqa: N818 - not an error
    """The socket is not ready: repeat the call when it is; see record_get_direction."""


class Datum(ctypes.Structure):
    """gnutls_datum_t: bytes whose owner the manual page of the function names."""

    _fields_ = (("data", POINTER(c_ubyte)), ("size", c_uint))

    def copy(self) -> bytes:
        """A copy of the bytes."""
        return ctypes.string_at(self.data, self.size)


Pointer = c_void_p
if TYPE_CHECKING:
    DatumPointer = ctypes._Pointer[Datum]  # noqa: SLF001 - the name of the type
#: gnutls_handshake_hook_func: session, message type, when, whether it comes in, the message.
Hook = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint, c_uint, c_uint, POINTER(Datum))


def datum(data: bytes) -> Datum:
    """Lend bytes to a call; the caller keeps ``data`` alive until it returns."""
    return Datum(ctypes.cast(ctypes.c_char_p(data), POINTER(c_ubyte)), len(data))


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libgnutls.so.30")
        version = ctypes.CFUNCTYPE(c_char_p, c_char_p)(("gnutls_check_version", library))
    except (OSError, AttributeError) as error:
        raise MachineError(
            f"the GnuTLS library cannot be loaded: {error}", "install libgnutls30"
        ) from error
    if version(OLDEST_VERSION) is None:
        raise MachineError(
            f"GnuTLS {version(None).decode()} has no raw public keys",
            f"install GnuTLS {OLDEST_VERSION.decode()} or newer",
        )
    return library


_library = _load()


def _checked(result: int, _function: object, _arguments: object) -> int:
    if result >= 0:
        return result
    if result in (E_AGAIN, E_INTERRUPTED):
        raise WouldBlock
    raise TLSError(result)


def _plain(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:  # noqa: ANN401
    function = getattr(_library, f"gnutls_{name}")
    function.restype, function.argtypes = result, arguments
    return function  # type: ignore[no-any-return]


def _call(name: str, *arguments: Any, result: Any = c_int) -> Callable[..., int]:  # noqa: ANN401
    function = _plain(name, result, *arguments)
    function.errcheck = _checked  # type: ignore[attr-defined]
    return function


_error_name = _plain("strerror_name", c_char_p, c_int)
_error_text = _plain("strerror", c_char_p, c_int)
_alert_name = _plain("alert_get_name", c_char_p, c_int)
_free = ctypes.CFUNCTYPE(None, c_void_p)  # gnutls_free is a variable that holds a function

# Priorities and credentials
priority_init = _call("priority_init", POINTER(c_void_p), c_char_p, POINTER(c_char_p))
priority_deinit = _plain("priority_deinit", None, c_void_p)
certificate_allocate = _call("certificate_allocate_credentials", POINTER(c_void_p))
certificate_free = _plain("certificate_free_credentials", None, c_void_p)
certificate_set_rawpk = _call(
    "certificate_set_rawpk_key_mem",
    c_void_p, POINTER(Datum), POINTER(Datum), c_int, c_char_p, c_uint,
    POINTER(c_char_p), c_uint, c_uint,
)  # fmt: skip
certificate_set_known_dh_params = _call("certificate_set_known_dh_params", c_void_p, c_int)
certificate_set_dh_params = _plain("certificate_set_dh_params", None, c_void_p, c_void_p)
dh_params_init = _call("dh_params_init", POINTER(c_void_p))
dh_params_deinit = _plain("dh_params_deinit", None, c_void_p)
dh_params_import = _call("dh_params_import_pkcs3", c_void_p, POINTER(Datum), c_int)
bits_to_security = _call("pk_bits_to_sec_param", c_int, c_uint)

# Sessions
init = _call("init", POINTER(c_void_p), c_uint)
deinit = _plain("deinit", None, c_void_p)
priority_set = _call("priority_set", c_void_p, c_void_p)
credentials_set = _call("credentials_set", c_void_p, c_int, c_void_p)
transport_set_fds = _plain("transport_set_int2", None, c_void_p, c_int, c_int)
set_handshake_timeout = _plain("handshake_set_timeout", None, c_void_p, c_uint)
handshake_set_max_length = _plain("handshake_set_max_packet_length", None, c_void_p, c_size_t)
handshake_set_hook = _plain("handshake_set_hook_function", None, c_void_p, c_uint, c_int, Hook)
handshake = _call("handshake", c_void_p)
record_send = _call("record_send", c_void_p, c_char_p, c_size_t, result=ctypes.c_ssize_t)
record_recv = _call("record_recv", c_void_p, c_void_p, c_size_t, result=ctypes.c_ssize_t)
record_get_direction = _plain("record_get_direction", c_int, c_void_p)
bye = _call("bye", c_void_p, c_int)
send_alert_for = _plain("alert_send_appropriate", c_int, c_void_p, c_int)
alert_get = _plain("alert_get", c_int, c_void_p)
certificate_type = _plain("certificate_type_get2", c_int, c_void_p, c_int)
peer_certificates = _plain("certificate_get_peers", POINTER(Datum), c_void_p, POINTER(c_uint))

# Keys
pubkey_init = _call("pubkey_init", POINTER(c_void_p))
pubkey_deinit = _plain("pubkey_deinit", None, c_void_p)
pubkey_import = _call("pubkey_import", c_void_p, POINTER(Datum), c_int)
pubkey_import_privkey = _call("pubkey_import_privkey", c_void_p, c_void_p, c_uint, c_uint)
pubkey_export = _call("pubkey_export2", c_void_p, c_int, POINTER(Datum))
pubkey_key_id = _call("pubkey_get_key_id", c_void_p, c_uint, c_char_p, POINTER(c_size_t))
privkey_init = _call("privkey_init", POINTER(c_void_p))
privkey_deinit = _plain("privkey_deinit", None, c_void_p)
privkey_import = _call("privkey_import_x509_raw", c_void_p, POINTER(Datum), c_int, c_char_p, c_uint)
privkey_generate = _call("privkey_generate", c_void_p, c_int, c_uint, c_uint)
privkey_export_x509 = _call("privkey_export_x509", c_void_p, POINTER(c_void_p))
x509_privkey_deinit = _plain("x509_privkey_deinit", None, c_void_p)
x509_privkey_export = _call(
    "x509_privkey_export2_pkcs8", c_void_p, c_int, c_char_p, c_uint, POINTER(Datum)
)


def free(data: Datum) -> None:
    """Release memory that GnuTLS allocated for us."""
    _free(c_void_p.in_dll(_library, "gnutls_free").value or 0)(data.data)


class Handle:
    """An object of GnuTLS's, released at the end of a ``with`` block."""

    __slots__ = ("_release", "pointer")

    def __init__(
        self, make: Callable[..., int], release: Callable[..., object], *arguments: object
    ) -> None:
        self.pointer = c_void_p()
        make(byref(self.pointer), *arguments)
        self._release = release

    def __enter__(self) -> c_void_p:
        return self.pointer

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release it; a second call does nothing."""
        if self.pointer.value is not None:
            self._release(self.pointer)
            self.pointer = c_void_p()


def alert_name(session: c_void_p) -> str:
    """The name of the last alert that the peer sent."""
    return (_alert_name(alert_get(session)) or b"unknown").decode()


def peer_keys(session: c_void_p) -> Iterator[bytes]:
    """The peer's certificates: for a raw public key one DER SubjectPublicKeyInfo."""
    count = c_uint()
    data = peer_certificates(session, byref(count))
    for index in range(count.value if data else 0):
        yield data[index].copy()
