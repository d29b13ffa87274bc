# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identifies the peer of a connection, here by its TLS raw public key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mandos.tls import keys
from mandos.wire import key_id

if TYPE_CHECKING:
    from mandos.tls.session import Session


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """The key that a peer has proved to hold, by its key ID (64 lower-case hexadecimal digits)."""

    key_id: str


class UnidentifiedError(Exception):
    """The peer has proved no identity that the server could use; the text says why."""


class Authenticator(Protocol):
    """The protocol of a part that identifies the peer of a connection."""

    def identify(self, session: Session) -> PeerIdentity:
        """Return the identity after the handshake; raises UnidentifiedError."""


class RawKeyAuthenticator:
    """Identifies peers by their TLS raw public keys."""

    def identify(self, session: Session) -> PeerIdentity:
        """See ``Authenticator``."""
        public = session.peer_key()
        if public is None:
            raise UnidentifiedError("the peer showed no raw public key")
        name = keys.key_id_of(public)
        if name == key_id.OF_NOTHING:
            raise UnidentifiedError("the peer's key is empty")
        return PeerIdentity(name)
