# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One TLS session over a connected, non-blocking socket.

Mandos swaps the TLS roles, so that the Mandos client's key is always sent: the Mandos server is
the TLS client.  Every call may raise WouldBlock (wait for ``wants_write`` or for reading, then
repeat it with the same arguments) and TLSError (the session is over).
"""

from __future__ import annotations

import ctypes

from mandos.tls import gnutls
from mandos.tls.gnutls import Handle, TLSError, WouldBlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mandos.tls.credentials import Credentials, Priority

__all__ = ["Session", "TLSError", "WouldBlock"]

#: One key share is enough: a peer that wants another group asks for it (RFC 8446, section 4.1.4).
_FLAGS = (
    gnutls.NONBLOCK
    | gnutls.NO_SIGNAL
    | gnutls.NO_TICKETS
    | gnutls.ENABLE_RAWPK
    | gnutls.KEY_SHARE_TOP
)
#: The largest TLS record (RFC 8446, section 5.1): more cannot go in one call.
_RECORD_LIMIT = 1 << 14


class Session:
    """A session; ``close`` frees its memory, the socket stays the caller's."""

    __slots__ = ("_buffer", "_handle", "_keeps")

    def __init__(
        self, priority: Priority, credentials: Credentials, descriptor: int, *, is_server: bool
    ) -> None:
        role = gnutls.SERVER if is_server else gnutls.CLIENT
        self._handle = Handle(gnutls.init, gnutls.deinit, role | _FLAGS)
        self._keeps = (priority, credentials)
        session = self._handle.pointer
        gnutls.priority_set(session, priority.handle.pointer)
        gnutls.credentials_set(session, gnutls.CRD_CERTIFICATE, credentials.handle.pointer)
        gnutls.transport_set_fds(session, descriptor, descriptor)
        gnutls.set_handshake_timeout(session, 0)  # the conversation has its own deadlines
        self._buffer: ctypes.Array[ctypes.c_char] | None = None

    @property
    def pointer(self) -> gnutls.Pointer:
        """GnuTLS's own session, for ``limits``."""
        return self._handle.pointer

    @property
    def wants_write(self) -> bool:
        """After WouldBlock: whether to wait for the socket to become writable."""
        return bool(gnutls.record_get_direction(self._handle.pointer))

    def handshake(self) -> None:
        """Do the next steps of the handshake; returns when it is complete.

        On failure an alert informs the peer, as far as the socket takes it.
        """
        try:
            gnutls.handshake(self._handle.pointer)
        except TLSError as error:
            gnutls.send_alert_for(self._handle.pointer, error.code)
            raise

    def alert(self) -> str:
        """The name of the last alert that the peer sent."""
        return gnutls.alert_name(self._handle.pointer)

    def peer_key(self) -> bytes | None:
        """The peer's raw public key (DER SubjectPublicKeyInfo); None when it showed none."""
        if gnutls.certificate_type(self._handle.pointer, gnutls.CTYPE_PEERS) != gnutls.CRT_RAWPK:
            return None
        return next(gnutls.peer_keys(self._handle.pointer), None)

    def send(self, data: memoryview) -> int:
        """Send the first part of ``data``; returns how many bytes, at most one record."""
        part = bytes(data[:_RECORD_LIMIT])
        return gnutls.record_send(self._handle.pointer, part, len(part))

    def receive(self) -> bytes:
        """The next bytes, at most one record; none at the end of the stream.

        A peer that closes without close_notify ends the stream too.  That is safe for Mandos: a
        secret that was cut short does not decrypt.
        """
        if self._buffer is None:
            self._buffer = ctypes.create_string_buffer(_RECORD_LIMIT)
        try:
            size = gnutls.record_recv(self._handle.pointer, self._buffer, _RECORD_LIMIT)
        except TLSError as error:
            if error.code == gnutls.E_PREMATURE_TERMINATION:
                return b""
            raise
        return self._buffer.raw[:size]

    def say_goodbye(self) -> None:
        """Send close_notify."""
        gnutls.bye(self._handle.pointer, gnutls.SHUT_WR)

    def close(self) -> None:
        """Free the session's memory; nothing is sent."""
        self._handle.close()
