# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that the sessions of one program share: the priority string, the client's raw key pair."""

from __future__ import annotations

from ctypes import byref, c_char_p

from mandos.errors import AdministratorError
from mandos.tls import gnutls
from mandos.tls.gnutls import Handle, datum

#: gnutls_sec_param_t is chosen by this many bits when the administrator names none.
DH_BITS = 4096


class Priority:
    """A compiled priority string (gnutls_priority_init(3))."""

    __slots__ = ("handle",)

    def __init__(self, text: str) -> None:
        place = c_char_p()
        try:
            self.handle = Handle(
                gnutls.priority_init, gnutls.priority_deinit, text.encode(), byref(place)
            )
        except gnutls.TLSError as error:
            rest = (place.value or b"").decode(errors="replace")
            raise AdministratorError(
                f"bad priority string {text!r}" + (f", at {rest!r}" if rest else ""),
                "see gnutls_priority_init(3); leave it out to use the default",
            ) from error


class Credentials:
    """The credentials that a session shows: none (the server), or a raw public key (the client)."""

    __slots__ = ("_parameters", "handle")

    def __init__(self) -> None:
        self.handle = Handle(gnutls.certificate_allocate, gnutls.certificate_free)
        self._parameters: Handle | None = None

    def load_raw_key(self, public: bytes, private: bytes) -> None:
        """Show this raw public key (PEM SubjectPublicKeyInfo) and prove it (PEM private key).

        Raises TLSError when either cannot be read; see ``keys.check_pair`` for a mismatch.
        """
        spki, key = datum(public), datum(private)
        gnutls.certificate_set_rawpk(
            self.handle.pointer, byref(spki), byref(key), gnutls.FORMAT_PEM,
            None, 0, None, 0, 0,
        )  # fmt: skip

    def use_dh_bits(self, bits: int) -> None:
        """Diffie-Hellman of at least this size, for priority strings that allow TLS 1.2."""
        level = gnutls.bits_to_security(gnutls.PK_DH, bits)
        gnutls.certificate_set_known_dh_params(self.handle.pointer, level)

    def use_dh_parameters(self, pem: bytes) -> None:
        """Diffie-Hellman with these PEM PKCS#3 parameters, likewise.  Raises TLSError."""
        parameters = Handle(gnutls.dh_params_init, gnutls.dh_params_deinit)
        gnutls.dh_params_import(parameters.pointer, byref(datum(pem)), gnutls.FORMAT_PEM)
        gnutls.certificate_set_dh_params(self.handle.pointer, parameters.pointer)
        self._parameters = parameters  # has to live as long as the credentials
