# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GnuPG's "OCB Encrypted Data", packet type 20: draft-koch-librepgp, section 5.16.

The data is cut into chunks, each encrypted by itself with its number; a last, empty one
authenticates the number of bytes, so that none can be taken away, repeated or moved.
"""

from __future__ import annotations

from mandos.openpgp.libcrypto import OCB, CryptoError
from mandos.openpgp.session_keys import AES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from openpgp.packet import EncryptedDataPacket

_TAG = 16
_NONCE = 15
_TYPE = b"\xd4"  # a new header's first byte, for type 20
_SMALLEST_CHUNK, _LARGEST_CHUNK = 6, 16  # 64 bytes, as a power of two; and the most that is added
_MODE_OCB = 2


def open_packet(packet: EncryptedDataPacket, cipher: int, session_key: bytes) -> bytes:
    """The packets inside.  Raises CryptoError when one byte was changed."""
    data, vector, chunk_size = packet.data(), packet.iv or b"", packet.chunk_size
    number_and_size = AES.get(str(packet.symmetric_algorithm))
    if (
        (packet.version, packet.aead_algorithm) != (1, "ocb")
        or number_and_size != (cipher, len(session_key))
        or chunk_size is None
        or chunk_size > _LARGEST_CHUNK
        or len(vector) != _NONCE
        or len(data) < _TAG
    ):
        raise CryptoError
    head = bytes((ord(_TYPE), 1, cipher, _MODE_OCB, chunk_size))
    return _open_chunks(data, head, vector, 1 << (chunk_size + _SMALLEST_CHUNK), session_key)


def _open_chunks(data: bytes, head: bytes, vector: bytes, size: int, session_key: bytes) -> bytes:
    data, last = data[:-_TAG], data[-_TAG:]
    whole = bytearray()
    index = 0
    with OCB(session_key, _NONCE) as ocb:
        for start in range(0, len(data), size + _TAG):
            piece = data[start : start + size + _TAG]
            if len(piece) <= _TAG:
                raise CryptoError
            whole += ocb.open(_nonce(vector, index), head + index.to_bytes(8), piece)
            index += 1
        total = head + index.to_bytes(8) + len(whole).to_bytes(8)
        ocb.open(_nonce(vector, index), total, last)
    return bytes(whole)


def _nonce(vector: bytes, index: int) -> bytes:
    """The vector with the chunk's number in its last eight bytes."""
    return vector[:7] + (int.from_bytes(vector[7:]) ^ index).to_bytes(8)
