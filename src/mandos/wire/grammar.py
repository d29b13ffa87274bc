# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats on the wire, and every limit: the manual page mandos(8), "NETWORK PROTOCOL".

All times are in seconds, all sizes in bytes.  Imports nothing: early boot uses it.
"""

from __future__ import annotations

#: The only protocol version there is.
VERSION = 1
#: A client's first line; its first blank-separated field is the protocol version.
GREETING = b"1\r\n"
#: The version of requests that are no boots.  Servers that do not know it close the connection, so
#: none takes such a request for one that boots a machine.  A relay can change it: docs/protocol.md.
CHECK_VERSION = 2
#: The purposes of a connection: the secret, for a boot; the same for a rehearsal of a boot, which
#: changes nothing in the client's life; and the server's view of the client.
SECRET, REHEARSAL, STATUS = "secret", "rehearsal", "status"
#: The greetings of the two that are no boots; the second field is the purpose.
REHEARSAL_GREETING = b"2 rehearsal\r\n"
STATUS_GREETING = b"2 status\r\n"
#: Longest greeting that a server reads, line end included.
GREETING_LIMIT = 256
#: Largest secret: the largest key file of cryptsetup(8), 8 MiB, encrypted and with room to spare.
SECRET_LIMIT = 16 * 1024 * 1024
#: Largest secret that a client takes.  A password of 2048 bytes, encrypted for 16 recipients with
#: RSA keys of 4096 bits, signed and armored, has 20 kB; 64 servers may send one each at once.
MESSAGE_LIMIT = 64 * 1024

#: TLS 1.3 with raw public keys only (RFC 7250); the reference's default, manual page mandos(8).
PRIORITY = "SECURE128:!CTYPE-X.509:+CTYPE-RAWPK:!RSA:!VERS-ALL:+VERS-TLS1.3:%PROFILE_ULTRA"

#: How long the server waits for a whole greeting.
GREETING_TIME = 10.0
#: How long either end waits for the other during the TLS handshake.
HANDSHAKE_TIME = 20.0
#: In how many pieces a client's part of the handshake may arrive: each costs the server a turn.
HANDSHAKE_PIECES = 64
#: How often a client may say something, of TLS's own, while it waits for an approval.
WAITING_PIECES = 32
#: How long the server tries to write a secret, and a client to read one that has begun.
TRANSFER_TIME = 60.0
#: How long either end waits for the other to close.
CLOSE_TIME = 5.0
#: How long a client waits for a TCP connection.
CONNECT_TIME = 10.0
#: How long a client waits for the first byte: an administrator may have to approve it first.
APPROVAL_TIME = 3600.0

SERVICE_TYPE = "_mandos._tcp"
SERVICE_NAME = "Mandos"
