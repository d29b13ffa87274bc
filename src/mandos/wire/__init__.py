# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Mandos protocol without input or output.

``grammar`` holds the formats on the wire and every limit; ``key_id`` names a client;
``conversation`` holds the two state machines, one for each end of a connection.  Bytes and events
go in, the next step comes out; no socket, no clock and no TLS library is known here.
"""
