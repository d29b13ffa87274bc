# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's identity: its raw key pair and priority string, ready for sessions.

Importing this loads GnuTLS, which is why nothing imports it at the top.
"""

from __future__ import annotations

from mandos.errors import AdministratorError
from mandos.tls import keys
from mandos.tls.credentials import Credentials, Priority
from mandos.tls.gnutls import TLSError
from mandos.tls.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mandos.client.settings import ClientOptions


class Identity:
    """Made from the contents of the key files; raises AdministratorError naming the bad one.

    Servers know this client by its ``key_id``.
    """

    __slots__ = ("_credentials", "_priority", "key_id")

    def __init__(self, settings: ClientOptions, files: Mapping[str, bytes]) -> None:
        self._priority = Priority(settings.priority)
        self.key_id = _check_pair(settings, files)
        self._credentials = _credentials(settings, files)

    def session(self, descriptor: int) -> Session:
        """A session over a connected socket; Mandos swaps the roles, so as TLS server."""
        return Session(self._priority, self._credentials, descriptor, is_server=True)


def _credentials(settings: ClientOptions, files: Mapping[str, bytes]) -> Credentials:
    credentials = Credentials()
    credentials.load_raw_key(files[settings.tls_pubkey], files[settings.tls_privkey])
    try:
        if settings.dh_params:
            credentials.use_dh_parameters(files[settings.dh_params])
        elif settings.dh_bits:
            credentials.use_dh_bits(settings.dh_bits)
    except TLSError as error:
        raise AdministratorError(f"bad Diffie-Hellman parameters: {error}") from error
    return credentials


def _check_pair(settings: ClientOptions, files: Mapping[str, bytes]) -> str:
    """Raise at once for a pair that does not match, since it fails in every handshake."""
    public, private = settings.tls_pubkey, settings.tls_privkey
    shown = _naming(public, keys.key_id_of_public_pem, files[public])
    proved = _naming(private, keys.key_id_of_private_pem, files[private])
    if shown != proved:
        raise AdministratorError(
            f"{settings.tls_pubkey} is not the public key of {settings.tls_privkey}",
            "mandos-keygen --force makes a new pair; the server then needs the new key_id",
        )
    return shown


def _naming(path: str, function: Callable[[bytes], str], data: bytes) -> str:
    try:
        return function(data)
    except AdministratorError as error:
        raise AdministratorError(f"{path}: {error}", error.hint) from error
