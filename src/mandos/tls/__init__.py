# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS with raw public keys (RFC 7250), by GnuTLS.

``gnutls`` is the table of C functions, the only place that knows ctypes; ``session`` is one TLS
session over a connected socket; ``credentials`` holds what sessions share (priorities and keys);
``keys`` makes TLS keys and computes key IDs.  Early boot uses all of it: only cheap imports.
"""
