# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that GnuTLS can do the handshake of Mandos, with raw public keys (RFC 7250)."""

from __future__ import annotations

import importlib
import socket
from typing import TYPE_CHECKING

from mandos.errors import MachineError, MandosError
from mandos.server.self_check.findings import failed, failures, ok, warning
from mandos.wire import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mandos.server.self_check.findings import Finding
    from mandos.tls.session import Session

GNUTLS = "GnuTLS"
#: Calls that a handshake may take; it needs two or three.
_TURNS = 100
_SECRET = b"a secret"
_MEND_PRIORITY = "leave priority out of mandos.conf"
_MEND_SYSTEM = "see what /etc/gnutls/config forbids (it is for the whole system), or update GnuTLS"


def check(priority: str) -> Iterator[Finding]:
    """Send a secret from a server to a client with a fresh key, as the protocol does."""
    try:
        importlib.import_module("mandos.tls.gnutls")
    except MachineError as error:
        yield from failures(GNUTLS, error)
        return
    is_default = priority == grammar.PRIORITY
    try:
        exchange(priority, priority)
    except MandosError as error:
        said = f"a client with a raw public key cannot get its secret: {error}"
        yield failed(GNUTLS, said, _MEND_SYSTEM if is_default else _MEND_PRIORITY)
        return
    yield ok(GNUTLS, "a client with a raw public key gets its secret")
    if not is_default:
        yield _with_default(priority)


def _with_default(priority: str) -> Finding:
    try:
        exchange(priority, grammar.PRIORITY)
    except MandosError as error:
        said = f"clients with the default priority string cannot connect: {error}"
        return warning(GNUTLS, said, "give every client the same --priority, or leave it out here")
    return ok(GNUTLS, "clients with the default priority string can connect")


def exchange(server_priority: str, client_priority: str) -> None:
    """Let a client with a fresh ed25519 key get a secret; raises MandosError.

    The modules are imported here, because a failure of the import is a finding too.
    """
    from mandos.tls.credentials import Credentials, Priority  # noqa: PLC0415
    from mandos.tls.keys import generate_tls_key, key_id_of, key_id_of_public_pem  # noqa: PLC0415
    from mandos.tls.session import Session  # noqa: PLC0415

    private, public = generate_tls_key("ed25519")
    key = Credentials()
    key.load_raw_key(public, private)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(0)
        server = Session(Priority(server_priority), Credentials(), ours.fileno(), is_server=False)
        client = Session(Priority(client_priority), key, theirs.fileno(), is_server=True)
        _shake_hands([server, client])
        shown = server.peer_key()
        if shown is None or key_id_of(shown) != key_id_of_public_pem(public):
            raise MachineError("the client's key did not arrive")
        server.send(memoryview(_SECRET))
        if client.receive() != _SECRET:
            raise MachineError("the secret did not arrive")


def _shake_hands(sessions: Sequence[Session]) -> None:
    for _ in range(_TURNS):
        sessions = [session for session in sessions if not _completes(session)]
        if not sessions:
            return
    raise MachineError("the handshake does not come to an end")


def _completes(session: Session) -> bool:
    from mandos.tls.session import WouldBlock  # noqa: PLC0415 - see exchange

    try:
        session.handshake()
    except WouldBlock:
        return False
    return True
