# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens messages that the OpenPGP library reads but does not decrypt: type 20, and ElGamal.

Their session key comes from ``session_keys``.  With it, the library decrypts data of type 18, and
``gnupg_ocb`` that of type 20, whose content the library reads again.
"""

from __future__ import annotations

from mandos.errors import PeerError
from mandos.openpgp.gnupg_ocb import open_packet
from mandos.openpgp.libcrypto import CryptoError
from mandos.openpgp.session_keys import session_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from openpgp._openpgp import SymmetricAlgorithmName
    from openpgp.composed import DecryptedMessage, Message, SignedSecretKey

_CONTENT = frozenset(("compressed", "signed", "literal"))
#: Ciphers of messages for ElGamal keys, by their numbers: RFC 9580, section 9.3.
_CIPHERS: dict[int, SymmetricAlgorithmName] = {
    2: "triple-des",
    3: "cast5",
    4: "blowfish",
    7: "aes128",
    8: "aes192",
    9: "aes256",
    10: "twofish",
    11: "camellia128",
    12: "camellia192",
    13: "camellia256",
}


def decrypted(message: bytes, key: SignedSecretKey) -> DecryptedMessage | Message:
    """The message inside.  Raises PeerError or ValueError when no session key opens it."""
    from openpgp.composed import Message  # noqa: PLC0415 - loaded: the key is an object of it

    whole = Message.from_bytes(message)
    for cipher, session_key in session_keys(whole, key):
        try:
            return _open(whole, cipher, session_key)
        except (CryptoError, KeyError, ValueError):
            continue  # the session key of something else
    raise PeerError("none of its session keys decrypts it")


def _open(whole: Message, cipher: int, session_key: bytes) -> DecryptedMessage | Message:
    packet = whole.encrypted_data_packet()
    if packet.kind != "gnupg-aead":
        return whole.decrypt_with_session_key(session_key, _CIPHERS[cipher])
    inside = whole.from_bytes(open_packet(packet, cipher, session_key))
    if inside.kind not in _CONTENT:
        raise PeerError("it is encrypted twice")
    return inside
